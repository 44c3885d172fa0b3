"""What every store must hold to: SQLite, and each database whose URL RUNNER_TEST_DATABASES names beside it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.clock import Clock, Deadline
from runner.errors import JobNotFound, LeaseOver, RunSuperseded, StopRequested
from runner.job import LIVE, TRANSITIONS, JobStatus, ProcessIdentity, Progress, StopReason
from runner.store import Transaction
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.cancels import CancelRows
from runner.stores.database import SqlStore
from runner.stores.events import events_after
from runner.stores.jobs import JobFilter, JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import LEASE_MS, RunRows

ME = ProcessIdentity(4711, 1, "boot")


class Time:
    """A clock that stands still until it is put forward."""

    def __init__(self) -> None:
        self.now_ms = 1_750_000_000_000

    def clock(self) -> Clock:
        return Clock(lambda: self.now_ms, lambda: self.now_ms / 1000, "boot")


@pytest.fixture(scope="module")
def time() -> Time:
    return Time()


@pytest.fixture(scope="module", params=["sqlite", *os.environ.get("RUNNER_TEST_DATABASES", "").split()])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, time: Time) -> Iterator[SqlStore]:
    folder: Path = tmp_path_factory.mktemp("store")
    url = f"sqlite:///{folder / 'store.db'}" if request.param == "sqlite" else request.param
    migrate(url)
    store = SqlStore(url, time.clock())
    yield store
    store.close()


class Undone(Exception):
    """Ends a transaction of which nothing shall stay."""


@pytest.fixture
def tx(store: SqlStore, time: Time) -> Iterator[Transaction]:
    """One transaction, undone at the end of the test."""
    began = time.now_ms
    try:
        with store.write() as tx:
            yield tx
            raise Undone
    except Undone:
        time.now_ms = began


def add(tx: Transaction, job_id: str, lock_key: str | None = None) -> str:
    JobRows(tx).add(NewJob(job_id, "count", {}, {}, lock_key, "me"))
    return job_id


def running(tx: Transaction, job_id: str = "job", lock_key: str | None = None) -> str:
    add(tx, job_id, lock_key)
    assert RunRows(tx).claim(job_id, "node", ME)
    RunRows(tx).acknowledge(job_id, 1, ME, tx.now)
    return job_id


def commit(tx: Transaction, job_id: str, epoch: int) -> None:
    RunRows(tx).commit(job_id, epoch, progress=Progress(1), result={"n": 1}, position=1, settled=True)


# -- which status may follow which -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """Something that happens to a job; ``act`` gets the rows and the run's epoch."""

    name: str
    act: Callable[[Transaction, int], object]


STEPS = (
    Step("claim", lambda tx, _: RunRows(tx).claim("job", "node", ME)),
    Step("claim again", lambda tx, epoch: RunRows(tx).claim_again("job", epoch, "node")),
    Step("acknowledge", lambda tx, epoch: RunRows(tx).acknowledge("job", epoch, ME, tx.now)),
    Step("complete", lambda tx, epoch: RunRows(tx).finish("job", epoch, JobStatus.COMPLETED)),
    Step("fail", lambda tx, epoch: RunRows(tx).finish("job", epoch, JobStatus.FAILED, error="x")),
    Step("cancel", lambda tx, _: CancelRows(tx).request("job", "me", None, 1000)),
    Step("put back", lambda tx, epoch: RunRows(tx).put_back("job", epoch)),
    Step("release", lambda tx, epoch: RunRows(tx).release("job", epoch)),
    Step("stop", lambda tx, _: RunRows(tx).request_stop("job", StopReason.DRAIN)),
    Step("prove", lambda tx, epoch: CancelRows(tx).proved("job", epoch, "subreaper")),
)


