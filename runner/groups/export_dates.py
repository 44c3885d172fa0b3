"""Which of day-month-year, month-day-year and year-month-day the dates of one export are written in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations
from typing import Final, Literal, NamedTuple

from runner.groups.export_header import Header
from runner.groups.export_source import AS_TEXT, ExportError

DateOrder = Literal["dmy", "mdy", "ymd"]

DATE_ORDERS: Final[tuple[DateOrder, ...]] = ("dmy", "mdy", "ymd")

_YEARS: Final = range(2009, 2100)
"""WhatsApp began in 2009; a year outside is a year of another calendar, or no date at all."""

_PERSIAN: Final = range(1388, 1430)
_ISLAMIC: Final = range(1430, 1524)
"""Of the years of WhatsApp; later Persian ones are to come."""

_BUDDHIST: Final = 543
_ERAS: Final = {"R": 2018, "H": 1988}
_BACKWARDS: Final = timedelta(days=1)


class DateOrderOpen(ExportError):
    """The file allows several date orders that give different dates, so a person has to say which.

    `orders` are the possible ones; `line` and `example` are number and stamp of a line they differ on.
    """

    def __init__(self, orders: tuple[DateOrder, ...], line: int, example: str, dates: tuple[date, ...]) -> None:
        self.orders = orders
        self.line = line
        self.example = example
        readings = " or ".join(f"{day.isoformat()} ({order})" for order, day in zip(orders, dates, strict=True))
        ways = " or ".join(f"--date-order {order}" for order in orders)
        super().__init__(f'Line {line}, "{example}", could be {readings}. Look at the chat and pass {ways}.')


class Span(NamedTuple):
    """Earliest and latest time of a file, the latest's line and stamp, the time of its last line, and how many lines
    stand behind later ones by more than a day.
    """

    first: datetime
    last: datetime
    last_at: tuple[int, str]
    closing: datetime
    fallen: int


@dataclass(slots=True)
class _Course:
    """How time runs through the file under one order."""

    earliest: datetime
    latest: datetime
    closing: datetime
    behind: bool = False
    falls: int = 0
    first_fall: int = 0
    latest_at: tuple[int, str] = (0, "")
    fallen: int = 0

    def follow(self, when: datetime, line: int, stamp: str) -> None:
        self.closing = when
        if when >= self.latest:
            self.latest_at = (line, stamp)
        if when < self.latest - _BACKWARDS:
            self.falls += not self.behind
            self.first_fall = self.first_fall or line
            self.fallen += 1
            self.behind = True
        else:
            self.behind = False
            self.latest = max(self.latest, when)
        self.earliest = min(self.earliest, when)

    @property
    def runs_back(self) -> bool:
        # One fall that is made good again may be a pasted old line or a wrong clock, so it proves nothing.
        return self.behind or self.falls > 1

    @property
    def length(self) -> timedelta:
        return self.latest - self.earliest


class DateJudge:
    """Reads every stamp under all orders still possible and drops those the file contradicts.

    Proof against an order: a date it cannot express; or time that runs back by more than a day and does not
    return, or does so twice. Year-first with two digits is believed only if every other reading spans more
    time. Nothing is kept but one course an order and one example a pair of orders.
    """

    def __init__(self, asked: DateOrder | None) -> None:
        self._asked = asked
        self.orders: tuple[DateOrder, ...] = DATE_ORDERS
        self._courses: dict[DateOrder, _Course] = {}
        self._examples: dict[tuple[DateOrder, DateOrder], tuple[int, str, dict[DateOrder, date]]] = {}
        self._parts: tuple[str, str, str] | None = None
        self._dates: dict[DateOrder, date] = {}

    def read(self, header: Header, line: int) -> dict[DateOrder, datetime]:
        """Times of a header by possible order; empty if its date is none in any order, so it is only text.

        Raises ExportError if it is a date, but not in an order that the lines before (or the caller) allow.
        """
        if header.date != self._parts:
            self._parts, self._dates = header.date, dates_of(header.date)
        if not self._dates:
            return {}
        if any(order not in self._dates for order in self.orders):
            self._narrow(header, line)
        if len(self.orders) > 1:
            self._note_example(header, line)
        times = {order: datetime.combine(self._dates[order], header.clock) for order in self.orders}
        for order, when in times.items():
            course = self._courses.setdefault(order, _Course(when, when, when))
            course.follow(when, line, header.stamp)
        return times

    def heard(self, times: dict[DateOrder, datetime]) -> dict[DateOrder, datetime]:
        """When whoever wrote the line just read may have done so at the latest.

        A line that stands behind later ones by more than a day is old text, or new text under a wrong clock.
        """
        late = {order: self._courses[order].latest for order in times}
        return {order: late[order] if when < late[order] - _BACKWARDS else when for order, when in times.items()}

    def times_of(self, header: Header) -> dict[DateOrder, datetime]:
        """The times that a line would have, if it were a header; nothing follows from it."""
        dates = dates_of(header.date)
        return {order: datetime.combine(dates[order], header.clock) for order in self.orders if order in dates}

    def _narrow(self, header: Header, line: int) -> None:
        left = tuple(order for order in self.orders if order in self._dates)
        if self._asked and self._asked not in left:
            raise ExportError(
                f'Line {line}, "{header.stamp}", is no date in the order {self._asked}. '
                "Leave --date-order out, or correct it."
            )
        if not left:
            raise ExportError(
                f'Line {line}, "{header.stamp}", is no date in the order of the lines before '
                f"({' or '.join(self.orders)}). {AS_TEXT}"
            )
        self.orders = left

    def _note_example(self, header: Header, line: int) -> None:
        for pair in combinations(self.orders, 2):
            if pair not in self._examples and self._dates[pair[0]] != self._dates[pair[1]]:
                self._examples[pair] = (line, header.stamp, self._dates)

    def decide(self) -> tuple[DateOrder, ...]:
        """The orders left after the last line: one if the file decides it, more if it does not.

        An asked order is taken unless its time runs back while another reading's does not (ExportError).
        """
        left = self._steady()
        if not self._asked:
            return left
        course = self._courses[self._asked]
        if course.runs_back and not any(self._courses[order].runs_back for order in left):
            raise ExportError(
                f"Line {course.first_fall}: in the order {self._asked} time runs back by more than a day, "
                f"but not in {' or '.join(left)}. Correct --date-order. {AS_TEXT}"
            )
        return (self._asked,)

    def _steady(self) -> tuple[DateOrder, ...]:
        left = tuple(order for order in self.orders if not self._courses[order].runs_back) or self.orders
        others = tuple(order for order in self.orders if order != "ymd")
        if "ymd" not in self.orders or not others:
            return left
        short = min(self._courses[order].length for order in others)
        if short <= self._courses["ymd"].length:
            return tuple(order for order in left if order != "ymd") or others
        return left

    def span(self, order: DateOrder) -> Span:
        """Of all headers under `order`."""
        course = self._courses[order]
        return Span(course.earliest, course.latest, course.latest_at, course.closing, course.fallen)

    def open_question(self, orders: tuple[DateOrder, ...]) -> DateOrderOpen:
        """The error that asks for one of `orders`, which must differ on some line read."""
        line, stamp, dates = next(self._examples[pair] for pair in combinations(orders, 2) if pair in self._examples)
        return DateOrderOpen(orders, line, stamp, tuple(dates[order] for order in orders))


def dates_of(parts: tuple[str, str, str]) -> dict[DateOrder, date]:
    """The dates that three written parts can mean, by order; empty if they are no date in any."""
    a, b, c = parts
    readings: dict[DateOrder, date | None] = {}
    if len(c) in (2, 4) and len(a) <= 2 and a.isdecimal():
        readings = {"dmy": _date(c, b, a), "mdy": _date(c, a, b)}
    if len(c) <= 2 and (len(a) in (2, 4) or not a.isdecimal()):
        readings["ymd"] = _date(a, b, c)
    return {order: day for order, day in readings.items() if day}


def calendar_of(parts: tuple[str, str, str]) -> str:
    """Which other calendar a written year is of, as far as it tells; "" if it may be no year."""
    for written in (parts[0], parts[2]):
        if len(written) == 4 and written.isdecimal():
            year = int(written)
            if year in _PERSIAN:
                return "Persian"
            if year in _ISLAMIC:
                return "Islamic"
            return "another" if 1000 <= year < _YEARS.start or 5700 < year < 5900 else ""
    return ""


def _date(year: str, month: str, day: str) -> date | None:
    number = _year(year)
    if number not in _YEARS:
        return None
    try:
        return date(number, int(month), int(day))
    except ValueError:
        return None


def _year(written: str) -> int:
    """A written year in the common era: four digits, two digits, Buddhist (25xx, or xx from 52), or `R4`."""
    if written[0] in _ERAS:
        return _ERAS[written[0]] + int(written[1:])
    year = int(written)
    if len(written) == 4:
        return year - _BUDDHIST if year - _BUDDHIST in _YEARS else year
    # Two digits from 52 on would lie far ahead; as 25xx they are the years a Thai phone has been writing.
    return year + 2500 - _BUDDHIST if year >= 52 else year + 2000
