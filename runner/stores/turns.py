"""Whose turn it is: a lock that is given in order, to whoever would give up first."""

from __future__ import annotations

import heapq
import itertools
import threading
import time


class Turns:
    """A lock for many threads, in the order of the times at which they would give up; of equal patience, as they came.

    So whoever has little patience gets ahead of those who have much, and nobody waits in vain for ever: the moment at
    which he would give up comes nearer. Not for more than one process, and not reentrant.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, threading.Lock]] = []

    def take(self, seconds: float) -> bool:
        """Waits for one's turn, at most so many seconds; False when it has not come."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            entry = (time.monotonic() + seconds, next(self._numbers), turn)
            heapq.heappush(self._waiting, entry)
        try:
            return turn.acquire(timeout=seconds) or not self._give_up(entry)
        except BaseException:  # an interrupt while it waits must not leave a turn with nobody who gives it back
            if not self._give_up(entry):
                self.give_back()
            raise

    def give_back(self) -> None:
        """One's turn is over; the next has his."""
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].release()
            else:
                self._taken = False

    def _give_up(self, entry: tuple[float, int, threading.Lock]) -> bool:
        """Waits no longer; False when the turn has come in this very moment."""
        with self._lock:
            if entry not in self._waiting:
                return False
            self._waiting.remove(entry)
            heapq.heapify(self._waiting)
            return True
