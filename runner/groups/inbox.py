"""The inbox: webhooks from many threads, taken in by few transactions.

Whoever comes first writes for all who came meanwhile. One event alone costs a transaction with its fsync; sixteen at
once cost little more than that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from runner.errors import StoreUnavailable
from runner.groups.hearing import Limits
from runner.groups.incoming import Incoming
from runner.store import Store
from runner.webhook import Notice

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

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store.hasty(PATIENCE_SECONDS)
        self._limits = limits
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[Letter] = []

    def take(self, notice: Notice) -> None:
        """Returns when it is on disk. Raises StoreUnavailable, and then it is not."""
        letter = Letter(notice)
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
                _answer(letters, error)
        else:
            _answer(letters, None)


def _answer(letters: Sequence[Letter], error: Exception | None) -> None:
    for letter in letters:
        letter.error = error
        letter.done.set()