def walk(tx: Transaction, steps: tuple[Step, ...]) -> None:
    """Takes the steps; after each, what changed must be allowed, and an end must stay what it was."""
    point = tx.connection.begin_nested()
    add(tx, "job")
    before = JobRows(tx).get("job")
    for step in steps:
        step.act(tx, before.epoch)
        after = JobRows(tx).get("job")
        if after.status is not before.status:
            assert after.status in TRANSITIONS[before.status], f"{before.status} -> {after.status} by {step.name}"
        assert after.epoch >= before.epoch
        assert (after.completed_at is None) == (after.status in LIVE), step.name
        if before.completed_at is not None:
            assert after.completed_at == before.completed_at, step.name
        before = after
    point.rollback()


@pytest.mark.parametrize("first", STEPS, ids=lambda step: step.name.replace(" ", "-"))
def test_every_sequence_of_four_steps_follows_the_table(tx: Transaction, first: Step) -> None:
    for rest in itertools.product(STEPS, repeat=3):
        walk(tx, (first, *rest))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=5, max_size=30))
def test_long_sequences_follow_the_table(tx: Transaction, steps: list[Step]) -> None:
    walk(tx, tuple(steps))


def test_the_table_ends_where_a_job_ends() -> None:
    assert {status for status, following in TRANSITIONS.items() if following} == set(LIVE)


# -- claims, epochs and locks ----------------------------------------------------------------------------------------


def test_one_lock_is_held_once(tx: Transaction) -> None:
    running(tx, "first", "group:1")
    add(tx, "second", "group:1")
    add(tx, "other", "group:2")
    assert not RunRows(tx).claim("second", "node")
    assert JobRows(tx).get("second").waiting_for == "first"
    claimed = RunRows(tx).claim_next("node")
    assert claimed is not None
    assert claimed.id == "other", "a lock that is held holds nobody else up"
    assert RunRows(tx).claim_next("node") is None
    RunRows(tx).finish("first", 1, JobStatus.COMPLETED)
    assert not RunRows(tx).claim("second", "node"), "the end of a job is not yet the end of its processes"
    RunRows(tx).release("first", 1)
    assert RunRows(tx).claim("second", "node")


def test_an_older_run_writes_nothing(tx: Transaction) -> None:
    running(tx)
    assert RunRows(tx).claim_again("job", 1, "node")
    with pytest.raises(RunSuperseded):
        commit(tx, "job", 1)
    with pytest.raises(RunSuperseded):
        BatchRows(tx, "job").guard(1, 1000)
    assert not RunRows(tx).finish("job", 1, JobStatus.COMPLETED)
    assert not RunRows(tx).release("job", 1)
    commit(tx, "job", 2)
    assert JobRows(tx).get("job").result == {"n": 1}


def test_after_a_cancel_no_intent_is_written_but_what_was_done_is(tx: Transaction) -> None:
    running(tx)
    BatchRows(tx, "job").guard(1, 1000)
    assert CancelRows(tx).request("job", "me", "enough", 1000)
    with pytest.raises(StopRequested):
        BatchRows(tx, "job").guard(1, 1000)
    commit(tx, "job", 1)
    assert not RunRows(tx).finish("job", 1, JobStatus.COMPLETED), "a cancelled job stays cancelled"


def test_a_run_without_a_lease_begins_nothing_until_it_is_renewed(tx: Transaction, time: Time) -> None:
    running(tx)
    time.now_ms += LEASE_MS + 1
    with pytest.raises(LeaseOver):
        BatchRows(tx, "job").guard(1, 1000)
    RunRows(tx).renew_leases("another node")
    with pytest.raises(LeaseOver):
        BatchRows(tx, "job").guard(1, 1000)
    RunRows(tx).renew_leases("node")
    BatchRows(tx, "job").guard(1, 10 * LEASE_MS)
    time.now_ms += 5 * LEASE_MS
    BatchRows(tx, "job").guard(1, 1000)


# -- the ledger ------------------------------------------------------------------------------------------------------


def intend(tx: Transaction, job_id: str, seq: int, *keys: str, lock_key: str = "group:1") -> None:
    deadline = Deadline.start(tx.clock, 1.0)
    BatchRows(tx, job_id).intend(seq, 1, [LedgerItem(key) for key in keys], lock_key, deadline)


