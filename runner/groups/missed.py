"""Missed: events that were turned away, remembered until it is on disk, since there and then it could not be noted."""

from __future__ import annotations

import os
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ANY = "*"
"""In place of an account: whichever."""


class AnyAccount(Container[str]):
    """Where nobody knows whose events were turned away."""

    def __contains__(self, account: object) -> bool:
        return True


@dataclass(frozen=True)
class Misses:
    """``to_come``: accounts of which some may have been turned away, and their gateway sends them again; ANY of all.

    ``too_large``: so many were larger than this server takes. ``lost_of``: gateways that proved themselves for such.
    """

    to_come: frozenset[str] = frozenset()
    too_large: int = 0
    lost_of: frozenset[str] = frozenset()

    @property
    def late(self) -> Container[str]:
        """The accounts of ``to_come``."""
        return AnyAccount() if ANY in self.to_come else self.to_come

    def __or__(self, more: Misses) -> Misses:
        return Misses(self.to_come | more.to_come, self.too_large + more.too_large, self.lost_of | more.lost_of)


class Missed:
    """May be used by any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """``path``: where what nobody sends again is kept beside the store; what an earlier server left there counts.

        A server that is killed before its next beat must not forget it.
        """
        self._path = path
        self._lock = threading.Lock()
        self._misses = self._left()
        self._any = threading.Event()

    def put_off(self, account: str | None = None) -> None:
        """Some of ``account`` were turned away for now, or would have been if they came. None: whose, is not known."""
        self._add(Misses(to_come=frozenset([account or ANY])))

    def too_large(self, proven: str | None) -> None:
        """One was refused for its size. ``proven``: the gateway that surely sent it; None: it may be anybody's, and
        hurries nobody.
        """
        if proven is None:
            self._add(Misses(too_large=1), hurry=False)
            return
        with self._lock:
            self._keep(proven)
        self._add(Misses(too_large=1, lost_of=frozenset([proven])))

    @property
    def is_urgent(self) -> bool:
        return self._any.is_set()

    def wait(self, seconds: float) -> None:
        """Until there is something to be noted at once, or ``wake`` is called."""
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
        with self._lock:
            if self._path and taken.lost_of and not self._misses.lost_of:
                self._path.unlink(missing_ok=True)

    def _add(self, more: Misses, *, hurry: bool = True) -> None:
        with self._lock:
            self._misses |= more
            if hurry:
                self._any.set()

    def _keep(self, gateway: str) -> None:
        if self._path is None:
            return
        with self._path.open("a") as file:
            file.write(f"\n{gateway}\n")  # a torn line before it stays by itself
            file.flush()
            os.fsync(file.fileno())

    def _left(self) -> Misses:
        if self._path is None or not self._path.exists():
            return Misses()
        names = frozenset(filter(None, self._path.read_text().splitlines()))
        return Misses(too_large=len(names), lost_of=names)
