"""Polls in a chat export: where one was, never who voted in it.

A false poll only asks for a flag; one that is overlooked costs whoever does nothing but vote. So a poll is seen by its
first line, in any language known here, and in every other by its options: two lines of one word with a count behind.
"""

# ruff: noqa: RUF001 - words of other scripts

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from runner.groups.export_dates import DateOrder
from runner.groups.export_header import MARKS, clean

MOST_DAYS: Final = 1000
"""So many days with a poll, the latest: a job asks for the last poll alone, and nobody may fill the store."""

_WORDS: Final = (
    "POLL|ENCUESTA|ENQUESTA|ENQUETE|ENQUÊTE|SONDAGEM|SONDAGE|SONDAGGIO|SONDAJ|UMFRAGE|ABSTIMMUNG|PEILING|STEMMING|"
    "AFSTEMNING|AVSTEMNING|OMRÖSTNING|KYSELY|ÄÄNESTYS|ANKIETA|ANKETA|ANKET|HLASOVÁNÍ|HLASOVANIE|SZAVAZÁS|GLASANJE|"
    "ОПРОС|ОПИТУВАННЯ|АНКЕТА|ГЛАСОВАНЕ|ΔΗΜΟΣΚΟΠΗΣΗ|ΨΗΦΟΦΟΡΙΑ|JAJAK PENDAPAT|POLLING|TINJAUAN|UNDIAN|BÌNH CHỌN|"
    "THĂM DÒ Ý KIẾN|KURA|KÚRA YA MAONI|SORĞU|SO‘ROVNOMA|САУАЛНАМА|استطلاع|استطلاع رأي|تصويت|نظرسنجی|رائے شماری|סקר|"
    "मतदान|पोल|ভোট|পোল|โพล|โพลล์|แบบสำรวจ|投票|アンケート|투표|설문"
)
_OPTIONS_AT_LEAST: Final = 2
_LOOKED_AT: Final = 1000
_LONGEST_WORD: Final = 30
_COLON: Final = "[:\uff1a]"
_OPENING, _CLOSING = "(\uff08", ")\uff09"
_ENDS: Final = frozenset(":\uff1a>" + _CLOSING)
_EDITED: Final = re.compile(r" ?<[^<>]*>$")
"""What stands behind a message that was changed, in whatever language."""


def _fold(text: str) -> str:
    """Without accents, marks and case; brackets and colons stay."""
    if text.isascii():
        return text[:_LOOKED_AT].casefold()
    plain = unicodedata.normalize("NFD", clean(text[:_LOOKED_AT]).casefold())
    return "".join(letter for letter in plain if unicodedata.category(letter) not in ("Mn", "Cf"))


_KNOWN: Final = "|".join(re.escape(word) for word in sorted(map(_fold, _WORDS.split("|")), key=len, reverse=True))
_IN_HEADER: Final = re.compile(rf": ?({_KNOWN}) ?{_COLON}")
_ALONE: Final = re.compile(rf"(?:^|: )({_KNOWN}) ?{_COLON}\s*$")


class Polls:
    """Sees the polls among the lines of one export, in file order. Keeps days, not lines."""

    def __init__(self) -> None:
        self.number = 0
        self._at: dict[DateOrder, datetime] = {}
        self._is_one = True
        self._options: Counter[str] = Counter()
        self._days: dict[DateOrder, dict[date, datetime]] = {}

    def begin(self, rest: str, times: dict[DateOrder, datetime]) -> None:
        """A header: ``rest`` is what stands behind its stamp, ``times`` the latest it may be of."""
        self._at, self._is_one = times, False
        self._options.clear()
        if len(re.findall(_COLON, rest[:_LOOKED_AT])) > 1 and _IN_HEADER.search(_fold(rest)):  # one ends the name
            self._saw()

    def go_on(self, line: str) -> None:
        """A line of the message that began last."""
        if self._is_one or line.rstrip(MARKS + " \u00a0")[-1:] not in _ENDS:
            return
        folded = _EDITED.sub("", _fold(line).strip())
        if _ALONE.search(folded):
            self._saw()
        elif word := _option_word(folded):
            self._options[word] += 1
            if self._options[word] >= _OPTIONS_AT_LEAST:
                self._saw()

    def times(self, orders: Sequence[DateOrder]) -> tuple[datetime, ...]:
        """When, under each of these orders: of one day the last, of all days at most ``MOST_DAYS``, the latest."""
        found = {at for order in orders for at in self._days.get(order, {}).values()}
        return tuple(sorted(found)[-MOST_DAYS:])

    def _saw(self) -> None:
        self._is_one = True
        self.number += 1
        for order, at in self._at.items():
            days = self._days.setdefault(order, {})
            days[at.date()] = max(at, days.get(at.date(), at))


def _option_word(line: str) -> str | None:
    """``option`` of ``option: yes (3 votes)``, in whatever language."""
    if not line.endswith(tuple(_CLOSING)):
        return None
    behind = max(map(line.rfind, _OPENING))
    if not any(letter.isdigit() for letter in line[behind:]):
        return None
    colon = re.search(_COLON, line[: max(behind, 0)])
    word = line[: colon.start()].strip() if colon else ""
    return word if 0 < len(word) <= _LONGEST_WORD else None
