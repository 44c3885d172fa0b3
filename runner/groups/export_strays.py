"""Strays: lines that look like headers and are none of the file's own, by their form, their line end, or their date.

A few of them are text that was pasted into messages. Many in a row, or such as the file ends with, are messages that
nobody would count: of a second export in the same file, say, or of one that an editor has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from runner.groups.export_dates import DateOrder
from runner.groups.export_header import Header
from runner.groups.export_source import AS_TEXT, ExportError

Why = Literal["end", "form", "date", "word"]
Times = Mapping[DateOrder, datetime]

_IN_A_ROW: Final = 50
_AT_THE_END: Final = 2
_FEW, _SHARE = 2, 50
_SOON: Final = timedelta(days=1)
_NAMES: Final = 50_000

_SAID: Final[dict[Why, str]] = {
    "end": "stand behind another end of line than other messages: two exports seem to be joined in the file, or an "
    "editor has changed it. Give the file as WhatsApp made it, and each export by itself",
    "form": "have headers of another form than those before: two exports seem to be joined in the file. Give each by "
    "itself",
    "date": "have dates of another calendar than those before: two exports seem to be joined in the file. Give each by "
    "itself",
    "word": "have words beside the time that those before do not have: two exports seem to be joined in the file. Give "
    "each by itself",
}


@dataclass(slots=True)
class Strays:
    """Of one export, in file order. ``split``: who wrote what stands behind a stamp, and whether that is sure."""

    split: Callable[[str], tuple[str, bool]]
    _row: list[tuple[str, Times]] = field(default_factory=list)
    _in_a_row: int = 0
    _why: Why = "end"
    _first: tuple[int, str] = (0, "")
    _of_ends: int = 0
    _first_of_ends: tuple[int, str] = (0, "")
    _headers: int = 0
    _before: Times = field(default_factory=dict)
    heard: dict[str, dict[DateOrder, datetime]] = field(default_factory=dict)
    """When those may have spoken whose line stands, by its time, where it would as a message: by name."""

    def note(self, header: Header, times: Times, number: int, why: Why) -> None:
        """`times`: by each order still possible; empty where its date is none."""
        if not self._in_a_row:
            self._why, self._first = why, (number, header.stamp)
        self._in_a_row += 1
        if any(when >= self._before.get(order, when) for order, when in times.items()):
            self._row.append((self.split(header.rest)[0], times))
            if why == "end":
                self._first_of_ends = self._first_of_ends if self._of_ends else (number, header.stamp)
                self._of_ends += 1
        if self._in_a_row > _IN_A_ROW:
            raise self._refusal(self._first, self._in_a_row, self._why)

    def settle(self, times: Times) -> None:
        """A header of the file's own came after them."""
        self._keep(times)
        self._before = times
        self._headers += 1
        self._in_a_row = 0

    def close(self, *, is_ended: bool) -> None:
        """The file is over; `is_ended`: by an end of line as its messages have. Raises ExportError."""
        is_text = is_ended and self._why == "end"
        if self._in_a_row >= _AT_THE_END and not is_text:
            raise self._refusal(self._first, self._in_a_row, self._why)
        if self._in_a_row and self._row and self._why == "end" and not is_ended:
            raise self._refusal(self._first, self._in_a_row, self._why)
        if self._of_ends >= _FEW and self._of_ends * _SHARE > self._headers:
            raise self._refusal(self._first_of_ends, self._of_ends, "end")
        self._keep({order: when + _SOON for order, when in self._before.items()})

    def _keep(self, until: Times) -> None:
        for name, times in self._row:
            if name and (name in self.heard or len(self.heard) < _NAMES):
                known = self.heard.setdefault(name, {})
                for order, when in times.items():
                    if self._before.get(order, when) <= when <= until.get(order, when):
                        known[order] = max(when, known.get(order, when))
        self._row.clear()

    @staticmethod
    def _refusal(first: tuple[int, str], count: int, why: Why) -> ExportError:
        number, stamp = first
        lines = f'Line {number}, "{stamp}", and {count - 1} more' if count > 1 else f'Line {number}, "{stamp}",'
        said = _SAID[why] if count > 1 else _SAID[why].replace("stand ", "stands ", 1).replace("have ", "has ", 1)
        return ExportError(f"{lines} {said}. {AS_TEXT}")
