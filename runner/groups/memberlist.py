"""Member lists as CSV files: read whole and checked whole, before anything is written."""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from io import StringIO
from pathlib import Path

from runner.errors import RunnerError
from runner.groups.identity import LID, NumberFault, WithoutCountry, person_id, read_phone
from runner.groups.member import ROLES, MemberEntry

MAX_BYTES = 50_000_000
COLUMNS = ("lid", "phone", "name", "role", "joined", "lastActive")
_FIRST_YEAR = 2009  # WhatsApp began then; an earlier date is a spreadsheet's idea of an empty one
_MOST_FAULTS = 20
_UTF_16 = (BOM_UTF16_LE, BOM_UTF16_BE)
_DELIMITER = re.compile(r"sep=([,;\t])\s*", re.IGNORECASE)
"""A first line that Excel makes and reads."""
_LONGEST_NAME = 200


@dataclass(frozen=True)
class ListFault:
    """One thing wrong in a file; ``line`` counts from 1, the header included."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.message}"


class ListError(RunnerError):
    """A file that was not taken in; nothing of it was."""

    def __init__(self, path: Path, faults: Sequence[ListFault]) -> None:
        more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        said = "; ".join(str(fault) for fault in faults[:_MOST_FAULTS])
        super().__init__(f"{path.name} was not imported, nothing was changed: {said}{more}")
        self.faults = tuple(faults)


def read_members(path: Path, now_ms: int, zone: tzinfo | None = None, country: str | None = None) -> list[MemberEntry]:
    """The people on the list. Raises ListError with every fault.

    A header names the columns, any of ``COLUMNS`` with at least ``lid`` or ``phone``; each row has an id. Roles are
    member, admin, superadmin; dates are ISO, without an offset in ``zone`` (None: this machine's). A date without a
    time is the end of that day, so that nobody's silence is counted longer than it was. ``country`` as in
    ``read_phone``.
    """
    faults: list[ListFault] = []
    seen: dict[str, int] = {}
    entries = []
    for line, row in read_rows(path, COLUMNS, _check_header):
        cells = _Cells(line, row, now_ms, zone, country, faults)
        entry = cells.entry()
        cells.check_ids(entry, seen)
        entries.append(entry)
    if faults:
        raise ListError(path, faults)
    return entries


def listed_until(path: Path, entries: Sequence[MemberEntry], now_ms: int) -> int:
    """Until when a list tells who was active: when its file was written; never before the latest it names, never in the
    future. A file whose own time lies in the future tells no more than that.
    """
    latest = max((entry.last_active_at for entry in entries if entry.last_active_at), default=0)
    written = path.stat().st_mtime_ns // 1_000_000
    return max(latest, written) if written <= now_ms else latest


def read_rows(
    path: Path, columns: Sequence[str], check: Callable[[Sequence[str]], str | None]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line numbers; ``check`` may object to the set of columns. Raises ListError."""
    text = _text(path)
    first = text.split("\n", 1)[0]
    said = _DELIMITER.fullmatch(first)
    delimiter = said[1] if said else max(",;\t", key=first.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if said:
            next(reader)
        names = _header(path, next(reader, []), columns, check)
        for cells in reader:
            if len(cells) > len(names):
                raise ListError(path, [ListFault(reader.line_num, "row", f"has more than {len(names)} cells")])
            if any(cell.strip() for cell in cells):
                yield reader.line_num, {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    except csv.Error as error:
        raise ListError(path, [ListFault(reader.line_num, "row", str(error))]) from error


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ListError(path, [ListFault(1, "file", f"is larger than {MAX_BYTES // 1_000_000} MB")])
    said = path.read_bytes()
    try:
        return said.decode("utf-16" if said.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ListError(path, [ListFault(line, "file", "is not UTF-8; save it as CSV UTF-8")]) from error


def _header(
    path: Path, cells: Sequence[str], columns: Sequence[str], check: Callable[[Sequence[str]], str | None]
) -> list[str]:
    known = {_plain(column): column for column in columns}
    unknown = [cell for cell in cells if _plain(cell) not in known]
    names = [known[_plain(cell)] for cell in cells if _plain(cell) in known]
    objection = check(names)
    if unknown:
        objection = f"unknown column {unknown[0]!r}; known are {', '.join(columns)}"
    elif len(set(names)) < len(names):
        objection = "a column is there twice"
    if objection:
        raise ListError(path, [ListFault(1, "header", objection)])
    return names


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _check_header(names: Sequence[str]) -> str | None:
    return None if {"lid", "phone"} & set(names) else "there must be a column lid or phone"


@dataclass(frozen=True)
class _Cells:
    """One row, read cell by cell; what is wrong goes to ``faults``."""

    line: int
    row: Mapping[str, str]
    now_ms: int
    zone: tzinfo | None
    country: str | None
    faults: list[ListFault]

    def entry(self) -> MemberEntry:
        return MemberEntry(
            lid=self._id("lid", _lid),
            pn=self._id("phone", lambda text: read_phone(text, self.country)),
            name=self.row.get("name", "")[:_LONGEST_NAME] or None,
            role=self._role(),
            joined_at=self._date("joined"),
            last_active_at=self._date("lastActive"),
        )

    def check_ids(self, entry: MemberEntry, seen: dict[str, int]) -> None:
        if not (self.row.get("lid") or self.row.get("phone")):
            self._fault("lid", "the row has neither lid nor phone")
        for column, known in (("lid", entry.lid), ("phone", entry.pn)):
            if known and seen.setdefault(known, self.line) != self.line:
                self._fault(column, f"{known} is in line {seen[known]} already")

    def _id(self, column: str, read: Callable[[str], str]) -> str | None:
        text = self.row.get(column, "")
        try:
            return read(text) if text else None
        except NumberFault as fault:
            advice = ", or say --country with that code" if isinstance(fault, WithoutCountry) else ""
            self._fault(column, f"{text!r} {fault}{advice}")
            return None

    def _role(self) -> str | None:
        role = self.row.get("role", "").lower()
        if role and role not in ROLES:
            self._fault("role", f"{role!r} is none of {', '.join(ROLES)}")
        return role or None

    def _date(self, column: str) -> int | None:
        text = self.row.get(column, "")
        if not text:
            return None
        try:
            at = moment(text, self.zone)
        except ValueError:
            self._fault(column, f"{text!r} is not an ISO date, as 2025-01-31 or 2025-01-31T10:30:00Z")
            return None
        if at > self.now_ms + 86_400_000:
            self._fault(column, f"{text!r} lies in the future")
        return min(at, self.now_ms)

    def _fault(self, column: str, message: str) -> None:
        self.faults.append(ListFault(self.line, column, message))


def moment(text: str, zone: tzinfo | None) -> int:
    """UTC milliseconds of an ISO date or time. Raises ValueError."""
    said = datetime.fromisoformat(text)
    if said.year < _FIRST_YEAR:
        raise ValueError(text)
    if len(text) <= len("2025-01-31"):
        said += timedelta(days=1) - timedelta(milliseconds=1)
    return to_ms(said, zone, latest=True)


def to_ms(said: datetime, zone: tzinfo | None, *, latest: bool) -> int:
    """UTC milliseconds of a wall time; the later or earlier of two where a clock was put back or forward.

    ``zone`` None: this machine's, with its rules of the time.
    """
    if said.tzinfo is not None:
        return round(said.astimezone(UTC).timestamp() * 1000)
    both = [said.replace(fold=fold, tzinfo=zone).timestamp() for fold in (0, 1)]
    return round((max if latest else min)(both) * 1000)


def _lid(text: str) -> str:
    known = person_id(text)
    if known is None or not known.endswith(LID):
        raise NumberFault("is not a lid (digits@lid)")
    return known
