"""A job as it is while it is watched: the real one, that says at each place that it has come there."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from runner.abort import AbortFlag
from runner.clock import Deadline
from runner.context import JobContext, Run
from runner.job import Progress
from runner.ledger import Booking, Ledger, RunState
from runner.store import Transaction
from runner.stores.batches import LedgerItem
from runner.stores.cancels import CancelRows
from runner.stores.pauses import PauseRows
from runner.stores.runs import RunRows
from runner.testing.places import Disturbance, Kind, Place, Way
from runner.testing.trace import Trace
from runner.testing.world import Look, World
from runner.workflow import JobStopped

NODE = "a test"
BY = "the test"
_STOP_MS = 30_000
_LEASE_SECONDS = 5.0


class FlagInHand(AbortFlag):
    """Raised by the run itself when it has come to the place; its waits take no time."""

    def __init__(self, pass_time: Callable[[float], None]) -> None:
        self._raised = False
        self._pass_time = pass_time

    def raise_it(self) -> None:
        self._raised = True

    def is_set(self) -> bool:
        return self._raised

    def wait(self, seconds: float) -> bool:
        if not self._raised:
            self._pass_time(max(0.0, seconds))
        return self._raised


class Tripwire:
    """Counts the places a run comes to, and disturbs it at the one that was chosen.

    A stop is asked for as the server does: in the job's row first, then by the flag. A kill takes the process and
    all it started, as the server does with the rest of a tree whose job has died.
    """

    def __init__(self, world: World, job_id: str, trace: Trace, chosen: Disturbance | None, by_commit: bool) -> None:
        self.flag = FlagInHand(self._pass_time)
        self.last_batch = 0
        self._world, self._job_id, self._trace = world, job_id, trace
        self._chosen, self._by_commit = chosen, by_commit
        self._counts: Counter[Kind] = Counter()
        self._renewed = world.passed

    def reached(self, kind: Kind, batch: int | None = None) -> None:
        self._counts[kind] += 1
        place = Place(kind, self._counts[kind], self.last_batch if kind.sees_stops else batch or 0)
        effects = {"effects": self._world.effects()} if self._by_commit and kind is Kind.AFTER_COMMIT else {}
        now = self._chosen is not None and str(self._chosen.place) == str(place)
        line = {"kind": kind, "number": place.number, "batch": place.batch, "passed": self._world.passed}
        self._trace.write(**line, **effects, disturbed=now)
        if now and self._chosen is not None:
            self._disturb(self._chosen.way)

    def _disturb(self, way: Way) -> None:
        if way.kills:
            os.killpg(os.getpgid(0), signal.SIGKILL)
        with self._world.store.write() as tx:
            if way is Way.CANCEL:
                CancelRows(tx).request(self._job_id, BY, None, _STOP_MS)
            else:
                PauseRows(tx).request(self._job_id, BY)
        self.flag.raise_it()

    def _pass_time(self, seconds: float) -> None:
        """The server renews the lease meanwhile."""
        self._world.passed += seconds
        self._trace.write(passed=self._world.passed)
        if self._world.passed - self._renewed > _LEASE_SECONDS:
            self._renewed = self._world.passed
            with self._world.store.write() as tx:
                RunRows(tx).renew_leases(NODE)


class WatchedLedger(Ledger):
    """The run's ledger, with a place before and after each write."""

    def __init__(self, world: World, run: Run, wire: Tripwire) -> None:
        super().__init__(world.store, world.clock, run.job_id, run.epoch, run.lock_key)
        self._wire = wire

    def intend(
        self,
        seq: int,
        items: Sequence[LedgerItem],
        seconds: float,
        position: Any = None,
        check: Callable[[Transaction], None] | None = None,
    ) -> None:
        self._wire.reached(Kind.BEFORE_INTEND, seq)
        super().intend(seq, items, seconds, position, check)
        self._wire.reached(Kind.AFTER_INTEND, seq)

    def stamp_call(self, seq: int, seconds: float) -> Deadline:
        self._wire.reached(Kind.BEFORE_CALL, seq)
        deadline = super().stamp_call(seq, seconds)
        self._wire.reached(Kind.IN_CALL, seq)
        return deadline

    def withdraw(self, seq: int) -> None:
        self._wire.reached(Kind.BEFORE_WITHDRAW, seq)
        super().withdraw(seq)
        self._wire.reached(Kind.AFTER_WITHDRAW, seq)

    def commit(self, seq: int | None, state: RunState, book: Booking | None, advance: Callable[[int], Progress]) -> int:
        self._wire.reached(Kind.BEFORE_COMMIT, seq)

        def booked(tx: Transaction) -> list[LedgerItem]:
            return list((book(tx) if book else None) or ())

        def advanced(still_open: int) -> Progress:
            self._wire.reached(Kind.IN_COMMIT, seq)  # nothing that is the workflow's comes after it
            return advance(still_open)

        still_open = super().commit(seq, state, booked, advanced)
        self._wire.last_batch = seq or self._wire.last_batch
        self._wire.reached(Kind.AFTER_COMMIT, seq)
        return still_open

    def complete(self, state: RunState) -> bool:
        self._wire.reached(Kind.BEFORE_COMPLETE)
        completed = super().complete(state)
        self._wire.reached(Kind.AFTER_COMPLETE)
        return completed


class WatchedJob(JobContext):
    """The run's job, with a place at each checkpoint and in each sleep."""

    def __init__(self, world: World, run: Run, wire: Tripwire, trace: Trace) -> None:
        super().__init__(run, WatchedLedger(world, run, wire), wire.flag, world.settings)
        self._world, self._wire, self._trace = world, wire, trace
        self._seen: Look | None = None

    def checkpoint(self, message: str | None = None) -> None:
        self._wire.reached(Kind.CHECKPOINT)
        super().checkpoint(message)

    def sleep(self, seconds: float) -> None:
        self._wire.reached(Kind.SLEEP)
        super().sleep(seconds)

    def stopped(self) -> JobStopped:
        stop = super().stopped()
        if self._seen is None:
            self._seen = self._world.look()
            self._trace.write(stop_seen=self._wire.last_batch)
        return stop

    def done_since_the_stop(self) -> list[str]:
        """What the run has done since it was told to stop; nothing, if all is well."""
        return [] if self._seen is None else self._seen.what_is_new(self._world.look())
