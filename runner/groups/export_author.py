"""Who wrote in a chat, counted: people, and on iPhones the group itself, which writes the notices there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from runner.groups.export_dates import DateOrder
from runner.groups.export_header import LRM, Header, clean

Times = dict[DateOrder, datetime]

_NOTICE_CHARS: Final = 30
_GROUP_LINE: Final = re.compile(rf"(?P<name>.+?):[ \u00a0\u202f]?{LRM}(?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AuthorActivity:
    """One name and its messages. Times are naive: wall time of the phone that made the export."""

    name: str
    messages: int
    first: datetime
    last: datetime


@dataclass(slots=True)
class Tally:
    """Of one name, under every date order still possible."""

    messages: int = 0
    first: Times = field(default_factory=dict)
    last: Times = field(default_factory=dict)

    def add(self, first: Times, last: Times) -> None:
        self.messages += 1
        self.widen(first, last)

    def merge(self, other: Tally) -> None:
        self.messages += other.messages
        self.widen(other.first, other.last)

    def widen(self, first: Mapping[DateOrder, datetime], last: Mapping[DateOrder, datetime]) -> None:
        for order, when in first.items():
            self.first[order] = min(self.first.get(order, when), when)
        for order, when in last.items():
            self.last[order] = max(self.last.get(order, when), when)

    def activity(self, name: str, order: DateOrder) -> AuthorActivity:
        return AuthorActivity(name, self.messages, self.first[order], self.last[order])


@dataclass(slots=True)
class GroupVoice:
    """The author of the first line, as long as all its lines start with U+200E."""

    name: str
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def of_first_line(cls, header: Header, line: str) -> GroupVoice | None:
        found = _GROUP_LINE.match(line.partition("]")[2]) if header.form == "bracket" else None
        if not found or len(found["text"]) < _NOTICE_CHARS:
            return None
        if found["text"].startswith("<") or "://" in found["text"] or LRM in found["text"]:
            return None
        return cls(clean(found["name"]).strip())

    def wrote(self, header: Header) -> bool:
        return header.rest.startswith(f"{self.name}:")

    def is_notice(self, line: str) -> bool:
        """Whether a line it wrote starts with U+200E; the name itself may hold colons, even marks."""
        behind = line.partition("]")[2].split(":", self.name.count(":") + 1)[-1]
        return behind.lstrip(" \u00a0\u202f").startswith(LRM)
