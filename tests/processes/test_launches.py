"""Who runs when, in which process, and what happens when something dies on the way."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import Draining, JobFinished, LockBusy
from runner.job import Job
from runner.stores.database import SqlStore
from tests.processes.conftest import Jobs, is_over, request
from tests.processes.oracle import is_living, zombies
from tests.waiting import wait_for

HOUR_MS = 3_600_000


def most_at_once(jobs: Sequence[Job]) -> int:
    """How many held a slot at the same time at most."""
    changes = []
    for job in jobs:
        assert job.claimed_at is not None
        assert job.released_at is not None
        changes += [(job.claimed_at, 1), (job.released_at, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


def standby(jobs: Jobs) -> int:
    pool = jobs.manager._supervisor._pool
    return wait_for(pool.pids, "a process stands by")[0]


def test_never_more_run_than_may(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(max_running=3, standby=2)
    ids: list[str] = []

    def start_some() -> None:
        ids.extend([jobs.start("count", total=4) for _ in range(5)])

    threads = [threading.Thread(target=start_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [jobs.until_over(job_id) for job_id in ids]
    assert {job.status for job in found} == {"completed"}
    assert {(job.epoch, job.attempt) for job in found} == {(1, 1)}, "each was claimed once"
    assert most_at_once(found) <= 3


def test_who_waits_longest_runs_next(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(max_running=1)
    first = jobs.start("count", delay_ms=HOUR_MS)
    ids = []
    for _ in range(4):
        ids.append(jobs.start("count"))
        created = jobs.get(ids[-1]).created_at
        wait_for(lambda created=created: jobs.manager.clock.now_ms() > created, "a millisecond is over")  # type: ignore[misc]
    jobs.until_processed(first, 2)
    assert all(jobs.get(job_id).status == "pending" for job_id in ids)
    jobs.manager.cancel(first, "me")
    claims = [jobs.until_over(job_id).claimed_at or 0 for job_id in ids]
    assert claims == sorted(claims)


def test_two_jobs_on_one_thing_never_run_beside_each_other(jobs: Jobs) -> None:
    first = jobs.start("count", key="a", delay_ms=HOUR_MS)
    others = [jobs.start("count", key="a") for _ in range(3)]
    free = jobs.start("count", key="b")
    assert jobs.until_over(free).status == "completed", "another key is not held up"
    assert jobs.get(others[0]).waiting_for == first
    with pytest.raises(LockBusy) as busy:
        jobs.manager.start(replace(request("count", key="a"), reject_if_busy=True))
    assert busy.value.job_id == first
    jobs.manager.cancel(first, "me")
    found = [jobs.until_over(job_id) for job_id in [first, *others]]
    assert most_at_once(found) == 1
    assert jobs.get(others[0]).waiting_for is None


def bound_to(jobs: Jobs, job_id: str) -> int | None:
    run = jobs.manager._supervisor.launcher.running.get(job_id)
    return run.process.identity.pid if run else None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_before_it_has_its_job(jobs: Jobs, number: signal.Signals) -> None:
    """Another one has it under a new epoch; neither a crash nor an attempt."""
    frozen = standby(jobs)
    os.kill(frozen, signal.SIGSTOP)
    job_id = jobs.start("frail", total=4)
    wait_for(lambda: bound_to(jobs, job_id) == frozen, "the process that does not answer is to have the job")
    assert jobs.get(job_id).status == "pending"
    os.kill(frozen, number)
    with contextlib.suppress(ProcessLookupError):
        os.kill(frozen, signal.SIGCONT)  # else it would not see a SIGTERM
    job = jobs.until_over(job_id)
    assert job.status == "completed"
    assert (job.epoch, job.attempt, job.crashes) == (2, 1, 0)


def test_cancelled_while_its_process_does_not_answer(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=20)
    frozen = standby(jobs)
    os.kill(frozen, signal.SIGSTOP)
    job_id = jobs.start("count")
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert job.cancellation is not None
    assert (job.status, job.cancellation.phase) == ("cancelled", "stopped")
    assert not is_living(frozen)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_the_manager_of_live_progress(jobs: Jobs, number: signal.Signals) -> None:
    """It costs freshness, nothing else: jobs go on, end, start and are cancelled."""
    before = jobs.start("trace", total=6, delay_ms=100)
    asleep = jobs.start("count", delay_ms=HOUR_MS)
    jobs.until_processed(asleep, 2)
    pid = jobs.manager._supervisor.live.pid
    assert pid is not None
    os.kill(pid, number)
    after = [jobs.start("trace", total=6, delay_ms=10) for _ in range(3)]
    for job_id in [before, *after]:
        assert jobs.until_over(job_id).status == "completed"
        assert jobs.result(job_id)["done"] == list(range(6))
    jobs.manager.cancel(asleep, "me")
    assert jobs.until_over(asleep).status == "cancelled"


def test_a_drain_puts_back_what_can_go_on(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(max_running=3)
    resumable = jobs.start("trace", total=6, delay_ms=1500)
    frail = jobs.start("frail", total=6, delay_ms=HOUR_MS)
    locked = jobs.start("count", key="a", total=4, delay_ms=1500)
    waiting = jobs.start("count", key="a", total=4)
    for job_id in (resumable, frail, locked):
        jobs.until_processed(job_id, 2)
    assert jobs.drain() == 0, "nobody was forced"
    with pytest.raises(Draining):
        jobs.start("count")
    for job_id in (resumable, locked, waiting):
        job = jobs.get(job_id)
        assert (job.status, job.is_claimed) == ("pending", False)
    failed = jobs.get(frail)
    assert (failed.status, failed.error) == ("failed", "interrupted: the server went down while it ran")
    jobs.close()

    again = open_jobs()
    job = again.until_over(resumable)
    assert (job.status, job.crashes, job.attempt) == ("completed", 0, 2)
    assert again.result(resumable)["done"] == list(range(6))
    assert most_at_once([again.until_over(locked), again.until_over(waiting)]) == 1


def test_a_drain_forces_who_does_not_heed(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = jobs.start("heed", way="ignore")
    jobs.until(job_id, lambda job: job.progress.message == "here", "it has begun")
    assert jobs.drain() == 1
    assert (jobs.get(job_id).status, jobs.get(job_id).is_claimed) == ("pending", False)


def test_a_drain_while_jobs_are_on_their_way(open_jobs: Callable[..., Jobs]) -> None:
    """Claimed, but not in a process yet: they neither hold up the drain nor are they lost."""
    jobs = open_jobs(standby=0)
    ids = [jobs.start("trace", total=2) for _ in range(8)]
    jobs.drain()
    jobs.close()
    again = open_jobs()
    for job_id in ids:
        job = again.until_over(job_id)
        assert (job.status, job.crashes) == ("completed", 0)
        assert again.result(job_id)["done"] == [0, 1]


def test_a_cancel_while_draining(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(grace_seconds=20)
    job_id = jobs.start("heed", way="ignore")
    jobs.until(job_id, lambda job: job.progress.message == "here", "it has begun")
    drained = threading.Thread(target=jobs.drain)
    drained.start()
    wait_for(lambda: jobs.manager.draining, "it drains")
    assert jobs.manager.cancel(job_id, "me").status == "cancelled"
    os.kill(jobs.manager._supervisor.launcher.running[job_id].process.identity.pid, signal.SIGKILL)
    drained.join()
    job = jobs.get(job_id)
    assert job.cancellation is not None
    assert (job.status, job.cancellation.phase, job.is_claimed) == ("cancelled", "stopped", False)


def test_nothing_leaks(open_jobs: Callable[..., Jobs]) -> None:
    """100 jobs started, cancelled and killed at random: as many descriptors, threads and zombies as before."""
    jobs = open_jobs(max_running=6, standby=2, grace_seconds=0.5, terminate_seconds=0.5)
    first = jobs.start("heed", way="sleep")
    jobs.until(first, lambda job: job.progress.message == "here", "its progress is seen, so that is connected for good")
    jobs.manager.cancel(first, "me")
    jobs.until_over(first)
    before, files, uncollected = settled_counts(jobs), open_files(), set(zombies())
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ids: list[str] = []
    for _ in range(100):
        ids.append(jobs.start(chance.choice(["count", "frail"]), total=6, delay_ms=chance.choice([0, 1, 100])))
        if chance.random() < 0.4:
            cancel_if_live(jobs, chance.choice(ids))
        if chance.random() < 0.4:
            kill_if_running(jobs, chance.choice(ids))
    found = [jobs.until(job_id, is_over, "the job is over", 120) for job_id in ids]
    assert {job.status for job in found} <= {"completed", "cancelled", "failed"}
    assert all(job.error is None or "killed by SIGKILL" in job.error for job in found)
    wait_for(
        # What 100 jobs leak is more than three descriptors; a connection that some thread opened meanwhile is less.
        lambda: all(now <= was for now, was in zip(settled_counts(jobs), (before[0] + 3, before[1]), strict=True)),
        f"as little is held as before: {before}, {settled_counts(jobs)}, {Counter(open_files()) - Counter(files)}",
    )
    assert set(zombies()) <= uncollected, "beside those that servers killed by other tests have left to this process"


def settled_counts(jobs: Jobs) -> tuple[int, int]:
    """Descriptors and threads, when as many processes stand by as should and nobody is on his way."""
    supervisor = jobs.manager._supervisor

    def is_quiet() -> bool:
        standing_by = len(supervisor._pool.pids())
        if standing_by > jobs.settings.standby:  # one was started for somebody who found another
            jobs.until_over(jobs.start("count", total=0))
        return standing_by == jobs.settings.standby and supervisor.is_idle()

    wait_for(is_quiet, "all is quiet")
    threads = [thread for thread in threading.enumerate() if thread.name != "abort-event"]
    wait_for(lambda: not any(thread.name == "abort-event" for thread in threading.enumerate()), "every flag is set")
    store = jobs.manager.store
    assert isinstance(store, SqlStore)
    store.engine.dispose()  # how many connections it keeps is its own affair
    gc.collect()
    return len(open_files()), len(threads)


def open_files() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return sorted(found)


def cancel_if_live(jobs: Jobs, job_id: str) -> None:
    try:
        jobs.manager.cancel(job_id, "me")
    except JobFinished:
        return


def kill_if_running(jobs: Jobs, job_id: str) -> None:
    run = jobs.manager._supervisor.launcher.running.get(job_id)
    if run is not None and run.process.is_alive():
        os.kill(run.process.identity.pid, signal.SIGKILL)
