"""What stands before the first message of an export: a note somebody added, or messages that cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from runner.groups.export_dates import calendar_of
from runner.groups.export_header import Header
from runner.groups.export_lines import Line
from runner.groups.export_source import ExportError

_SHOWN: Final = 40
_STAMPED: Final = re.compile(
    r"[^:]{0,60}?\d{1,2} ?[:.hH時时시\u066b] ?\d\d.{0,30}?(?:\] ?| [\u2013-] ).{1,200}?:(?: |$)"
)
"""As a message begins in any form: some date, a time, a bracket or a dash, a name."""


@dataclass(slots=True)
class Beginning:
    """Of one export. Lines of many messages before the first that is read would else be nobody's."""

    _stamped: tuple[int, str] | None = None
    _calendar: tuple[int, str, str] | None = None

    def unread(self, line: Line, header: Header | None) -> None:
        """A line before the first header; `header`: it would be one, but for its date."""
        calendar = calendar_of(header.date) if header else ""
        if header and calendar and not self._calendar:
            self._calendar = (line.number, header.stamp, calendar)
        elif not self._stamped and _STAMPED.match(line.text):
            self._stamped = (line.number, line.text[:_SHOWN])

    def check(self, file_name: str, *, has_header: bool) -> None:
        """Raises ExportError."""
        if self._calendar:
            number, stamp, calendar = self._calendar
            raise ExportError(
                f'Line {number}, "{stamp}", has a year of {_of(calendar)} calendar. Set the calendar of the phone to '
                "Gregorian and export again."
            )
        if self._stamped:
            number, start = self._stamped
            raise ExportError(
                f'Line {number}, "{start}…", looks like a message, but its date and time are in no form known here. '
                "Set the phone to English and to 24 hours, and export again."
            )
        if not has_header:
            raise ExportError(
                f"{file_name} is not a WhatsApp chat export: no line starts with a date and a time. "
                "In WhatsApp use More > Export chat and give the .txt or .zip it makes."
            )


def _of(calendar: str) -> str:
    return "another" if calendar == "another" else f"the {calendar}"
