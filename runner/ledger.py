"""What a run writes: intents before a call, commits after it, its end. Each names the run's epoch.

Used inside a job's process. Each method is one transaction on a connection opened for it and let go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from runner.clock import Clock, Deadline
from runner.errors import StoreUnavailable
from runner.job import JobStatus, JsonDict, Progress
from runner.store import Store, Transaction
from runner.stores.batches import BatchRows, LedgerItem, OpenBatch
from runner.stores.runs import RunRows
from runner.stores.secrets import SecretRows

Written = TypeVar("Written")
Booking = Callable[[Transaction], Iterable[LedgerItem] | None]
"""Books one batch into a transaction and returns its ledger entries. May be run again until it is on disk."""

REQUEUED = "requeued"
"""The outcome of an item that was put back and will come again: it is not processed yet."""

_FIRST_RETRY, _LONGEST_RETRY = 0.1, 5.0


@dataclass
class RunState:
    """What a commit writes of the job's row: kept here as of the last commit, and changed by it."""

    progress: Progress
    result: JsonDict
    position: Any = None


class Ledger:
    """One run's writes. ``lock_key`` goes on every open item: nobody else can intend the same meanwhile."""

    def __init__(self, store: Store, clock: Clock, job_id: str, epoch: int, lock_key: str | None) -> None:
        self.store = store
        self.clock = clock
        self.job_id = job_id
        self.epoch = epoch
        self.lock_key = lock_key

    def intend(
        self,
        seq: int,
        items: Sequence[LedgerItem],
        seconds: float,
        position: Any = None,
        check: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Writes a batch down before its call. ``position``: where a run goes on once the batch is settled.

        Raises StopRequested, RunSuperseded, StoreUnavailable or what ``check`` raises: then nothing is written.
        """
        with self.store.write() as tx:
            rows = BatchRows(tx, self.job_id)
            rows.guard(self.epoch, int(seconds * 1000))
            if check is not None:
                check(tx)
            rows.intend(seq, self.epoch, items, self.lock_key, Deadline.start(self.clock, seconds), position)

    def stamp_call(self, seq: int, seconds: float) -> Deadline:
        """Writes down that a call goes out now, and until when it may take. Raises as ``intend``."""
        with self.store.write() as tx:
            rows = BatchRows(tx, self.job_id)
            rows.guard(self.epoch, int(seconds * 1000))
            deadline = Deadline.start(self.clock, seconds)
            rows.stamp_call(seq, deadline)
        return deadline

    def withdraw(self, seq: int) -> None:
        """Takes an intent back of which it is certain that nothing was sent."""
        self._insist(lambda tx: self._fenced(tx).withdraw(seq))

    def commit(self, seq: int | None, state: RunState, book: Booking | None, advance: Callable[[int], Progress]) -> int:
        """One transaction: outcomes, whatever ``book`` writes, progress, result and position.

        ``advance(open)`` gives the progress when so many items of the batch stay open; returned is that number. The
        commit is repeated until it is on disk, and nothing interrupts it but the end of the process: what was
        done must not be forgotten. ``seq`` None: a commit without a batch.
        """

        def write(tx: Transaction) -> int:
            items = list((book(tx) if book else None) or ())
            rows = BatchRows(tx, self.job_id)
            still_open = rows.book(seq, self.epoch, items, self.lock_key) if seq is not None else 0
            values = {"progress": advance(still_open), "result": state.result, "position": state.position}
            moved = not items or any(item.outcome != REQUEUED for item in items)
            got_on = moved or seq is None or rows.was_called(seq)
            RunRows(tx).commit(self.job_id, self.epoch, settled=bool(items), got_on=got_on, **values)
            return still_open

        return self._insist(write)

    def complete(self, state: RunState) -> bool:
        """The job is completed, unless it has ended already; False then."""
        values: JsonDict = {"result": state.result, "progress": state.progress.as_json()}
        return self._insist(lambda tx: RunRows(tx).finish(self.job_id, self.epoch, JobStatus.COMPLETED, **values))

    def fail(self, error: str, unless: Callable[[], bool]) -> bool:
        """The job has failed, unless it has ended already; its result stays as of the last commit.

        ``unless``: asked when the store can be written, however long that took; where it says so nothing is.
        """

        def write(tx: Transaction) -> bool:
            return not unless() and RunRows(tx).finish(self.job_id, self.epoch, JobStatus.FAILED, error=error)

        return self._insist(write)

    def open_batches(self) -> list[OpenBatch]:
        with self.store.read() as tx:
            return BatchRows(tx, self.job_id).open_batches()

    def give_up(self, batch: OpenBatch) -> None:
        """Closes a batch of a type that cannot settle it: its items run again, at least once in all."""
        self._insist(lambda tx: self._fenced(tx).give_up(batch))

    def last_commit_at(self) -> int | None:
        with self.store.read() as tx:
            return BatchRows(tx, self.job_id).last_commit_at()

    def last_seq(self) -> int:
        with self.store.read() as tx:
            return BatchRows(tx, self.job_id).last_seq()

    def secrets(self) -> JsonDict:
        """Of the config and of the options, as they are kept apart from them."""
        with self.store.read() as tx:
            return SecretRows(tx).of(self.job_id)

    def say_waiting(self, waiting: JsonDict | None) -> None:
        self._insist(lambda tx: RunRows(tx).wait(self.job_id, self.epoch, waiting))

    def _fenced(self, tx: Transaction) -> BatchRows:
        rows = BatchRows(tx, self.job_id)
        rows.fence(self.epoch)
        return rows

    def _insist(self, write: Callable[[Transaction], Written]) -> Written:
        pause = _FIRST_RETRY
        while True:
            try:
                with self.store.write() as tx:
                    return write(tx)
            except StoreUnavailable:
                time.sleep(pause)
                pause = min(_LONGEST_RETRY, pause * 2)
