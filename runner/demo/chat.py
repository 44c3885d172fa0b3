"""What the demo's files say: a chat as an iPhone exports it, the list of members, and which author is which member."""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from runner.demo.people import BEGAN_DAYS_AGO, NAME, PEOPLE, DemoPerson

DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_MARK = "\u200e"
"""How an iPhone marks a line that nobody typed."""

_NOTICE = "Messages and calls are end-to-end encrypted. Only people in this chat can read, listen to, or share them."
_SAID = (
    "Good morning everybody",
    "Does anybody have a ladder to lend?\nOnly for the afternoon: the gutter again",
    "Yes, come by after five",
    f"{_MARK}image omitted",
    "The bins are on Thursday this week",
    "Thank you!",
    "Who has lost a grey cat? It sits on our wall",
)


@dataclass(frozen=True)
class Line:
    """One header of the chat and what stands behind it. ``at``: UTC milliseconds."""

    at: int
    author: str
    text: str


def chat_text(began: int, now: int, gone: Container[str] = (), zone: tzinfo | None = None) -> str:
    """The export as it would be made at ``now`` on a phone in ``zone``, of a demo that began at ``began``.

    Between the two only those who are still active speak, so whoever was silent when the demo began stays so; and
    nobody whose number is in ``gone``. Times are UTC milliseconds; ``zone`` None: this machine's.
    """
    lines = sorted(_lines(began, now, gone), key=lambda line: line.at)
    return "".join(f"[{_wall(line.at, zone):%d/%m/%Y, %H:%M:%S}] {line.author}: {line.text}\n" for line in lines)


def members_text(began: int, zone: tzinfo | None = None) -> str:
    """The members as somebody would keep them in a spreadsheet."""
    return _csv(("phone", "name", "role", "joined"), (_member(person, began, zone) for person in PEOPLE))


def matches_text() -> str:
    """Which member each name in the chat stands for; numbers need nobody's word."""
    named = (person for person in PEOPLE if person.saved and person.spoke)
    return _csv(("author", "member"), ((person.author, person.phone) for person in named))


def _member(person: DemoPerson, began: int, zone: tzinfo | None) -> tuple[str, ...]:
    joined = "" if person.joined is None else _wall(began - person.joined * DAY_MS, zone).date().isoformat()
    return person.phone, person.name, person.role, joined


def _lines(began: int, now: int, gone: Container[str]) -> Iterator[Line]:
    yield Line(began - (BEGAN_DAYS_AGO + 1) * DAY_MS, NAME, _MARK + _NOTICE)
    for number, person in enumerate(PEOPLE):
        since = range((now - began) // DAY_MS + 1) if person.still_speaks and person.phone not in gone else ()
        for days in (*person.spoke, *(-days for days in since)):
            minutes = (number + 2) * 7 + abs(days) * 37 % 600  # so that not everybody speaks at the same time of day
            at = began - days * DAY_MS - minutes * _MINUTE_MS
            yield Line(at, person.author, _SAID[(number + days) % len(_SAID)])


def _wall(at: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at / 1000, zone)


def _csv(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows((columns, *rows))
    return out.getvalue()
