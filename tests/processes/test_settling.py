"""A call that nobody answered is settled before the lock is free; a cancel that cannot be written still stops."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.errors import StoppingUnrecorded, StoreUnavailable
from runner.stores.batches import BatchRows
from tests.processes.conftest import Jobs
from tests.processes.oracle import Lifeline, is_living
from tests.processes.samples import effects_in
from tests.waiting import wait_for


def is_open(jobs: Jobs, job_id: str) -> bool:
    with jobs.manager.store.read() as tx:
        return bool(BatchRows(tx, job_id).open_batches())


def hung_in_call(jobs: Jobs, effects: str, count: int, *, before: bool = False, failures: int = 0) -> str:
    """A job that hangs in its second call, before or after the effect."""
    job_id = jobs.start(
        "act", effects=effects, hang_in=2, hang_before=before, settle_failures=failures, key="a", call_seconds=0.2
    )
    jobs.pid(job_id)
    wait_for(lambda: Path(effects + ".hung").exists() and len(effects_in(effects)) == count, "it hangs in its call")
    return job_id


@pytest.mark.parametrize("before", [True, False])
def test_a_process_killed_in_the_call(jobs: Jobs, effects: str, before: bool) -> None:
    job_id = hung_in_call(jobs, effects, 2 if before else 4, before=before)
    os.kill(jobs.pid(job_id), signal.SIGKILL)
    job = jobs.until_over(job_id)
    assert (job.status, job.epoch, job.attempt) == ("completed", 2, 2)
    assert sorted(effects_in(effects)) == (["0", "1", "4", "5"] if before else ["0", "1", "2", "3", "4", "5"])
    settled = jobs.result(job_id)
    assert sorted(settled["done"]) == sorted(effects_in(effects))
    assert settled.get("not_done", []) == (["2", "3"] if before else [])


def test_a_cancelled_job_is_settled_in_a_run_of_its_own(open_jobs: Callable[..., Jobs], effects: str) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=20)
    job_id = hung_in_call(jobs, effects, 4)
    known = jobs.result(job_id)
    assert known["open"] == ["2", "3"], "while it is open, it is shown as open"
    behind = jobs.start("count", key="a")
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert (job.status, job.epoch, job.attempt) == ("cancelled", 2, 1), "an attempt is a start of the job itself"
    assert jobs.result(job_id)["done"] == ["0", "1", "2", "3"]
    assert "open" not in jobs.result(job_id)
    assert job.cancellation is not None
    assert {receipt["signal"] for receipt in job.cancellation.signals} == {"SIGTERM"}
    after = jobs.until_over(behind)
    assert job.released_at is not None
    assert after.claimed_at is not None
    assert job.released_at <= after.claimed_at, "the lock was kept until it was known"


def test_settling_that_fails_is_tried_again(open_jobs: Callable[..., Jobs], effects: str) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=20)
    job_id = hung_in_call(jobs, effects, 4, failures=2)
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert (job.status, job.epoch) == ("cancelled", 4)
    assert Path(effects + ".settles").read_text().split("\n") == ["2 settle", "3 settle", "4 settle", ""]
    assert jobs.result(job_id)["done"] == ["0", "1", "2", "3"]


def test_a_drain_leaves_settling_to_the_next_start(open_jobs: Callable[..., Jobs], effects: str) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=20)
    job_id = hung_in_call(jobs, effects, 4)
    assert jobs.drain() == 1
    kept = jobs.get(job_id)
    assert (kept.is_live, kept.is_claimed, is_open(jobs, job_id)) == (True, True, True), "it keeps its lock"
    jobs.close()
    again = open_jobs()
    assert again.until_over(job_id).status == "completed"
    assert effects_in(effects) == ["0", "1", "2", "3", "4", "5"]


@pytest.fixture
def locked(home: Path) -> Iterator[Callable[[], Callable[[], None]]]:
    """Takes the database's write lock, as another program would; what it returns gives it back."""
    with closing(sqlite3.connect(home / "runner.db", isolation_level=None, check_same_thread=False)) as connection:

        def take() -> Callable[[], None]:
            wait_for(lambda: _begins(connection), "the lock is to be had")
            return lambda: connection.execute("ROLLBACK").close()

        yield take
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _begins(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


@pytest.mark.parametrize("way", ["sleep", "fail"])
def test_a_cancel_that_cannot_be_written(
    jobs: Jobs, home: Path, locked: Callable[[], Callable[[], None]], way: str
) -> None:
    """The process is stopped all the same; it is written when the lock goes; the job is never failed or resumed."""
    job_id = jobs.start("heed", way=way)
    pid = jobs.pid(job_id)
    jobs.until(job_id, lambda job: job.progress.message == "here", "it has begun")
    give_back = locked()
    with pytest.raises(StoppingUnrecorded) as unrecorded:
        jobs.manager.cancel(job_id, "me")
    assert unrecorded.value.journalled
    assert job_id in (home / "cancels.journal").read_text()
    wait_for(lambda: not is_living(pid), "its process is gone while the database is locked")
    assert jobs.get(job_id).status == "running", "which nobody could write"
    give_back()
    job = jobs.until_over(job_id)
    assert job.cancellation is not None
    assert (job.status, job.epoch, job.cancellation.phase, job.error) == ("cancelled", 1, "stopped", None)
    wait_for(lambda: not (home / "cancels.journal").exists(), "the journal is empty again")


def test_a_locked_database_holds_up_no_ladder(
    open_jobs: Callable[..., Jobs], locked: Callable[[], Callable[[], None]], lifeline: Lifeline
) -> None:
    """The process is ended while the database is locked; that it is, is said when it can be written."""
    jobs = open_jobs(grace_seconds=1.0, terminate_seconds=3.0)
    job_id = jobs.start("heed", way="ignore", lifeline=lifeline.path)
    pid = jobs.pid(job_id)
    wait_for(lambda: lifeline.words(1), "it has begun")
    jobs.manager.cancel(job_id, "me")
    unlock = locked()
    wait_for(lambda: not is_living(pid), "it is ended")
    told = jobs.get(job_id).cancellation
    assert told is not None
    assert told.phase != "stopped"
    unlock()
    job = jobs.until_over(job_id)
    assert job.cancellation is not None
    assert job.cancellation.phase == "stopped"
    assert {receipt["signal"] for receipt in job.cancellation.signals} == {"SIGTERM", "SIGKILL"}


def test_an_unwritten_cancel_outlives_the_server(
    open_jobs: Callable[..., Jobs], locked: Callable[[], Callable[[], None]]
) -> None:
    jobs = open_jobs()
    job_id = jobs.start("heed", way="sleep")
    jobs.until(job_id, lambda job: job.progress.message == "here", "it has begun")
    pid = jobs.pid(job_id)
    give_back = locked()
    with pytest.raises(StoppingUnrecorded):
        jobs.manager.cancel(job_id, "me")
    wait_for(lambda: not is_living(pid), "its process is gone")
    jobs.manager._supervisor._over = True  # the server dies here: it writes nothing more
    jobs.close()
    give_back()
    job = open_jobs().until_over(job_id)
    assert (job.status, job.epoch) == ("cancelled", 1)


def test_many_who_wait_for_a_locked_database_give_up_together(
    jobs: Jobs, locked: Callable[[], Callable[[], None]]
) -> None:
    """Not one after the other: the tenth would wait ten times as long."""
    give_back = locked()
    outcomes: list[type[BaseException]] = []

    def start_one() -> None:
        try:
            jobs.start("count")
        except StoreUnavailable as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=start_one) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(outcomes) == 10, "all have been told", seconds=25)  # one after the other it would be 50
    for thread in threads:
        thread.join()
    give_back()
    assert jobs.until_over(jobs.start("count")).status == "completed"
