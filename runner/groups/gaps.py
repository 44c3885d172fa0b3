"""Gaps: when nobody listened within a window, between which two moments, and what closes that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from runner.clock import iso
from runner.groups.activity import ActivityRows, Observation, span
from runner.groups.group import Group
from runner.store import Transaction

_MOST_TOLD: Final = 4
_EVENTS, _EXPORT, _LIST = "events of ", "chat export", "member list"
_NOW: Final = "an export made now closes that"
_DAY: Final = len("2026-11-30")


@dataclass(frozen=True)
class Gap:
    """Nobody listened between the two, in UTC milliseconds. ``before``, ``after``: what was observed there; None:
    nothing.
    """

    from_ms: int
    to_ms: int
    before: Observation | None
    after: Observation | None

    def sentence(self, now: int, slack_ms: int) -> str:
        if self.before is None and self.after is None:
            return f"nothing that was said since {_when(self.from_ms)} UTC is known: {_NOW}, as far as it goes back"
        if self.before is None:
            return (
                f"nothing that was said before {_begin_of(self.after)} ({_when(self.to_ms)} UTC) is known: an export "
                "that goes further back closes that (without media it does)"
            )
        if self.after is not None:
            return _between(_end_of(self.before), self.before.to_ms, _begin_of(self.after), self.to_ms)
        ended = f"{_end_of(self.before)} ({_when(self.before.to_ms)} UTC)"
        if self.before.live is None:
            return (
                f"{ended} is {span(now - self.before.to_ms)} old, and is good for {span(slack_ms)} "
                "(RUNNER_OBSERVATION_SLACK_HOURS): nobody can be found inactive by it now. Export the chat again, and "
                "import that"
            )
        return f"since {ended} nobody listened: see 'runner gateway check'; {_NOW}"


def gaps_in(seen: Iterable[Observation], start: int, now: int, *, reaches_now: bool) -> Iterator[Gap]:
    """Those between ``start`` and ``now``, the earliest first. ``reaches_now``: see ``ActivityRows.watched_since``."""
    last: Observation | None = None
    end = start
    for one in sorted(seen, key=lambda one: (one.from_ms, one.to_ms)):
        if one.from_ms > end:
            yield Gap(end, one.from_ms, last, one)
        if last is None or one.to_ms >= last.to_ms:
            last, end = one, max(end, min(one.to_ms, now))
    if not reaches_now:
        yield Gap(end, now, last, None)


def gaps_told(tx: Transaction, group: Group, window_ms: int, now: int, slack_ms: int) -> list[str]:
    """Of the window that ends at ``now``, in sentences, the latest first: no silence reaches beyond that."""
    rows = ActivityRows(tx)
    reaches = rows.watched_since(group, now, slack_ms) is not None
    found = list(gaps_in(rows.observations(group, now), now - window_ms, now, reaches_now=reaches))
    told = [gap.sentence(now, slack_ms) for gap in reversed(found)]
    more = len(told) - _MOST_TOLD
    return told if more <= 0 else [*told[:_MOST_TOLD], f"and {more} more times before that nobody listened: {_NOW}"]


def gap_after(tx: Transaction, group: Group, ended_at: int, now: int) -> str | None:
    """The sentence about the gap between what ended then and what was observed next; None: there is none."""
    seen = ActivityRows(tx).observations(group, now)
    for gap in gaps_in(seen, 0, now, reaches_now=True):
        if gap.before is not None and gap.before.to_ms == ended_at:
            return gap.sentence(now, 0)
    return None


def _between(before: str, ended: int, after: str, begun: int) -> str:
    one, other = _when(ended), _when(begun)
    if one[:_DAY] != other[:_DAY]:
        return f"between {before} ({one} UTC) and {after} ({other} UTC) nobody listened: {_NOW}"
    times = f"{before} ({one[_DAY + 1 :]}) and {after} ({other[_DAY + 1 :]})"
    return f"on {one[:_DAY]} (UTC), between {times} nobody listened: {_NOW}"


def _when(at: int) -> str:
    return iso(at)[:19].replace("T", " ")


def _begin_of(one: Observation | None) -> str:
    source = one.source if one else ""
    if source.startswith(_EVENTS):
        return "the first event"
    return {_EXPORT: "the first message of the export", _LIST: "the first day of the list"}.get(source, "what is known")


def _end_of(one: Observation) -> str:
    if one.source.startswith(_EVENTS):
        return "the last event"
    return {_EXPORT: "the export", _LIST: "the list"}.get(one.source, "what is known")
