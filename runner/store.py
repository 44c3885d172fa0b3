"""The contract of a store: transactions, and nothing else.

What can be read and written stands in ``stores/`` (jobs, batches) and ``groups/``: each takes a ``Transaction``,
so that one transaction can span them all.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from runner.clock import Clock
from runner.storable import storable as storable


@dataclass(frozen=True)
class Transaction:
    """One transaction on one connection. ``now`` is the time its rows carry."""

    connection: Connection
    clock: Clock

    @property
    def now(self) -> int:
        return self.clock.now_ms()


class Store(Protocol):
    """Where everything is kept.

    ``write`` takes the write lock at once (so a read inside it cannot go stale), commits when the block ends and
    rolls back when it raises. Both raise ``StoreUnavailable`` when the database is locked for longer than
    5 seconds, full, gone or read-only. Nested use in one thread is an error.
    """

    def read(self) -> AbstractContextManager[Transaction]: ...

    def write(self) -> AbstractContextManager[Transaction]: ...

    def hasty(self, seconds: float) -> Store:
        """The same store for one who must not wait: it gives up after so many seconds of a locked database."""

    def version(self) -> int | None:
        """Another number than this thread got before, if anything was committed in between, by whomever.

        None where that cannot be told for less than a query. Raises StoreUnavailable.
        """

    def close(self) -> None: ...
