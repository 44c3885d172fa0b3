"""Who spoke in a WhatsApp chat, and when: a streaming reader of exports (.txt or .zip).

One pass, no list of messages: per author only a count and the first and last time, under every date order
still possible. Memory grows with the number of different names, not with the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from runner.groups.export_author import AuthorActivity, GroupVoice, Tally, Times
from runner.groups.export_beginning import Beginning
from runner.groups.export_dates import DateJudge, DateOrder, DateOrderOpen, calendar_of, dates_of
from runner.groups.export_header import Header, last_quoted, read_header
from runner.groups.export_lines import Line, own_ends
from runner.groups.export_names import KnownNames
from runner.groups.export_pace import Pace
from runner.groups.export_polls import Polls
from runner.groups.export_source import ExportError, chat_lines
from runner.groups.export_strays import Strays, Why
from runner.groups.export_words import Fillers, unknown_word

__all__ = ["AuthorActivity", "DateOrder", "DateOrderOpen", "ExportError", "ExportReading", "read_export"]

MAX_BYTES: Final = 4 * 1024**3
MAX_NAMES: Final = 50_000
_MOST_CHAT_NAMES: Final = 100


@dataclass(frozen=True, slots=True)
class ExportReading:
    """What an export says; `authors` are sorted by name, and each has at least one message.

    `messages` and `system` (lines nobody wrote) count headers, not lines of text. `first_message` and
    `last_message` are None if nobody spoke; `first_line` and `last_line` cover system lines too. All are
    earliest and latest, not file order, and `last_at` is number and stamp of the latest. `opening` is the time of the
    first message in the file that the next ones follow, see ``Pace``: lines nobody wrote stay in a chat whose messages
    disappear, and say nothing of what else was there. `closing` is the time of the last header in the file.
    `usual_gap`: how long nobody writes again and again; None: not known. `cut_lines` were longer than 8,192 characters;
    `fallen_lines` stood behind later ones by more than a day: whoever wrote them counts as active at the time of these.
    `unread_lines` stood before the first header. `group` is the author taken to be the group itself and left out
    of `authors`; if a member has that very name, count it as that member's activity all the same. `chat_names`:
    what lines nobody wrote put in quotation marks, the latest first: the chat's names, old ones too; at most 100.
    `polls` counts them all, `polls_at` has the last of each day. Who voted in them is in no export.
    """

    authors: tuple[AuthorActivity, ...]
    messages: int
    system: int
    first_message: datetime | None
    last_message: datetime | None
    opening: datetime | None
    first_line: datetime
    last_line: datetime
    last_at: tuple[int, str]
    closing: datetime
    usual_gap: timedelta | None
    date_order: DateOrder
    unread_lines: int
    cut_lines: int
    fallen_lines: int
    group: AuthorActivity | None
    chat_names: tuple[str, ...]
    polls: int
    polls_at: tuple[datetime, ...] = field(compare=False)


def read_export(
    path: Path, date_order: DateOrder | None = None, max_bytes: int = MAX_BYTES, known: Iterable[str] | None = None
) -> ExportReading:
    """Read the export at `path`: a .txt, or a .zip with one chat in it, of at most `max_bytes` of text.

    A message is a line with a header and `name:` behind it; media, polls, edited and deleted messages count.
    The form of the first header, `[date time] ` or `date time - `, is the file's; the other form is text. So is a
    line behind a bare LF in a file whose messages end with CR LF; see ``own_ends`` and ``Strays``.
    A system line has no name, or has its only colons inside quotation marks.

    On iPhones the group's own name "writes" the system lines. It is left out only if it wrote the first line
    of a bracket-form file, that line is a notice (U+200E, then at least 30 characters without media mark,
    link or second U+200E), and every line of it starts with U+200E. No other author is ever dropped: a
    person may have sent nothing but polls and photos, which look the same.

    Raises DateOrderOpen where day and month cannot be told apart, else ExportError with what to do. Limits:
    people who never spoke do not appear; a name with `: ` in it may be cut there, see ``KnownNames``; a pasted line in
    the file's own form and with its own end counts as a message; a line of more than 8,192 characters is read up to
    there.
    """
    ends = _own_ends(path, max_bytes)
    chat = _Chat(DateJudge(date_order), ends, KnownNames(known))
    with closing(chat_lines(path, max_bytes, _is_header, ends)) as lines:
        for line in lines:
            chat.add(line)
    return chat.reading(path.name)


def _own_ends(path: Path, max_bytes: int) -> frozenset[str]:
    with closing(chat_lines(path, max_bytes, _is_header)) as lines:
        return own_ends(lines, _is_header)


def _is_header(text: str) -> bool:
    header = read_header(text)
    return header is not None and bool(dates_of(header.date))


class _Chat:
    """Adds up the lines of one export, in file order."""

    def __init__(self, judge: DateJudge, ends: frozenset[str], names: KnownNames) -> None:
        self._judge = judge
        self._names = names
        self._ends = ends
        self._first: Header | None = None
        self._strays = Strays(names.split)
        self._fillers = Fillers()
        self._polls = Polls()
        self._beginning = Beginning()
        self._paces: dict[DateOrder, Pace] = {}
        self._last_end = ""
        self._unread = self._system = self._cut = 0
        self._authors: dict[str, Tally] = {}
        self._quoted: dict[str, Tally] = {}
        self._voice: GroupVoice | None = None
        self._chat_names: dict[str, None] = {}

    def add(self, line: Line) -> None:
        self._cut += line.is_cut
        self._last_end = line.after
        header = read_header(line.text)
        why = self._why_stray(header, line) if header else None
        times = self._judge.read(header, line.number) if header and not why else {}
        if header and times:
            self._take(header, line, times)
            return
        if self._first is None:
            self._unread += 1
            self._beginning.unread(line, header)
            return
        self._polls.go_on(line.text)
        if header and (why or calendar_of(header.date)):
            self._strays.note(header, self._judge.times_of(header), line.number, why or "date")

    def _why_stray(self, header: Header, line: Line) -> Why | None:
        """Why it is none of the file's headers, whatever its date; None: it may be one."""
        first = self._first
        if not dates_of(header.date):
            return None
        if first is not None and header.form != first.form:
            return "form"
        if first is not None and not self._is_own(line):
            return "end"
        # In a 12-hour file the word decides morning or evening, and skipping the line would lose a message.
        if header.unknown and (first is None or first.worded):
            raise unknown_word(header.unknown, line.number, header.stamp)
        has_odd_word = header.unknown or (header.filler and first and not (first.filler or first.worded))
        return "word" if has_odd_word else None

    def _is_own(self, line: Line) -> bool:
        return not self._ends or not line.before or line.before in self._ends

    def _take(self, header: Header, line: Line, times: Times) -> None:
        if self._first is None:
            self._first = header
            self._voice = GroupVoice.of_first_line(header, line.text)
        if header.filler:
            self._fillers.note(header.filler, header.clock.hour, line.number, header.stamp)
        self._strays.settle(times)
        heard = self._judge.heard(times)
        self._polls.begin(header.rest, heard)
        is_message = self._book(header, line.text, times, heard)
        for order, when in times.items():
            self._paces.setdefault(order, Pace()).follow(when, is_message=is_message)

    def _book(self, header: Header, line: str, times: Times, heard: Times) -> bool:
        """Whether somebody surely wrote it."""
        if self._voice and self._voice.wrote(header):
            if self._voice.is_notice(line):
                self._voice.tally.add(times, heard)
                self._note_name(header.rest)
                return False
            self._unmask(self._voice)
        name, sure = self._names.split(header.rest)
        if name:
            self._tally(name, self._authors if sure else self._quoted).add(times, heard)
            self._names.note(name, header.rest, times, heard)
        else:
            self._system += 1
        if not (name and sure):
            self._note_name(header.rest)
        return bool(name) and sure

    def _note_name(self, rest: str) -> None:
        name = last_quoted(rest)
        if name:
            self._chat_names.pop(name, None)
            self._chat_names[name] = None
        if len(self._chat_names) > _MOST_CHAT_NAMES:
            del self._chat_names[next(iter(self._chat_names))]

    def _unmask(self, voice: GroupVoice) -> None:
        """What looked like the group typed something, so it is a person and its lines are messages."""
        self._voice = None
        name, _ = self._names.split(f"{voice.name}:")
        if voice.tally.messages:
            self._tally(name, self._authors).merge(voice.tally)

    def _tally(self, name: str, tallies: dict[str, Tally]) -> Tally:
        tally = tallies.get(name)
        if tally is None:
            if len(self._authors) + len(self._quoted) >= MAX_NAMES:
                raise ExportError(f"The file has more than {MAX_NAMES:,} different names, so it is no chat of a group.")
            tally = tallies[name] = Tally()
        return tally

    def reading(self, file_name: str) -> ExportReading:
        """The result after the last line; `file_name` is for the error if no line was a header."""
        self._beginning.check(file_name, has_header=self._first is not None)
        self._strays.close(is_ended=self._last_end in self._ends)
        self._fillers.close()
        self._names.part(self._authors)
        self._settle_quoted()
        orders = self._judge.decide()
        readings = [self._under(order, self._polls.times(orders)) for order in orders]
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
        for name, times in self._strays.heard.items():
            if name in self._authors:
                self._authors[name].widen({}, times)

    def _under(self, order: DateOrder, polls_at: tuple[datetime, ...]) -> ExportReading:
        authors = tuple(tally.activity(name, order) for name, tally in sorted(self._authors.items()))
        voice = self._voice
        span, pace = self._judge.span(order), self._paces[order]
        return ExportReading(
            authors=authors,
            messages=sum(author.messages for author in authors),
            system=self._system + (voice.tally.messages if voice else 0),
            first_message=min((author.first for author in authors), default=None),
            last_message=max((author.last for author in authors), default=None),
            opening=pace.opening,
            first_line=span.first,
            last_line=span.last,
            last_at=span.last_at,
            closing=span.closing,
            usual_gap=pace.usual_gap,
            date_order=order,
            unread_lines=self._unread,
            cut_lines=self._cut,
            fallen_lines=span.fallen,
            group=voice.tally.activity(voice.name, order) if voice else None,
            chat_names=tuple(reversed(self._chat_names)),
            polls=self._polls.number,
            polls_at=polls_at,
        )
