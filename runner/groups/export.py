"""Who spoke in a WhatsApp chat, and when: a streaming reader of exports (.txt or .zip).

One pass, no list of messages: per author only a count and the first and last time, under every date order
still possible. Memory grows with the number of different names, not with the file.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from runner.groups.export_dates import DateJudge, DateOrder, DateOrderOpen
from runner.groups.export_header import LRM, Form, Header, clean, last_quoted, read_header, split_author
from runner.groups.export_source import ExportError, chat_lines

__all__ = ["AuthorActivity", "DateOrder", "DateOrderOpen", "ExportError", "ExportReading", "read_export"]

MAX_BYTES: Final = 4 * 1024**3
MAX_NAMES: Final = 50_000
_NOTICE_CHARS: Final = 30
_MOST_CHAT_NAMES: Final = 100
_GROUP_LINE: Final = re.compile(rf"(?P<name>.+?):[ \u00a0\u202f]?{LRM}(?P<text>.*)", re.DOTALL)

Times = dict[DateOrder, datetime]


@dataclass(frozen=True, slots=True)
class AuthorActivity:
    """One name and its messages. Times are naive: wall time of the phone that made the export."""

    name: str
    messages: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class ExportReading:
    """What an export says; `authors` are sorted by name, and each has at least one message.

    `messages` and `system` (lines nobody wrote) count headers, not lines of text. `first_message` and
    `last_message` are None if nobody spoke; `first_line` and `last_line` cover system lines too. All are
    earliest and latest, not file order; `opening` alone is the time of the first message in the file: lines
    nobody wrote stay in a chat whose messages disappear, and say nothing of what else was there.
    `unread_lines` stood before the first header. `group` is the author taken to be the group itself and left out
    of `authors`; if a member has that very name, count it as that member's activity all the same. `chat_names`:
    what lines nobody wrote put in quotation marks, the latest first: the chat's names, old ones too; at most 100.
    """

    authors: tuple[AuthorActivity, ...]
    messages: int
    system: int
    first_message: datetime | None
    last_message: datetime | None
    opening: datetime | None
    first_line: datetime
    last_line: datetime
    date_order: DateOrder
    unread_lines: int
    group: AuthorActivity | None
    chat_names: tuple[str, ...]


def read_export(path: Path, date_order: DateOrder | None = None, max_bytes: int = MAX_BYTES) -> ExportReading:
    """Read the export at `path`: a .txt, or a .zip with one chat in it, of at most `max_bytes` of text.

    A message is a line with a header and `name:` behind it; media, polls, edited and deleted messages count.
    The form of the first header, `[date time] ` or `date time - `, is the file's; the other form is text.
    A system line has no name, or has its only colons inside quotation marks.

    On iPhones the group's own name "writes" the system lines. It is left out only if it wrote the first line
    of a bracket-form file, that line is a notice (U+200E, then at least 30 characters without media mark,
    link or second U+200E), and every line of it starts with U+200E. No other author is ever dropped: a
    person may have sent nothing but polls and photos, which look the same.

    Raises DateOrderOpen where day and month cannot be told apart, else ExportError with what to do. Limits:
    people who never spoke do not appear; a name with `: ` in it is cut there; a pasted line in the file's own
    form counts as a message; a line of more than 8 KiB is read up to there.
    """
    chat = _Chat(DateJudge(date_order))
    with closing(chat_lines(path, max_bytes, lambda text: read_header(text) is not None)) as lines:
        for number, line in lines:
            chat.add(number, line)
    return chat.reading(path.name)


@dataclass(slots=True)
class _Tally:
    messages: int = 0
    first: Times = field(default_factory=dict)
    last: Times = field(default_factory=dict)

    def add(self, times: Times) -> None:
        self.messages += 1
        self._widen(times, times)

    def merge(self, other: _Tally) -> None:
        self.messages += other.messages
        self._widen(other.first, other.last)

    def _widen(self, first: Times, last: Times) -> None:
        for order, when in first.items():
            self.first[order] = min(self.first.get(order, when), when)
        for order, when in last.items():
            self.last[order] = max(self.last.get(order, when), when)

    def activity(self, name: str, order: DateOrder) -> AuthorActivity:
        return AuthorActivity(name, self.messages, self.first[order], self.last[order])


@dataclass(slots=True)
class _GroupVoice:
    """The author of the first line, as long as all its lines start with U+200E."""

    name: str
    tally: _Tally = field(default_factory=_Tally)

    @classmethod
    def of_first_line(cls, header: Header, line: str) -> _GroupVoice | None:
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


class _Chat:
    """Adds up the lines of one export, in file order."""

    def __init__(self, judge: DateJudge) -> None:
        self._judge = judge
        self._form: Form | None = None
        self._worded = False
        self._unread = 0
        self._system = 0
        self._authors: dict[str, _Tally] = {}
        self._quoted: dict[str, _Tally] = {}
        self._voice: _GroupVoice | None = None
        self._chat_names: dict[str, None] = {}
        self._opening: Times | None = None

    def add(self, number: int, line: str) -> None:
        header = read_header(line)
        times = self._judge.read(header, number) if header and self._is_header(header, number) else {}
        if not header or not times:
            self._unread += self._form is None
            return
        if self._form is None:
            self._form, self._worded = header.form, header.worded
            self._voice = _GroupVoice.of_first_line(header, line)
        self._book(header, line, times)

    def _is_header(self, header: Header, number: int) -> bool:
        if self._form and header.form != self._form:
            return False
        if not header.unknown:
            return True
        # In a 12-hour file the word decides morning or evening, and skipping the line would lose a message.
        if self._form is None or self._worded:
            raise ExportError(
                f'Line {number}, "{header.stamp}", has the unknown word "{header.unknown}" beside the '
                "time. Set the phone to 24 hours and export again; or, if it is text inside a message, "
                "put a space before it."
            )
        return False

    def _book(self, header: Header, line: str, times: Times) -> None:
        if self._voice and self._voice.wrote(header):
            if self._voice.is_notice(line):
                self._voice.tally.add(times)
                self._note_name(header.rest)
                return
            self._unmask(self._voice)
        name, sure = split_author(header.rest)
        if name:
            self._tally(name, self._authors if sure else self._quoted).add(times)
            if sure and self._opening is None:
                self._opening = times
        else:
            self._system += 1
        if not (name and sure):
            self._note_name(header.rest)

    def _note_name(self, rest: str) -> None:
        name = last_quoted(rest)
        if name:
            self._chat_names.pop(name, None)
            self._chat_names[name] = None
        if len(self._chat_names) > _MOST_CHAT_NAMES:
            del self._chat_names[next(iter(self._chat_names))]

    def _unmask(self, voice: _GroupVoice) -> None:
        """What looked like the group typed something, so it is a person and its lines are messages."""
        self._voice = None
        name, _ = split_author(f"{voice.name}:")
        if voice.tally.messages:
            self._tally(name, self._authors).merge(voice.tally)

    def _tally(self, name: str, tallies: dict[str, _Tally]) -> _Tally:
        tally = tallies.get(name)
        if tally is None:
            if len(self._authors) + len(self._quoted) >= MAX_NAMES:
                raise ExportError(f"The file has more than {MAX_NAMES:,} different names, so it is no chat of a group.")
            tally = tallies[name] = _Tally()
        return tally

    def reading(self, file_name: str) -> ExportReading:
        """The result after the last line; `file_name` is for the error if no line was a header."""
        if self._form is None:
            raise ExportError(
                f"{file_name} is not a WhatsApp chat export: no line starts with a date and a time. "
                "In WhatsApp use More > Export chat and give the .txt or .zip it makes."
            )
        self._settle_quoted()
        orders = self._judge.decide()
        readings = [self._under(order) for order in orders]
        if any(replace(reading, date_order=orders[0]) != readings[0] for reading in readings):
            raise self._judge.open_question(orders)
        return readings[0]

    def _settle_quoted(self) -> None:
        for name, tally in self._quoted.items():
            if name in self._authors:
                self._authors[name].merge(tally)
            else:
                self._system += tally.messages
        self._quoted.clear()

    def _under(self, order: DateOrder) -> ExportReading:
        authors = tuple(tally.activity(name, order) for name, tally in sorted(self._authors.items()))
        voice = self._voice
        first_line, last_line = self._judge.line_span(order)
        return ExportReading(
            authors=authors,
            messages=sum(author.messages for author in authors),
            system=self._system + (voice.tally.messages if voice else 0),
            first_message=min((author.first for author in authors), default=None),
            last_message=max((author.last for author in authors), default=None),
            opening=self._opening[order] if self._opening else None,
            first_line=first_line,
            last_line=last_line,
            date_order=order,
            unread_lines=self._unread,
            group=voice.tally.activity(voice.name, order) if voice else None,
            chat_names=tuple(reversed(self._chat_names)),
        )
