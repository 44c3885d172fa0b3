"""Missed: events that were turned away, remembered until it is on disk, since there and then it could not be noted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Misses:
    """``are_to_come``: some may have been turned away, and their gateway sends them again.

    ``too_large``: so many were larger than this server takes. ``lost_of``: gateways that proved themselves for such.
    """

    are_to_come: bool = False
    too_large: int = 0
    lost_of: frozenset[str] = frozenset()

    def __or__(self, more: Misses) -> Misses:
        are_to_come = self.are_to_come or more.are_to_come
        return Misses(are_to_come, self.too_large + more.too_large, self.lost_of | more.lost_of)


class Missed:
    """May be used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._misses = Misses()
        self._any = threading.Event()

    def put_off(self) -> None:
        """Some were turned away for now, or would have been if they came."""
        self._add(Misses(are_to_come=True))

    def too_large(self, proven: str | None) -> None:
        """One was refused for its size. ``proven``: the gateway that surely sent it; None: it may be anybody's."""
        self._add(Misses(too_large=1, lost_of=frozenset([proven] if proven else [])))

    def wait(self, seconds: float) -> None:
        """Until there is something to be noted, or ``wake`` is called."""
        self._any.wait(seconds)

    def wake(self) -> None:
        self._any.set()

    @contextmanager
    def taken(self) -> Iterator[Misses]:
        """What there is to be noted; it stays where that fails."""
        with self._lock:
            taken, self._misses = self._misses, Misses()
            self._any.clear()
        try:
            yield taken
        except BaseException:
            if taken != Misses():
                self._add(taken)
            raise

    def _add(self, more: Misses) -> None:
        with self._lock:
            self._misses |= more
            self._any.set()
