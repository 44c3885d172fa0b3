"""A chat export as a file: its wall times in UTC, whose chat it is, and how far it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from runner.errors import RunnerError
from runner.groups.authors import LONGEST_NAME, Authors
from runner.groups.export import AuthorActivity, ExportReading
from runner.groups.export_header import read_header
from runner.groups.export_made import CLOCK_ERROR_MS, Made
from runner.groups.export_name import name_in
from runner.groups.export_people import RECENT, PeopleFound
from runner.groups.export_source import AS_TEXT, packed_at
from runner.groups.group import Group
from runner.groups.memberlist import to_ms
from runner.groups.unmatched import UnmatchedAuthor

_LONGEST_SOURCE = 200


class ImportRefused(RunnerError):
    """What was given does not fit together; nothing was changed. The message says what to give."""


class OtherPeople(ImportRefused):
    """Too few of those who wrote in an export are or were in the group: it seems to be another group's."""


@dataclass(frozen=True)
class ChatFile:
    """An export and its wall times in UTC. Where these can be read in two ways, nobody is silent for longer by ours."""

    reading: ExportReading
    path: Path
    zone: tzinfo | None

    def check_not_in_future(self, now: int) -> None:
        """Raises ImportRefused, which names the line."""
        if self._ms(self.reading.last_line, latest=False) <= now + CLOCK_ERROR_MS:
            return
        number, stamp = self.reading.last_at
        said = f'line {number} of {self.path.name}, "{stamp}", lies in the future'
        if self._last > now + CLOCK_ERROR_MS:
            raise ImportRefused(
                f"{said}: give the time zone of the phone that made it (--time-zone), or another date order "
                f"(--date-order). {AS_TEXT}"
            )
        raise ImportRefused(f"{said}, and lines after it do not: it seems to be text. {AS_TEXT}")

    def check_people(self, authors: Authors, group: Group) -> None:
        """Raises OtherPeople. Before anybody is booked: that makes members of numbers nobody has."""
        since = self.reading.last_line - RECENT
        recent = (self.author(said) for said in self.reading.authors if said.last >= since)
        found = PeopleFound.of(map(authors.is_known, recent), authors.members_without_number)
        if found.are_others:
            raise OtherPeople(found.refusal(self.path.name, name_in(self.reading, self.path), group))

    def authors(self) -> list[UnmatchedAuthor]:
        return [self.author(activity) for activity in self.reading.authors]

    def author(self, said: AuthorActivity) -> UnmatchedAuthor:
        first, last = self._ms(said.first, latest=True), self._ms(said.last, latest=True)
        return UnmatchedAuthor(said.name[:LONGEST_NAME], said.messages, first, last, self.path.name[:_LONGEST_SOURCE])

    def made(self, now: int, exported_at: int | None) -> Made:
        """When the export was made; at least when its last line was written. Raises MadeOpen."""
        last = self._last
        if exported_at is not None:
            return Made.told(exported_at, last, now)
        made = Made.found(self._packed_at, self._file_time, last, now)
        made.check(self.path.name, last, self.reading.usual_gap)
        return made

    def is_doubted(self, made: Made) -> bool:
        return made.is_doubted(self._packed_at, self._file_time, self._last)

    def observed(self, made: Made) -> tuple[int, int]:
        """From the first message in the file to the moment it was made. Where nobody wrote, nothing shows that anything
        would have been in it.
        """
        opening = self.reading.opening
        begin = made.at if opening is None else self._ms(opening, latest=True)
        return begin, max(begin, made.at)

    def polls(self, now: int) -> list[int]:
        """When there was one, the last of each day."""
        return sorted({min(now, self._ms(at, latest=True)) for at in self.reading.polls_at})

    @property
    def _last(self) -> int:
        return self._ms(self.reading.closing, latest=False)

    @property
    def _packed_at(self) -> int | None:
        packed = packed_at(self.path, lambda text: read_header(text) is not None)
        return None if packed is None else self._ms(packed, latest=False)

    @property
    def _file_time(self) -> int:
        return self.path.stat().st_mtime_ns // 1_000_000

    def _ms(self, said: datetime, *, latest: bool) -> int:
        return to_ms(said, self.zone, latest=latest)