def test_nobody_is_intended_twice_at_once(tx: Transaction) -> None:
    running(tx, "first", "group:1")
    running(tx, "second")
    intend(tx, "first", 1, "ana", "bo")
    point = tx.connection.begin_nested()
    with pytest.raises(RunSuperseded):
        intend(tx, "second", 1, "bo")
    point.rollback()
    intend(tx, "second", 1, "bo", lock_key="group:2")
    BatchRows(tx, "first").book(1, 1, [LedgerItem("ana", "removed"), LedgerItem("bo", "removed")], "group:1")
    intend(tx, "second", 2, "bo")


def test_what_has_no_outcome_stays_open_until_it_has(tx: Transaction) -> None:
    running(tx)
    ledger = BatchRows(tx, "job")
    intend(tx, "job", 1, "ana", "bo")
    ledger.book(1, 1, [LedgerItem("ana", "removed"), LedgerItem("cy", "skipped")], "group:1")
    (left,) = ledger.open_batches()
    assert [item.key for item in left.items] == ["bo"]
    ledger.book(1, 1, [LedgerItem("bo", "removed")], "group:1")
    assert ledger.open_batches() == []
    assert {item.key: item.outcome for item in ledger.items()} == {"ana": "removed", "bo": "removed", "cy": "skipped"}


def test_an_intent_can_be_withdrawn_whole(tx: Transaction) -> None:
    running(tx)
    intend(tx, "job", 1, "ana")
    BatchRows(tx, "job").withdraw(1)
    assert BatchRows(tx, "job").open_batches() == []
    intend(tx, "job", 1, "ana")


# -- lists, events, archive ------------------------------------------------------------------------------------------


def test_pages_by_key_miss_and_repeat_nobody_while_jobs_are_added(tx: Transaction, time: Time) -> None:
    for number in range(25):
        add(tx, f"old-{number:02}", f"group:{number % 3}")
        time.now_ms += number % 2  # some share their millisecond
    seen: list[str] = []
    after = None
    while page := JobRows(tx).newest(JobFilter(after=after), 4):
        seen += [job.id for job in page]
        after = (page[-1].created_at, page[-1].id)
        time.now_ms += 1
        add(tx, f"new-{len(seen)}")
    assert sorted(seen) == [f"old-{number:02}" for number in range(25)]
    assert len(JobRows(tx).newest(JobFilter(lock_key="group:1"), 100)) == 8


def test_events_are_numbered_without_gaps(tx: Transaction) -> None:
    running(tx)
    CancelRows(tx).request("job", "me", None, 1000)
    CancelRows(tx).proved("job", 1, "subreaper")
    events = events_after(tx, "job", 0, 100)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.kind for event in events] == ["running", "cancelled", "stopped"]
    assert [event.seq for event in events_after(tx, "job", 1, 1)] == [2]


def test_only_what_is_over_and_proved_is_reaped(tx: Transaction, time: Time) -> None:
    for job_id in ("over", "unproved", "open", "live"):
        running(tx, job_id)
    intend(tx, "open", 1, "ana")
    for job_id in ("over", "unproved", "open"):
        RunRows(tx).finish(job_id, 1, JobStatus.COMPLETED)
    for job_id in ("over", "open"):
        RunRows(tx).release(job_id, 1)
    time.now_ms += 3_600_000
    assert JobRows(tx).finished_before(tx.now, 100) == ["over"]
    assert JobRows(tx).finished_before(tx.now - 3_600_001, 100) == []
    JobRows(tx).archive("over")
    with pytest.raises(JobNotFound):
        JobRows(tx).get("over")
    assert JobRows(tx).get("over", archived=True).archived_at == tx.now
    assert JobRows(tx).forget_archived_before(tx.now, 100) == 1
    assert events_after(tx, "over", 0, 10) == []
