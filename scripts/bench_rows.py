"""The rows of the table: what is measured, what is aimed at, and whether it was reached."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

MB = 1e6
Compare = Callable[[float, float], bool]


class NotMeasured(Exception):
    """A figure could not be taken; the message says why."""


@dataclass(frozen=True)
class Limit:
    """An aim for one number. ``of_bare``: it is the ratio to the bare limit that is compared."""

    sign: str
    number: float
    of_bare: bool = False

    def holds(self, value: float) -> bool:
        compare: Compare = {"≤": operator.le, "≥": operator.ge, "=": operator.eq}[self.sign]
        return compare(value, self.number)

    def __str__(self) -> str:
        return f"{self.sign} {self.number:g}" + (" of bare" if self.of_bare else "")


def at_most(number: float) -> Limit:
    return Limit("≤", number)


def at_least(number: float) -> Limit:
    return Limit("≥", number)


@dataclass(frozen=True)
class Figure:
    """``aims``: one for each number of the row, in their order. ``bare``: what the bare limit is, in words."""

    name: str
    unit: str
    aims: tuple[Limit, ...] = ()
    bare: str = ""
    least_ratio: float | None = None

    def row(self, ours: float | Sequence[float], bare: float | Sequence[float] | None = None, *, note: str = "") -> Row:
        """A number, or the two or three numbers that stand beside each other."""
        return Row(self, _numbers(ours), _numbers(bare), note)

    def times(self, ours: Sequence[float], bare: Sequence[float] | None = None, *, note: str = "") -> Row:
        """p50 and p99."""
        counted = f"over {len(ours)}" + (f"; {note}" if note else "")
        return self.row(spread(ours), None if bare is None else spread(bare), note=counted)

    def failed(self, why: str) -> Row:
        return Row(self, (), (), f"failed: {why}")

    def absent(self, why: str) -> Row:
        """What cannot be measured here, and that is no failure."""
        return Row(self, (), (), why)


@dataclass(frozen=True)
class Row:
    """One line of the table. ``note``: what one must know to read it; printed below."""

    figure: Figure
    ours: tuple[float, ...]
    bare: tuple[float, ...] = ()
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours[0] / self.bare[0] if self.ours and self.bare and self.bare[0] > 0 else None

    @property
    def reached(self) -> str:
        if not self.ours:
            return "no" if self.note.startswith("failed") else "-"
        kept = [limit.holds(value) for limit, value in zip(self.figure.aims, self.ours, strict=False)]
        if self.figure.least_ratio is not None:
            kept.append((self.ratio or 0.0) >= self.figure.least_ratio)
        return ("yes" if all(kept) else "no") if kept else "-"

    def cells(self) -> tuple[str, ...]:
        aims = " / ".join(map(str, self.figure.aims))
        if self.figure.least_ratio is not None:
            aims += f", ≥ {self.figure.least_ratio:g} of bare"
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        here = text_of(self.ours) if self.ours else self.note[:40]
        return (self.figure.name, self.figure.unit, here, text_of(self.bare), ratio, aims or "-", self.reached)


HEADINGS = ("figure", "unit", "here", "bare limit", "ratio", "aim", "reached")


def spread(times: Sequence[float]) -> tuple[float, float]:
    return at(times, 0.5), at(times, 0.99)


def at(times: Sequence[float], share: float) -> float:
    if not times:
        raise NotMeasured("nothing was counted")
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns as wide as they need to be."""
    rows = [tuple(headings), *map(tuple, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    written = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    written.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(written)


def notes(rows: Iterable[Row]) -> list[str]:
    """What must be known to read the rows: a line each, and one for all that have the same to say."""
    found: dict[str, list[str]] = {}
    for row in rows:
        said = [row.note] if row.note else []
        if row.bare and row.figure.bare:
            said.append(f"bare limit: {row.figure.bare}")
        if said:
            found.setdefault("; ".join(said), []).append(row.figure.name)
    return [f"- {' · '.join(names)}: {said}" for said, names in found.items()]


def _numbers(given: float | Sequence[float] | None) -> tuple[float, ...]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Sequence) else (given,)


def text_of(numbers: Sequence[float]) -> str:
    return " / ".join(map(_digits, numbers)) or "-"


def _digits(number: float) -> str:
    if number == int(number) or abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"
