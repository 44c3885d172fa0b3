"""What every database must keep: claims, epochs, locks, one end, one open intent a person, lists that do not shift.

On SQLite and on PostgreSQL, see ``tests/postgres.py``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from runner.clock import Clock, Deadline
from runner.errors import JobNotFound, LeaseOver, RunSuperseded, StopRequested, StoreUnavailable
from runner.job import TERMINAL, Job, JobStatus, Phase, ProcessIdentity, Progress, StopReason
from runner.ledger import Ledger, RunState
from runner.stores import batches as batch_rows
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.cancels import CancelRows
from runner.stores.database import SqlStore
from runner.stores.events import add_event, events_after
from runner.stores.group_schema import people
from runner.stores.jobs import JobFilter, JobRows, NewJob, change_job
from runner.stores.keys import KeyRows
from runner.stores.migrate import migrate
from runner.stores.runs import LEASE_MS, RunRows
from runner.stores.session import DatabaseSession

ME = ProcessIdentity(4242, 17, "this boot")


class Times:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def clock(self) -> Clock:
        return Clock(now_ms=lambda: self.ms, boot_seconds=lambda: self.ms / 1000, boot_id="this boot")


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, times: Times) -> Iterator[SqlStore]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'runner.db'}" if on_sqlite else request.getfixturevalue("postgres_url")
    migrate(url)
    session = DatabaseSession(url)  # no call begins on a database that no server holds
    session.take()
    found = SqlStore(url, times.clock())
    yield found
    found.close()
    session.close()


def add(store: SqlStore, job_id: str, lock_key: str | None = None, **values: Any) -> str:
    new = NewJob(job_id, values.pop("type", "count"), {}, {}, lock_key, "tester")
    with store.write() as tx:
        JobRows(tx).add(replace(new, **values))
    return job_id


def get(store: SqlStore, job_id: str) -> Job:
    with store.read() as tx:
        return JobRows(tx).get(job_id, archived=True)


def claim(store: SqlStore, job_id: str) -> bool:
    with store.write() as tx:
        return RunRows(tx).claim(job_id, "node", ME)


def finish(store: SqlStore, job_id: str, epoch: int, status: JobStatus = JobStatus.COMPLETED) -> bool:
    with store.write() as tx:
        return RunRows(tx).finish(job_id, epoch, status)


def release(store: SqlStore, job_id: str, epoch: int) -> bool:
    with store.write() as tx:
        return RunRows(tx).release(job_id, epoch)


def cancel(store: SqlStore, job_id: str) -> bool:
    with store.write() as tx:
        return CancelRows(tx).request(job_id, "me", None, 1000) is not None


def ledger(store: SqlStore, job_id: str, epoch: int = 1, lock_key: str | None = None) -> Ledger:
    return Ledger(store, store.clock, job_id, epoch, lock_key)


# -- transactions ----------------------------------------------------------------------------------------------------


def test_what_raises_writes_nothing(store: SqlStore) -> None:
    def write_and_raise() -> None:
        with store.write() as tx:
            JobRows(tx).add(NewJob("a", "count", {}, {}, None, "tester"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_raise()
    with pytest.raises(JobNotFound):
        get(store, "a")


def test_a_second_writer_waits_for_the_first(store: SqlStore) -> None:
    """So what is read inside a write is still true when it is written."""
    add(store, "a")
    counted: list[int] = []

    def count_up() -> None:
        for _ in range(25):
            with store.write() as tx:
                rows = RunRows(tx)
                job = JobRows(tx).get("a")
                if not job.is_claimed:
                    rows.claim("a", "node")
                job = JobRows(tx).get("a")
                progress = Progress(processed=job.progress.processed + 1)
                rows.commit("a", job.epoch, progress=progress, result={}, position=None, settled=False)
            counted.append(1)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(counted), get(store, "a").progress.processed) == (100, 100)


def test_who_must_not_wait_gives_up_while_another_writes(store: SqlStore) -> None:
    """Also where another process does, which shares no queue with this one."""
    elsewhere = SqlStore(store.url, pooled=False).hasty(0.05)
    with store.write(), pytest.raises(StoreUnavailable), elsewhere.write():
        pass
    with elsewhere.write() as tx:
        JobRows(tx).add(NewJob("a", "count", {}, {}, None, "tester"))


def test_what_one_read_sees_is_of_one_moment(store: SqlStore) -> None:
    """So what several statements say of somebody fits together."""
    add(store, "a")
    with store.read() as tx:
        before = JobRows(tx).get("a").status
        elsewhere = SqlStore(store.url, store.clock, pooled=False)
        assert cancel(elsewhere, "a")
        assert JobRows(tx).get("a").status == before
    assert get(store, "a").status != before


def test_an_address_where_nobody_answers(tmp_path: Path) -> None:
    away = SqlStore(f"sqlite:///{tmp_path / 'nowhere' / 'runner.db'}")
    with pytest.raises(StoreUnavailable, match="The database does not answer"), away.read() as tx:
        JobRows(tx).get("a")


def test_a_number_that_is_no_json_is_refused(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    with pytest.raises(Exception, match="not JSON compliant"), store.write() as tx:
        change_job(tx, "a", result={"it": float("nan")})
    run = ledger(store, "a")
    run.commit(None, RunState(Progress(), {"it": float("nan")}), None, lambda _: Progress())
    assert run.fault is not None, "what a workflow says stops no commit"
    assert get(store, "a").result == {}


# -- claims, epochs, locks -------------------------------------------------------------------------------------------


def test_each_claim_raises_the_epoch(store: SqlStore) -> None:
    add(store, "a")
    assert claim(store, "a")
    assert not claim(store, "a"), "it is claimed already"
    assert get(store, "a").epoch == 1
    with store.write() as tx:
        assert RunRows(tx).put_back("a", 1)
    assert claim(store, "a")
    job = get(store, "a")
    assert (job.epoch, job.process, job.status) == (2, ME, "pending")
    with store.write() as tx:
        again = RunRows(tx).claim_again("a", 2, "node")
        assert RunRows(tx).claim_again("a", 2, "node") is None, "that run is over"
    assert again is not None
    assert (again.epoch, again.process) == (3, None)


def test_many_claim_at_once_and_one_gets_it(store: SqlStore) -> None:
    add(store, "a")
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(claim(store, "a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (got.count(True), get(store, "a").epoch) == (1, 1)


def test_a_lock_is_held_until_it_is_released_whatever_the_status(store: SqlStore, times: Times) -> None:
    add(store, "a", "lock")
    times.ms += 1
    add(store, "b", "lock")
    add(store, "c", "other")
    assert claim(store, "a")
    assert not claim(store, "b")
    assert claim(store, "c")
    assert get(store, "b").waiting_for == "a"
    assert finish(store, "a", 1)
    assert not claim(store, "b"), "its end is not the proof that it is gone"
    assert release(store, "a", 1)
    assert get(store, "b").waiting_for is None
    assert claim(store, "b")


def test_the_first_waiting_job_whose_lock_is_free_is_next(store: SqlStore, times: Times) -> None:
    for job_id, lock_key in [("d", "lock"), ("c", "lock"), ("b", None), ("a", None)]:
        times.ms += 1
        add(store, job_id, lock_key)
    order = []
    with store.write() as tx:
        while (job := RunRows(tx).claim_next("node")) is not None:
            order.append(job.id)
    assert order == ["d", "b", "a"], "c waits for the lock, and holds up nobody"


def test_a_new_job_does_not_overtake_those_who_wait(store: SqlStore, times: Times) -> None:
    add(store, "b")
    times.ms += 1
    add(store, "a")
    with store.write() as tx:
        assert not RunRows(tx).claim_first("a", "node", None)
        assert RunRows(tx).claim_first("b", "node", None)
        assert RunRows(tx).claim_first("a", "node", None)


def test_a_lease_is_renewed_and_never_shortened(store: SqlStore, times: Times) -> None:
    add(store, "a")
    claim(store, "a")
    run = ledger(store, "a")
    run.intend(1, [LedgerItem("x")], 3600)
    times.ms += LEASE_MS + 1
    with store.write() as tx:
        RunRows(tx).renew_leases("node")
    run.stamp_call(1, 3600)
    times.ms += 3_600_001
    with pytest.raises(LeaseOver):
        run.stamp_call(1, 1)
    with store.write() as tx:
        RunRows(tx).renew_leases("another node")
    with pytest.raises(LeaseOver):
        run.stamp_call(1, 1)
    with store.write() as tx:
        RunRows(tx).renew_leases("node")
    run.stamp_call(1, 1)


# -- what an older run may no longer do ------------------------------------------------------------------------------


def test_an_older_run_changes_nothing(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    old = ledger(store, "a")
    old.intend(1, [LedgerItem("x")], 1)
    with store.write() as tx:
        RunRows(tx).claim_again("a", 1, "node")
    before = get(store, "a")
    for act in (
        lambda: old.commit(
            1, RunState(Progress(9), {"it": 1}, 9), lambda _: [LedgerItem("x", "done")], lambda _: Progress(9)
        ),
        lambda: old.intend(2, [LedgerItem("y")], 1),
        lambda: old.stamp_call(1, 1),
        lambda: old.withdraw(1),
        lambda: old.give_up(old.open_batches()[0]),
    ):
        with pytest.raises(RunSuperseded):
            act()
    assert not old.complete(RunState(Progress(9), {}))
    assert not old.fail("it broke", unless=lambda: False)
    with store.write() as tx:
        assert not RunRows(tx).release("a", 1)
        assert not RunRows(tx).put_back("a", 1)
        assert not RunRows(tx).bind("a", 1, ME)
        assert not RunRows(tx).count_crash("a", 1)
        RunRows(tx).acknowledge("a", 1, ME, 5, "subreaper")
        RunRows(tx).wait("a", 1, {"reason": "none"})
    assert get(store, "a") == before
    assert [batch.seq for batch in old.open_batches()] == [1]


@pytest.mark.parametrize("is_stopping", [True, False])
def test_a_failure_is_not_written_over_a_stop_that_came_while_the_store_was_locked(
    store: SqlStore, is_stopping: bool
) -> None:
    add(store, "a")
    claim(store, "a")
    assert ledger(store, "a").fail("it broke", unless=lambda: is_stopping) is not is_stopping
    assert get(store, "a").status == ("pending" if is_stopping else "failed")


def test_a_job_ends_once(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    assert cancel(store, "a")
    assert not finish(store, "a", 1), "cancelled, it cannot be completed"
    assert not finish(store, "a", 1, JobStatus.FAILED)
    assert not cancel(store, "a")
    with store.write() as tx:
        assert not RunRows(tx).put_back("a", 1)
        RunRows(tx).acknowledge("a", 1, ME, 5, "subreaper")
    job = get(store, "a")
    assert (job.status, job.attempt, job.started_at) == ("cancelled", 1, 5)
    with store.read() as tx:
        assert [event.kind for event in events_after(tx, "a", 0, 9)] == ["cancelled"]


def test_all_ends_at_once_and_one_of_them_counts(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    ends = [lambda: finish(store, "a", 1), lambda: finish(store, "a", 1, JobStatus.FAILED), lambda: cancel(store, "a")]
    won: list[bool] = []
    threads = [threading.Thread(target=lambda end=end: won.append(end())) for end in ends * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert get(store, "a").status in TERMINAL


def test_a_cancelled_run_may_still_commit_its_batch_and_intend_nothing(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    run = ledger(store, "a")
    run.intend(1, [LedgerItem("x")], 1)
    cancel(store, "a")
    with pytest.raises(StopRequested):
        run.stamp_call(1, 1)
    with pytest.raises(StopRequested):
        run.intend(2, [LedgerItem("y")], 1)
    run.commit(1, RunState(Progress(), {}, 1), lambda _: [LedgerItem("x", "done")], lambda _: Progress(1))
    assert get(store, "a").progress.processed == 1


# -- cancels ---------------------------------------------------------------------------------------------------------


def test_the_phase_of_a_cancel_never_goes_back(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    cancel(store, "a")
    seen = []
    with store.write() as tx:
        rows = CancelRows(tx)
        for phase in [Phase.TERMINATING, Phase.FINISHING_BATCH, Phase.UNCONFIRMED, Phase.KILLING]:
            rows.advance("a", phase)
            cancellation = JobRows(tx).get("a").cancellation
            assert cancellation is not None
            seen.append(cancellation.phase)
        rows.proved("a", 1, "subreaper")
        rows.seen("a", 1, 77)
    assert seen == ["terminating", "terminating", "unconfirmed", "unconfirmed"]
    cancellation = get(store, "a").cancellation
    assert cancellation is not None
    assert (cancellation.phase, cancellation.containment) == ("stopped", "subreaper")
    with store.read() as tx:
        kinds = [event.kind for event in events_after(tx, "a", 0, 99)]
    assert kinds == ["cancelled", "terminating", "unconfirmed", "stopped"]


def test_nothing_is_proved_of_another_run(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    cancel(store, "a")
    with store.write() as tx:
        CancelRows(tx).proved("a", 2, "subreaper")
    cancellation = get(store, "a").cancellation
    assert cancellation is not None
    assert (cancellation.phase, cancellation.stopped_at) == ("requested", None)


# -- the ledger ------------------------------------------------------------------------------------------------------


def test_one_open_intent_a_person_under_one_lock(store: SqlStore) -> None:
    for job_id in ("a", "b"):
        add(store, job_id)
        claim(store, job_id)
    ledger(store, "a", lock_key="group").intend(1, [LedgerItem("x"), LedgerItem("y")], 1)
    with pytest.raises(RunSuperseded):
        ledger(store, "b", lock_key="group").intend(1, [LedgerItem("z"), LedgerItem("x")], 1)
    assert ledger(store, "b").open_batches() == [], "none of the batch was written"
    ledger(store, "b", lock_key="other group").intend(1, [LedgerItem("x")], 1)
    state = RunState(Progress(), {})
    ledger(store, "a", lock_key="group").commit(1, state, lambda _: [LedgerItem("x", "done")], lambda _: Progress())
    assert [item.key for item in ledger(store, "a").open_batches()[0].items] == ["y"], (
        "whoever has no outcome stays open"
    )


def test_an_outcome_is_written_once(store: SqlStore) -> None:
    """A second word on somebody whose intent was settled is another entry, not another truth."""
    add(store, "a")
    claim(store, "a")
    run = ledger(store, "a")
    run.intend(1, [LedgerItem("x")], 1)
    state = RunState(Progress(), {})
    run.commit(1, state, lambda _: [LedgerItem("x", "done")], lambda _: Progress())
    with pytest.raises(Exception, match=r"(?i)unique"):
        run.commit(1, state, lambda _: [LedgerItem("x", "not_done")], lambda _: Progress())
    with store.read() as tx:
        assert [(item.key, item.outcome) for item in BatchRows(tx, "a").items()] == [("x", "done")]


def test_every_change_of_the_ledger_is_seen_in_its_version(store: SqlStore) -> None:
    """A result is put together anew when the version has changed, and only then."""
    add(store, "a")
    claim(store, "a")
    run = ledger(store, "a")
    versions = [get(store, "a").ledger_version]

    def seen() -> bool:
        versions.append(get(store, "a").ledger_version)
        return versions[-1] > versions[-2]

    run.intend(1, [LedgerItem("x")], 1)
    assert seen()
    run.withdraw(1)
    assert seen()
    run.intend(1, [LedgerItem("x")], 1)
    assert seen()
    run.commit(1, RunState(Progress(), {}), lambda _: [LedgerItem("x", "done")], lambda _: Progress())
    assert seen()
    run.intend(2, [LedgerItem("y")], 1)
    assert seen()
    run.give_up(run.open_batches()[0])
    assert seen()
    with store.read() as tx:
        items = [(item.key, item.outcome) for item in BatchRows(tx, "a").items()]
    assert items == [("x", "done"), ("y", batch_rows.UNKNOWN)]
    assert run.open_batches() == []


def test_a_deadline_is_kept_with_the_intent(store: SqlStore, times: Times) -> None:
    add(store, "a")
    claim(store, "a")
    ledger(store, "a").intend(1, [LedgerItem("x")], 12.5)
    assert ledger(store, "a").open_batches()[0].deadline == Deadline(12.5, times.ms / 1000, "this boot")


# -- lists, archive, events ------------------------------------------------------------------------------------------


def test_pages_do_not_shift_while_jobs_are_added(store: SqlStore, times: Times) -> None:
    for number in range(20):
        times.ms += number % 2  # two of the same millisecond each
        add(store, f"job{number:02}")
    seen: list[str] = []
    after = None
    while True:
        with store.read() as tx:
            page = JobRows(tx).newest(JobFilter(after=after), 3)
        if not page:
            break
        seen += [job.id for job in page]
        after = (page[-1].created_at, page[-1].id)
        times.ms += 1
        add(store, f"new{len(seen):02}")
    assert seen == [f"job{number:02}" for number in reversed(range(20))]


def test_a_list_shows_what_is_asked_for(store: SqlStore) -> None:
    add(store, "a", "lock")
    add(store, "b", type="other")
    claim(store, "b")
    finish(store, "b", 1)
    release(store, "b", 1)
    with store.write() as tx:
        JobRows(tx).archive("b")
        rows = JobRows(tx)
        assert [job.id for job in rows.newest(JobFilter(), 9)] == ["a"]
        assert [job.id for job in rows.newest(JobFilter(lock_key="lock"), 9)] == ["a"]
        assert rows.newest(JobFilter(type="other"), 9) == []
        assert [job.id for job in rows.newest(JobFilter(archived=True), 9)] == ["b"]
        assert rows.newest(JobFilter(status=JobStatus.RUNNING), 9) == []
        with pytest.raises(JobNotFound):
            rows.get("b")
        assert rows.get("b", archived=True).archived_at is not None


def test_what_is_open_or_unproved_is_never_archived(store: SqlStore, times: Times) -> None:
    def over() -> list[str]:
        times.ms += 10_000
        with store.read() as tx:
            return JobRows(tx).finished_before(times.ms - 5_000, 9)

    add(store, "a")
    add(store, "waiting")
    assert over() == []
    claim(store, "a")
    ledger(store, "a").intend(1, [LedgerItem("x")], 1)
    finish(store, "a", 1)
    assert over() == [], "its tree is not proved empty"
    release(store, "a", 1)
    assert over() == [], "an intent is open"
    with store.write() as tx:
        rows = BatchRows(tx, "a")
        rows.give_up(rows.open_batches()[0])
    assert over() == ["a"]
    assert get(store, "a").status == "completed"
    cancel(store, "waiting")
    assert over() == ["a", "waiting"], "what never ran has nothing to prove"


def test_the_hour_counts_from_the_later_of_end_and_proof(store: SqlStore, times: Times) -> None:
    add(store, "a")
    claim(store, "a")
    finish(store, "a", 1)
    times.ms += 60_000
    release(store, "a", 1)
    with store.read() as tx:
        assert JobRows(tx).finished_before(times.ms - 1, 9) == []
        assert JobRows(tx).finished_before(times.ms, 9) == ["a"]


def test_what_is_forgotten_takes_all_that_is_its_own_along(store: SqlStore, times: Times) -> None:
    add(store, "a")
    claim(store, "a")
    ledger(store, "a").commit(1, RunState(Progress(), {}), lambda _: [LedgerItem("x", "done")], lambda _: Progress())
    finish(store, "a", 1)
    release(store, "a", 1)
    with store.write() as tx:
        KeyRows(tx).add("me", "key", "hash", "a")
        JobRows(tx).archive("a")
        assert JobRows(tx).forget_archived_before(times.ms - 1, 9) == 0
        assert JobRows(tx).forget_archived_before(times.ms, 9) == 1
        assert list(BatchRows(tx, "a").items()) == []
        assert events_after(tx, "a", 0, 9) == []
        assert KeyRows(tx).find("me", "key") is None


def test_events_are_numbered_without_gaps(store: SqlStore) -> None:
    add(store, "a")

    def add_some() -> None:
        for _ in range(10):
            with store.write() as tx:
                RunRows(tx).wait("a", 0, None)  # as every writer does: the row first, then the event
                add_event(tx, "a", "word", {})
            with contextlib.suppress(RuntimeError), store.write() as tx:
                RunRows(tx).wait("a", 0, None)
                add_event(tx, "a", "taken back", {})
                raise RuntimeError

    threads = [threading.Thread(target=add_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        events = events_after(tx, "a", 0, 99)
        assert [event.seq for event in events] == list(range(1, 41))
        assert {event.kind for event in events} == {"word"}
        assert [event.seq for event in events_after(tx, "a", 38, 99)] == [39, 40]


def test_a_stop_reason_stands(store: SqlStore) -> None:
    add(store, "a")
    with store.write() as tx:
        assert not RunRows(tx).request_stop("a", StopReason.DRAIN), "nobody runs"
        RunRows(tx).claim("a", "node")
        assert RunRows(tx).request_stop("a", StopReason.DRAIN)
        assert not RunRows(tx).request_stop("a", StopReason.DRAIN)
    cancel(store, "a")
    assert get(store, "a").stop_reason == "cancel", "but a cancel goes before a drain"


def test_a_version_tells_of_every_commit_and_of_nothing_else(store: SqlStore) -> None:
    """None where it cannot be told; then nobody relies on it."""
    before = store.version()
    if before is None:
        assert not store.url.startswith("sqlite")
        return
    with store.read() as tx:
        JobRows(tx).count_waiting()
    with contextlib.suppress(KeyError), store.write() as tx:
        KeyRows(tx).forget_before(5)
        raise KeyError
    assert store.version() == before
    add(store, "a")
    after = store.version()
    assert after != before
    other = SqlStore(store.url, pooled=False)
    assert other.version() is None
    add(other, "b")
    assert store.version() != after


def test_an_error_of_the_database_repeats_nothing_that_was_to_be_written(store: SqlStore) -> None:
    """It may come to a log, or stand on a job: what is kept of people must not."""
    row = {"lid": "100000000000001@lid", "name": "Ana Lima"}
    with pytest.raises(IntegrityError) as failed, store.write() as tx:
        tx.connection.execute(insert(people), [row, row])
    assert "Ana Lima" not in str(failed.value)
