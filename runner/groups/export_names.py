"""Names with a colon in them, as contacts may have: ``Neighbour: Ana`` and ``Neighbour: Bo`` are two people.

Where such a name is known, a line that begins with it is theirs. Where it is not, whoever has nothing but lines that go
on with another name, and with more than one, is taken to be as many people as there are names: to ask for one too many
hurts nobody, to take two for one makes the other look silent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from runner.groups.export_author import Tally, Times
from runner.groups.export_header import clean, split_author

_VARIANTS: Final = {0xFE0E: None, 0xFE0F: None}
_LONGEST_HEAD: Final = 60
_MOST_HEADS: Final = 500


class KnownNames:
    """``names``: of members, and those that a person has answered for; None: nothing is known, and nobody is parted."""

    def __init__(self, names: Iterable[str] | None = None) -> None:
        found = {_spelled(name).strip(): name for name in names or ()}
        with_colon = ((one, name) for one, name in found.items() if ": " in one)
        self._parts = names is not None
        self._known = frozenset(found)
        self._names = sorted(with_colon, key=lambda pair: -len(pair[0]))
        self._heads: dict[str, dict[str, Tally] | None] = {}

    def split(self, rest: str) -> tuple[str, bool]:
        """As ``split_author``; but the longest known name that the line begins with, followed by a colon and a blank
        or the end, is who wrote it.
        """
        if self._names:
            line = _spelled(rest)
            for spelled, name in self._names:
                if line.startswith(f"{spelled}:") and line[len(spelled) + 1 : len(spelled) + 2] in ("", " "):
                    return name, True
        return split_author(rest)

    def note(self, name: str, rest: str, first: Times, last: Times) -> None:
        """A line of ``name`` was read; it may be of a longer one."""
        tallies = self._heads.setdefault(name, {}) if self._parts else None
        if tallies is None:
            return
        head = None if self._is_whole(name) else _head_of(rest.removeprefix(name))
        if head is None or len(tallies) >= _MOST_HEADS:
            self._heads[name] = None
        else:
            tallies.setdefault(head, Tally()).add(first, last)

    def part(self, authors: dict[str, Tally]) -> None:
        """Those who seem to be several, after the last line."""
        for name, tallies in self._heads.items():
            whole = authors.get(name)
            if whole is None or not tallies or len(tallies) < 2:
                continue
            if whole.messages == sum(one.messages for one in tallies.values()):
                del authors[name]
                for head, tally in tallies.items():
                    authors.setdefault(f"{name}: {head}", Tally()).merge(tally)

    def _is_whole(self, name: str) -> bool:
        """A member's, a number, or what somebody calls themselves."""
        return name.startswith(("+", "~")) or _spelled(name).strip() in self._known


def _head_of(behind: str) -> str | None:
    """The name that a text begins with, behind the colon of the first one."""
    text = behind.lstrip()
    head, is_sure = split_author(text[1:].lstrip()) if text.startswith(":") else ("", False)
    is_name = is_sure and 0 < len(head) <= _LONGEST_HEAD and any(map(str.isalpha, head))
    return head if is_name else None


def _spelled(text: str) -> str:
    return unicodedata.normalize("NFC", clean(text).translate(_VARIANTS))
