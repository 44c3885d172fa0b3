"""What a run writes: intents before a call, commits after it, its end. Each names the run's epoch.

Used inside a job's process. Each method is one transaction on a connection opened for it and let go.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from runner.clock import Clock, Deadline
from runner.errors import RunSuperseded, StoreUnavailable
from runner.fitting import Faults, fit_position, fitted_items, fitted_values, stored_names
from runner.job import JobStatus, JsonDict, Progress
from runner.storable import NotStorable, fit
from runner.store import Store, Transaction
from runner.stores.batches import BatchRows, LedgerItem, OpenBatch
from runner.stores.runs import RunRows
from runner.stores.secrets import SecretRows

Written = TypeVar("Written")
Booking = Callable[[Transaction], Iterable[LedgerItem] | None]
"""Books one batch into a transaction and returns its ledger entries. May be run again until it is on disk."""

REQUEUED = "requeued"
"""The outcome of an item that was put back and will come again: it is not processed yet."""

FORKED = 70
"""The exit code of a fork of a job that would have gone on as if it were the job."""

_FIRST_RETRY, _LONGEST_RETRY = 0.1, 5.0


@dataclass
class RunState:
    """What a commit writes of the job's row: kept here as of the last commit, and changed by it."""

    progress: Progress
    result: JsonDict
    position: Any = None


class Ledger:
    """One run's writes. ``lock_key`` goes on every open item: nobody else can intend the same meanwhile.

    ``fault``: the first thing of the job that could not be kept. It never stopped a commit, but the job is to fail.
    """

    def __init__(self, store: Store, clock: Clock, job_id: str, epoch: int, lock_key: str | None) -> None:
        self.store = store
        self.clock = clock
        self.job_id = job_id
        self.epoch = epoch
        self.lock_key = lock_key
        self.fault: NotStorable | None = None
        self._names: dict[int, dict[str, str]] = {}
        self._pid = os.getpid()
        self._is_over = False
        self._writing = threading.RLock()  # a thread of the workflow may still commit while its job comes to its end

    def only_here(self) -> None:
        """Returns in the job's own process alone. A fork of it that comes by leaves, and says so."""
        if os.getpid() != self._pid:
            _leave(f"Process {os.getpid()} is a fork of job {self.job_id}, not the job: it ends here")

    def end(self) -> None:
        """The run has come to its end: from here on nothing is written. Waits for a commit under way."""
        self.only_here()
        with self._writing:
            self._is_over = True

    def check_kept(self) -> None:
        """Raises NotStorable if there was ever anything that could not be kept."""
        if self.fault is not None:
            raise self.fault

    def intend(
        self,
        seq: int,
        items: Sequence[LedgerItem],
        seconds: float,
        position: Any = None,
        check: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Writes a batch down before its call. ``position``: where a run goes on once the batch is settled.

        Raises StopRequested, RunSuperseded, StoreUnavailable, NotStorable or what ``check`` raises: then nothing is
        written.
        """
        faults: Faults = []
        names = stored_names([item.key for item in items], {})
        kept, place = fitted_items(items, names, faults), fit_position(position)
        if faults:
            raise faults[0]
        with self._fresh_write() as tx:
            rows = BatchRows(tx, self.job_id)
            rows.guard(self.epoch, int(seconds * 1000))
            if check is not None:
                check(tx)
            rows.intend(seq, self.epoch, kept, self.lock_key, Deadline.start(self.clock, seconds), place)
        self._names = {seq: names}

    def stamp_call(self, seq: int, seconds: float) -> Deadline:
        """Writes down that a call goes out now, and until when it may take. Raises as ``intend``."""
        with self._fresh_write() as tx:
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
        done must not be forgotten. ``seq`` None: a commit without a batch. What cannot be kept is left out, and is
        a ``fault``.
        """

        faults: Faults = []

        def write(tx: Transaction) -> int:
            faults.clear()
            items = fitted_items((book(tx) if book else None) or (), self._names.get(seq or 0, {}), faults)
            rows = BatchRows(tx, self.job_id)
            still_open = rows.book(seq, self.epoch, items, self.lock_key) if seq is not None else 0
            progress = advance(still_open)
            moved = not items or any(item.outcome != REQUEUED for item in items)
            got_on = moved or seq is None or rows.was_called(seq)
            values = fitted_values(state.result, state.position, faults)
            RunRows(tx).commit(self.job_id, self.epoch, progress, settled=bool(items), got_on=got_on, **values)
            return still_open

        still_open = self._insist(write)
        self.fault = self.fault or next(iter(faults), None)
        return still_open

    def complete(self, state: RunState) -> bool:
        """The job is completed, unless it has ended already; False then. Raises NotStorable if anything was ever not
        kept, or the result cannot be.
        """
        self.check_kept()
        values: JsonDict = {"result": fit("the result", state.result), "progress": state.progress.as_json()}
        return self._insist(lambda tx: RunRows(tx).finish(self.job_id, self.epoch, JobStatus.COMPLETED, **values))

    def fail(
        self,
        error: str,
        unless: Callable[[], bool],
        *,
        failure: JsonDict | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """The job has failed, unless it has ended already; its result stays as of the last commit.

        ``unless``: asked when the store can be written, however long that took; where it says so nothing is.
        ``progress``: what was said last, not less than what was committed.
        """
        values: JsonDict = {"error": error, "failure": failure}
        if progress is not None:
            values["progress"] = progress.as_json()

        def write(tx: Transaction) -> bool:
            return not unless() and RunRows(tx).finish(self.job_id, self.epoch, JobStatus.FAILED, **values)

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
        kept = fit("the wait", waiting)
        self._insist(lambda tx: RunRows(tx).wait(self.job_id, self.epoch, kept))

    def _fenced(self, tx: Transaction) -> BatchRows:
        rows = BatchRows(tx, self.job_id)
        rows.fence(self.epoch)
        return rows

    @contextmanager
    def _fresh_write(self) -> Iterator[Transaction]:
        """A transaction of this run, while it lasts. Raises RunSuperseded once it is over."""
        self.only_here()
        with self._writing:
            if self._is_over:
                raise RunSuperseded(self.job_id, self.epoch)
            with self.store.write() as tx:
                yield tx

    def _insist(self, write: Callable[[Transaction], Written]) -> Written:
        pause = _FIRST_RETRY
        while True:
            try:
                with self._fresh_write() as tx:
                    return write(tx)
            except StoreUnavailable:
                time.sleep(pause)
                pause = min(_LONGEST_RETRY, pause * 2)


def _leave(why: str) -> None:
    """By the descriptor: in a fork, locks of the log may be held by threads that are not there."""
    with suppress(OSError):
        os.write(2, f"{why}\n".encode())
    os._exit(FORKED)
