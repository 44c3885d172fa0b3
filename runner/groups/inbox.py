"""The inbox: webhooks from many threads, taken in by few transactions.

Whoever comes first writes for all who came meanwhile. One event alone costs a transaction with its fsync; sixteen at
once cost little more than that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from runner.errors import StoreUnavailable
from runner.groups.hearing import HearingRows, Limits
from runner.groups.incoming import Incoming
from runner.groups.missed import Missed
from runner.groups.tallies import TallyRows
from runner.store import Store
from runner.webhook import Notice, Outcome

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
"""So long a webhook holds its thread for a locked database: threads are few, and gateways try again."""


class Letter:
    """A notice on its way. ``error``: why it was not stored; said by ``done``."""

    def __init__(self, notice: Notice) -> None:
        self.notice = notice
        self.done = threading.Event()
        self.error: Exception | None = None


class Inbox:
    """May be used by any thread."""

    def __init__(self, store: Store, limits: Limits, missed: Missed | None = None) -> None:
        """``missed``: is told of whatever cannot be stored now, and comes again."""
        self._store = store.hasty(PATIENCE_SECONDS)
        self._limits = limits
        self._missed = missed or Missed()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[Letter] = []

    def take(self, notice: Notice) -> None:
        """Returns when it is on disk. Raises StoreUnavailable, or what it failed on, and then it is not."""
        try:
            self._hand_in(Letter(notice))
        except StoreUnavailable:
            self._missed.put_off(notice.account)
            raise

    def _hand_in(self, letter: Letter) -> None:
        with self._lock:
            self._waiting.append(letter)
        if self._turn.acquire(timeout=PATIENCE_SECONDS):
            try:
                if not letter.done.is_set():
                    self._write(self._gather())
            finally:
                self._turn.release()
        elif self._withdraw(letter):
            raise StoreUnavailable("others have waited for the write lock for too long")
        letter.done.wait()
        if letter.error is not None:
            raise letter.error

    def _gather(self) -> list[Letter]:
        with self._lock:
            found, self._waiting = self._waiting, []
        return found

    def _withdraw(self, letter: Letter) -> bool:
        """False when somebody is writing it already."""
        with self._lock:
            if letter not in self._waiting:
                return False
            self._waiting.remove(letter)
            return True

    def _write(self, letters: Sequence[Letter]) -> None:
        try:
            with self._store.write() as tx:
                Incoming(tx, self._limits).take([letter.notice for letter in letters])
        except StoreUnavailable as error:
            _answer(letters, error)
        except Exception as error:
            if len(letters) > 1:  # one of them must not take the others with it
                for letter in letters:
                    self._write([letter])
            else:
                self._lose(letters[0], error)
        else:
            _answer(letters, None)

    def _lose(self, letter: Letter, error: Exception) -> None:
        """By a fault of ours. The gateway tries again, since it may pass; if it does not, the gap is told already."""
        notice = letter.notice
        log.error("An event %s of %s could not be taken in: %s", notice.event, notice.account, type(error).__name__)
        try:
            with self._store.write() as tx:
                HearingRows(tx, self._limits).lost(notice)
                TallyRows(tx).add({(notice.event, Outcome.FAILED): 1})
        except StoreUnavailable as unavailable:
            error = unavailable
        except Exception as worse:
            log.error("That it was not could not be noted either: %s", type(worse).__name__)
        _answer([letter], error)


def _answer(letters: Sequence[Letter], error: Exception | None) -> None:
    for letter in letters:
        letter.error = error
        letter.done.set()
