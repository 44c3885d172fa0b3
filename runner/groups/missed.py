"""Missed: events that were turned away, remembered until it is on disk, since there and then it could not be noted."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runner.groups.refused import Refusal
from runner.linefile import LineFile
from runner.webhooks import evolution

log = logging.getLogger(__name__)

PROVEN = frozenset([evolution.GATEWAY])
"""Gateways that prove themselves before their body is read: only of theirs something can be lost for its size."""

ANY = "*"
"""In place of an account: whichever."""


@dataclass(frozen=True)
class Misses:
    """``to_come``: accounts of which some may have been turned away, and their gateway sends them again; ANY of all.

    ``too_large``: so many were larger than this server takes. ``lost_of``: gateways that proved themselves for such.
    ``refused``: so many by each reason, those too large among them.
    """

    to_come: frozenset[str] = frozenset()
    too_large: int = 0
    lost_of: frozenset[str] = frozenset()
    refused: Counter[Refusal] = field(default_factory=Counter)

    def may_come_late(self, account: str) -> bool:
        """Whether some of its events may have been turned away, and are sent again."""
        return not self.to_come.isdisjoint((ANY, account))

    def __or__(self, more: Misses) -> Misses:
        return Misses(
            self.to_come | more.to_come,
            self.too_large + more.too_large,
            self.lost_of | more.lost_of,
            self.refused + more.refused,
        )


class Missed:
    """May be used by any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """``path``: where what nobody sends again is kept beside the store; what an earlier server left there counts.

        A server that is killed before its next beat must not forget it. Where the file cannot be written or read, that
        is logged and never raised.
        """
        self._file = LineFile(path) if path else None
        self._is_kept = False
        self._in_hand = 0
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
            self._remember(Misses(too_large=1, lost_of=frozenset([proven])))
            self._keep(proven)

    def refused(self, why: Refusal) -> None:
        """One was, by whomever it was sent: it hurries nobody, and is written down with the next beat."""
        self._add(Misses(refused=Counter([why])), hurry=False)

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
            self._in_hand += 1
            self._any.clear()
        try:
            yield taken
        except BaseException:
            self._put_back(taken)
            raise
        self._put_back(Misses())

    def _put_back(self, left: Misses) -> None:
        """What of the taken is not noted; the file goes when everything in it is."""
        with self._lock:
            self._in_hand -= 1
            if left != Misses():
                self._remember(left)
            if self._is_kept and not self._in_hand and not self._misses.lost_of:
                self._forget()

    def _add(self, more: Misses, *, hurry: bool = True) -> None:
        with self._lock:
            self._remember(more, hurry=hurry)

    def _remember(self, more: Misses, *, hurry: bool = True) -> None:
        self._misses |= more
        if hurry:
            self._any.set()

    def _keep(self, gateway: str) -> None:
        if self._file is None:
            return
        self._is_kept = True  # or some of it
        try:
            self._file.append(gateway)
        except OSError as error:
            log.error("An event of %s is lost, which a server that is killed now will not know: %s", gateway, error)

    def _forget(self) -> None:
        """Tried once: where the file stays, the next server takes it for news, and observes anew what it need not."""
        if self._file is None:
            return
        self._is_kept = False
        try:
            self._file.remove()
        except OSError as error:
            log.error("What was lost is noted; the next server will note it again: %s", error)

    def _left(self) -> Misses:
        """There would be no file had nothing been lost: what cannot be read in it was of any that may be meant."""
        try:
            lines = self._file.lines() if self._file else None
        except OSError as error:
            log.error("What an earlier server lost cannot be read: %s", error)
            lines = []
        if lines is None:
            return Misses()
        self._is_kept = True
        names = frozenset(lines)
        if not names or not names <= PROVEN:
            names = PROVEN
            log.error("An earlier server lost events, and whose is not known: of %s, as it seems", ", ".join(names))
        return Misses(too_large=max(len(lines), 1), lost_of=names)
