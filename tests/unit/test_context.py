"""What ``JobContext``, ``Batch`` and ``Source`` promise to a workflow: on a real store, in virtual time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.abort import AbortBell
from runner.context import JobContext, Run
from runner.gateway import NotConnected, RateLimited, Transient
from runner.job import Job
from runner.ledger import REQUEUED, Ledger
from runner.settings import Settings
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.database import SqlStore
from runner.stores.jobs import JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import RunRows
from runner.workflow import JobStopped
from tests.unit.removals import NOW, PatientFlag, TestTime


@dataclass(frozen=True)
class Thing:
    key: int


class Runs:
    """One job, and its runs one after the other. ``slept``: every wait, in seconds."""

    def __init__(self, home: Path) -> None:
        self.time = TestTime()
        self.clock = self.time.clock()
        self.settings = Settings(home=home)
        migrate(self.settings.url)
        self.store = SqlStore(self.settings.url, self.clock, pooled=False)
        self.bell = AbortBell(multiprocessing.get_context("spawn"))
        self.slept: list[float] = []
        with self.store.write() as tx:
            JobRows(tx).add(NewJob("job", "count", {}, {}, None, "me"))
            RunRows(tx).claim("job", "here")

    def begin(self) -> JobContext:
        job = self.job()
        state = (job.progress.as_json(), job.result, job.position, job.epoch == 1)
        run = Run("job", "count", "run", job.epoch, 1, None, {}, {}, *state)
        return JobContext(run, Ledger(self.store, self.clock, "job", job.epoch, None), self._flag(), self.settings)

    def begin_again(self) -> JobContext:
        with self.store.write() as tx:
            assert RunRows(tx).claim_again("job", self.job().epoch, "here")
        return self.begin()

    def _flag(self) -> PatientFlag:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.time.passed += seconds
            with self.store.write() as tx:
                RunRows(tx).renew_leases("here")

        return PatientFlag(self.bell, sleep)

    def job(self) -> Job:
        with self.store.read() as tx:
            return JobRows(tx).get("job")

    def outcomes(self) -> dict[str, str | None]:
        with self.store.read() as tx:
            return {item.key: item.outcome for item in BatchRows(tx, "job").items()}

    def waits(self) -> list[float]:
        return [seconds for seconds in self.slept if seconds]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    runs.bell.close()
    runs.bell.forget_child_end()
    runs.store.close()


def things(count: int) -> Callable[[Any, int], list[Thing]]:
    """A source walked by key."""

    def after(key: int | None, size: int) -> list[Thing]:
        first = 1 if key is None else key + 1
        return [Thing(number) for number in range(first, min(count, first + size - 1) + 1)]

    return after


def test_a_batch_is_committed_when_the_next_is_asked_for(runs: Runs) -> None:
    job = runs.begin()
    seen = []
    for batch in job.batches(range(5), size=2, total=5):
        seen.append((list(batch.items), runs.job().progress.processed))
        job.result["last"] = batch.items[-1]
    assert seen == [([0, 1], 0), ([2, 3], 2), ([4], 4)]
    assert (runs.job().position, runs.job().result, runs.job().progress.percent) == (5, {"last": 4}, 100.0)


def test_a_batch_whose_workflow_raises_is_not(runs: Runs) -> None:
    job = runs.begin()

    def stumble() -> None:
        for batch in job.batches(range(4), size=2):
            job.result["seen"] = batch.seq
            if batch.seq == 2:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert (runs.job().position, runs.job().result) == (2, {"seen": 1})
    again = runs.begin_again()
    assert [list(batch.items) for batch in again.batches(range(4), size=2)] == [[2, 3]]


def test_what_is_walked_by_key_goes_on_behind_the_last_key(runs: Runs) -> None:
    walk = runs.begin().batches(things(5), size=2, total=5)
    next(walk)
    next(walk)
    assert runs.job().position == 2
    del walk
    again = runs.begin_again()
    keys = [[thing.key for thing in batch.items] for batch in again.batches(things(5), size=2, total=3)]
    assert keys == [[3, 4], [5]]
    assert runs.job().progress.total == 5


def test_there_is_a_delay_between_batches_and_none_after_the_last(runs: Runs) -> None:
    assert len(list(runs.begin().batches(range(6), size=2, delay_ms=10_000))) == 3
    assert runs.waits() == [10.0, 10.0]


def test_nor_after_one_that_asked_nothing_of_the_outside(runs: Runs) -> None:
    for batch in runs.begin().batches(things(6), size=2, delay_ms=10_000):
        if batch.seq == 1:
            batch.skip_delay()
    assert runs.waits() == [10.0]


def test_a_run_that_goes_on_waits_for_what_is_left_of_the_delay(runs: Runs) -> None:
    walk = runs.begin().batches(things(4), size=2, delay_ms=10_000)
    next(walk).commit()
    del walk
    runs.time.passed += 4
    next(runs.begin_again().batches(things(4), size=2, delay_ms=10_000))
    assert runs.waits() == [6.0]


def test_the_time_left_counts_delays_from_the_first_batch_on(runs: Runs) -> None:
    walk = runs.begin().batches(range(8), size=2, delay_ms=10_000, total=8)
    next(walk).commit()
    ends = runs.job().progress.done_at_ms
    assert ends is not None
    assert ends - runs.clock.now_ms() == 30_000


def test_a_stop_is_seen_before_a_batch_and_in_a_delay_and_nowhere_else(runs: Runs) -> None:
    job = runs.begin()

    def work() -> None:
        for batch in job.batches(range(6), size=2, delay_ms=10_000):
            runs.bell.ring()
            job.result["batches"] = batch.seq

    with pytest.raises(JobStopped):
        work()
    assert runs.waits() == []
    assert (runs.job().position, runs.job().result) == (2, {"batches": 1})
    waits: list[Callable[[], None]] = [job.checkpoint, lambda: job.sleep(60), lambda: job.sleep_until(NOW + 10**9)]
    for wait in waits:
        with pytest.raises(JobStopped):
            wait()


def test_only_what_was_surely_not_sent_is_tried_again(runs: Runs) -> None:
    (batch, *_) = [next(runs.begin().batches(things(1), size=1))]
    batch.intend([LedgerItem("ana")], deadline_seconds=5)
    errors = iter([NotConnected("not yet"), RateLimited("slow down", after_seconds=120)])

    def act(seconds_left: Callable[[], float]) -> dict[str, str]:
        assert 0 < seconds_left() <= 5
        assert runs.outcomes() == {"ana": None}, "each try is written down before it goes out"
        for error in errors:
            raise error
        return {"ana": "removed"}

    assert batch.call(act) == {"ana": "removed"}
    assert runs.waits() == [1.0, 120.0]
    assert runs.job().waiting is None
    batch.commit(lambda _: [LedgerItem("ana", "removed")])
    assert runs.outcomes() == {"ana": "removed"}


def test_what_may_have_been_sent_stays_open(runs: Runs) -> None:
    batch = next(runs.begin().batches(things(1), size=1))
    batch.intend([LedgerItem("ana")], deadline_seconds=5)
    calls = []

    def act(_: Callable[[], float]) -> dict[str, str]:
        calls.append(1)
        raise Transient("no answer in time")

    assert batch.call(act) == {}
    batch.commit(lambda _: [])
    assert (len(calls), runs.outcomes(), batch.is_open) == (1, {"ana": None}, True)
    assert runs.job().progress.processed == 0


def test_whoever_is_put_back_is_not_processed_yet(runs: Runs) -> None:
    batch = next(runs.begin().batches(things(3), size=3, total=3))
    outcomes = [LedgerItem("1", "removed"), LedgerItem("2", REQUEUED), LedgerItem("3", "skipped")]
    batch.commit(lambda _: outcomes)
    assert runs.job().progress.processed == 2


def test_a_batch_is_committed_once(runs: Runs) -> None:
    batch = next(runs.begin().batches(range(1), size=1))
    batch.commit()
    with pytest.raises(RuntimeError):
        batch.commit()


def test_retrying_waits_between_tries_and_wakes_to_stop(runs: Runs) -> None:
    job = runs.begin()
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OSError
        return "done"

    assert job.retrying(flaky, on=OSError) == "done"
    assert len(runs.waits()) == 2
    runs.bell.ring()
    tries.clear()
    with pytest.raises(JobStopped):
        job.retrying(flaky, on=OSError)
    assert len(tries) == 1
