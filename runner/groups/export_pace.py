"""How often somebody writes in a chat: where an export may be believed to begin, and what silence is usual in it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

_LONGEST: Final = 3
_LEADING: Final = 6
_FAR: Final = 2
_LEAST: Final = timedelta(days=1)


@dataclass(slots=True)
class Pace:
    """The lines of one export in file order, under one date order."""

    latest: datetime | None = None
    gaps: int = 0
    longest: list[timedelta] = field(default_factory=list)
    leading: list[datetime] = field(default_factory=list)

    def follow(self, when: datetime, *, is_message: bool) -> None:
        if is_message and len(self.leading) < _LEADING:
            self.leading.append(when)
        if self.latest is not None and when >= self.latest:
            self.gaps += 1
            push = heapq.heappush if len(self.longest) < _LONGEST else heapq.heappushpop
            push(self.longest, when - self.latest)
        self.latest = when if self.latest is None else max(when, self.latest)

    @property
    def usual_gap(self) -> timedelta | None:
        """As long as nobody wrote again and again; None: nothing is known of it.

        One long silence, of holidays say, makes none usual where there are enough others.
        """
        ranks = sorted(self.longest, reverse=True)
        rank = 2 if self.gaps >= 20 else 1 if self.gaps >= 5 else 0
        return ranks[rank] if ranks else None

    @property
    def opening(self) -> datetime | None:
        """From when on the export is whole: its first message, as far as the next ones follow it.

        A few that were kept while all others disappeared, or of a phone with a wrong clock, stand far before the rest.
        """
        begin = self.leading[0] if self.leading else None
        for before, after in zip(self.leading, self.leading[1:], strict=False):
            if self.gaps >= 20 and is_far(after - before, self.usual_gap):
                begin = after
        return begin


def is_far(silence: timedelta, usual: timedelta | None) -> bool:
    """Whether a silence is far longer than those of the chat."""
    return silence > max(_LEAST, _FAR * (usual or timedelta()))
