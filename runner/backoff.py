"""How long to wait before another try, and when it has been tried often enough."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from runner.settings import Settings

_DOUBLINGS = 20  # more would leave the numbers there are, after a day of tries
_LONGEST = 60
_LONGEST_SLOW = 12
_SLOW_WAITS = 5  # 5, 10, 20, 40 and 60 minutes
_JITTER = 0.25
_ABSURD_SECONDS = 86_400


class Backoff:
    """The waits between the tries of one thing, on two ladders.

    After an ordinary error: ``RUNNER_RETRY_SECONDS`` (1), doubling to sixty times that (a minute), and up to a quarter
    more by chance, so that not all come back at once; until ``RUNNER_GATEWAY_WAIT_SECONDS`` (3600) after the first of
    them. After "slow down" (an error with ``after_seconds``, None where it does not say):
    ``RUNNER_SLOW_DOWN_SECONDS`` (300), doubling to twelve times that (an hour); five waits. What the other side asks
    for is waited instead, up to the longest wait; what is no time, or beyond a day, is not believed.

    ``endless``: there are always more tries, the longest wait apart. ``now``: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        endless: bool = False,
        chance: Callable[[], float] = random.random,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first, self._slow = settings.retry_seconds, settings.slow_down_seconds
        self._longest = settings.gateway_wait_seconds
        self._endless = endless
        self._chance, self._now = chance, now
        self.reset()

    def reset(self) -> None:
        self._failed = self._told = 0
        self._since: float | None = None

    def wait_after(self, error: Exception) -> float | None:
        """Seconds; None when there were enough tries."""
        if hasattr(error, "after_seconds"):
            return self.slow_down(error.after_seconds)
        self._failed += 1
        pause: float = self._first * min(2.0 ** min(self._failed - 1, _DOUBLINGS), _LONGEST)
        return self.within_limit(pause * (1 + _JITTER * self._chance()))

    def within_limit(self, pause: float) -> float | None:
        """``pause``, cut where the limit is; None once it is reached. It runs from the first failure on."""
        now = self._now()
        self._since = now if self._since is None else self._since
        left = self._since + self._longest - now
        if self._endless:
            return pause
        return min(pause, left) if left > 0 else None

    def slow_down(self, asked: float | None = None) -> float | None:
        """As ``wait_after``, when the other side wants a pause, of ``asked`` seconds if it says so."""
        if self._told >= _SLOW_WAITS and not self._endless:
            return None
        longest = self._slow * _LONGEST_SLOW
        own = self._slow * min(2.0**self._told, _LONGEST_SLOW)
        self._told = min(self._told + 1, _SLOW_WAITS)
        is_a_wait = asked is not None and math.isfinite(asked) and 0 < asked <= _ABSURD_SECONDS
        return min(asked, longest) if is_a_wait and asked is not None else own


def next_try(until_ms: int, now_ms: int) -> str:
    """``next try 12:10 UTC``; with seconds where it is near, with the day where it is another."""
    at, now = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (until_ms, now_ms))
    shape = "%H:%M:%S" if until_ms - now_ms < 120_000 else "%H:%M"
    return f"next try {at.strftime(shape if at.date() == now.date() else f'%d %b {shape}')} UTC"
