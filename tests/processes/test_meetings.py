"""How stops meet: a cancel after a pause, a limit beside another, a settling that is told to hurry."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import runner.pausing
import runner.running
from runner.job import Cancellation, Job
from runner.stop import Ladder, step
from runner.tree import JobTree
from tests.processes.conftest import SAMPLES, Jobs, is_over
from tests.processes.samples import effects_in
from tests.processes.test_limits import start as start_limited
from tests.waiting import wait_for

WORKFLOWS = f"{SAMPLES},tests.processes.samples_meetings"
Open = Callable[..., Jobs]


def until_settling(open_jobs: Open, effects: str, call_seconds: float) -> tuple[Jobs, str]:
    """A job that is paused, while what its cut call came to is being found out for ``call_seconds``."""
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = jobs.start("act", effects=effects, hang_in=2, call_seconds=call_seconds, key="k", total=6)
    wait_for(lambda: Path(effects + ".hung").exists(), "the second call hangs")
    jobs.manager.pause(job_id, "me")
    jobs.until(job_id, lambda job: job.status == "paused" and job.is_claimed, "it is paused and settles")
    return jobs, job_id


def cancellation_of(job: Job) -> Cancellation:
    assert job.cancellation is not None
    return job.cancellation


def until_unconfirmed(jobs: Jobs, job_id: str) -> None:
    wait_for(lambda: jobs.manager._supervisor.launcher.running[job_id].phase == "unconfirmed", "it would not die")


def wait_past(jobs: Jobs, at_ms: int) -> None:
    wait_for(lambda: jobs.manager.clock.now_ms() > at_ms, "that time is over")


def test_a_pause_while_what_an_earlier_one_left_open_is_found_out_is_kept(open_jobs: Open, effects: str) -> None:
    jobs, job_id = until_settling(open_jobs, effects, 2.0)
    assert jobs.manager.resume(job_id, "me").status == "pending"
    assert jobs.manager.pause(job_id, "me").status == "paused", "at once: it has no run of its own"
    job = jobs.until(job_id, lambda job: not job.is_claimed, "it is settled")
    assert (job.status, job.attempt) == ("paused", 1)
    jobs.manager.resume(job_id, "me")
    assert jobs.until_over(job_id).status == "completed"
    assert sorted(effects_in(effects)) == [str(number) for number in range(6)], "each once"


@pytest.mark.parametrize("force", [False, True])
def test_a_cancel_of_a_job_resumed_while_it_settles_has_nothing_to_wait_for(
    open_jobs: Open, effects: str, force: bool
) -> None:
    jobs, job_id = until_settling(open_jobs, effects, 2.0)
    jobs.manager.resume(job_id, "me")
    cancelled = jobs.manager.cancel(job_id, "me", force=force)
    assert cancelled.is_claimed, "the lock is kept until it is settled"
    assert cancellation_of(cancelled).phase == "stopped"
    jobs.until_over(job_id)
    assert jobs.result(job_id) == {"done": effects_in(effects)}, "nothing is open"


def test_a_pause_that_comes_late_does_not_stop_the_next_run(
    open_jobs: Open, effects: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is written, and before its process is told, the job has been paused, resumed and begun again."""
    jobs = open_jobs()
    job_id = jobs.start("act", effects=effects, total=4000, batch_size=1)
    jobs.until_processed(job_id, 3)

    def meanwhile(point: str) -> None:
        if point == "after_pause_commit":
            jobs.until(job_id, lambda job: job.status == "paused" and not job.is_claimed, "its row has stopped it")
            jobs.manager.resume(job_id, "other")
            jobs.until(job_id, lambda job: job.status == "running", "it runs again")

    monkeypatch.setattr(runner.pausing, "crashpoint", meanwhile)
    jobs.manager.pause(job_id, "me")
    done = jobs.get(job_id).progress.processed
    job = jobs.until_processed(job_id, done + 3)
    assert (job.status, job.error) == ("running", None)
    jobs.manager.cancel(job_id, "me")
    jobs.until_over(job_id)


def test_a_settling_is_not_stopped_by_the_memory_it_takes(open_jobs: Open, effects: str) -> None:
    """It would only begin anew, again and again, with the lock held."""
    jobs = open_jobs(workflows=WORKFLOWS)
    job_id = start_limited(jobs, "settles_hungrily", memory_mb=100, effects=effects)
    wait_for(lambda: Path(effects + ".hung").exists(), "its call hangs")
    jobs.manager.cancel(job_id, "me", force=True)
    jobs.until_over(job_id)
    assert effects_in(effects + ".settles") == ["tried"]


def test_a_cancel_after_a_pause_that_was_never_confirmed_says_so_too(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1)
    job_id = jobs.start("heed", way="ignore")
    pid = jobs.pid(job_id)
    jobs.until(job_id, lambda job: job.progress.message == "here", "it is deaf")
    monkeypatch.setattr(JobTree, "kill", lambda _: [])  # as if it sat in a call that nothing can interrupt
    jobs.manager.pause(job_id, "me")
    until_unconfirmed(jobs, job_id)
    pausing = jobs.until(job_id, lambda job: job.survivors, "who would not die is named")
    assert (pausing.status, [one["pid"] for one in pausing.survivors]) == ("running", [pid])
    jobs.manager.cancel(job_id, "me")
    job = jobs.until(job_id, lambda job: cancellation_of(job).phase == "unconfirmed", "the cancel says it")
    assert [one["pid"] for one in cancellation_of(job).survivors] == [pid]
    monkeypatch.undo()
    job = jobs.until_over(job_id)
    assert cancellation_of(job).phase == "stopped"
    assert not job.survivors


def test_force_is_not_lost_between_its_thread_and_the_loop(open_jobs: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes just when the loop has looked at the ladder and not yet written down where that stands."""
    jobs = open_jobs(grace_seconds=1, terminate_seconds=600)
    job_id = jobs.start("heed", way="ignore")
    jobs.until(job_id, lambda job: job.progress.message == "here", "it is deaf")
    forcing = threading.Thread(target=lambda: jobs.manager.cancel(job_id, "me", force=True))

    def slowly(ladder: Ladder, now: float) -> object:
        found = step(ladder, now)
        if found[1] and not forcing.ident:
            forcing.start()
            forcing.join(1.0)  # it cannot end while the ladder is being climbed
        return found

    monkeypatch.setattr(runner.running, "step", slowly)
    jobs.manager.cancel(job_id, "me")
    assert jobs.until_over(job_id).status == "cancelled"
    forcing.join()


def test_one_run_that_cannot_be_signalled_does_not_hold_up_the_others(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1)
    first, second = jobs.start("heed", way="ignore"), jobs.start("heed", way="ignore")
    broken = jobs.pid(first)
    for job_id in (first, second):
        jobs.until(job_id, lambda job: job.progress.message == "here", "it is deaf")
    kill = JobTree.kill

    def fail(tree: JobTree) -> list[int]:
        if tree.root.pid == broken:
            raise RecursionError("too deep")
        return kill(tree)

    monkeypatch.setattr(JobTree, "kill", fail)
    jobs.manager.cancel(first, "me")
    jobs.manager.cancel(second, "me")
    jobs.until_over(second)
    assert not is_over(jobs.get(first))
    assert "cannot be signalled" in caplog.text
    assert "stumbled" not in caplog.text, "the loop goes on without a pause"
    monkeypatch.undo()
    jobs.until_over(first)


def test_what_is_left_behind_by_a_job_that_heeded_is_not_its_fault(open_jobs: Open) -> None:
    jobs = open_jobs(workflows=WORKFLOWS)
    limited = start_limited(jobs, "leaves_a_child", timeout_ms=800)
    assert "stopped at a checkpoint" in (jobs.until_over(limited).error or "")
    drained = jobs.start("leaves_a_child")
    jobs.until(drained, lambda job: job.progress.message == "here", "it is there")
    assert jobs.drain() == 0, "none was forced"


def test_of_two_limits_the_first_is_the_reason(open_jobs: Open) -> None:
    jobs = open_jobs(workflows=WORKFLOWS)
    job = jobs.until_over(start_limited(jobs, "late_and_hungry", timeout_ms=300, memory_mb=150, mb=300))
    assert (job.stop_reason, (job.error or "").split(":")[0]) == ("timeout", "timed out")


def test_a_crash_is_no_timeout_though_it_is_recorded_late(open_jobs: Open, home: Path) -> None:
    jobs = open_jobs()
    job_id = start_limited(jobs, "heed", timeout_ms=1500, way="wait")
    pid = jobs.pid(job_id)
    database = sqlite3.connect(home / "runner.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    os.kill(pid, signal.SIGSEGV)
    wait_past(jobs, jobs.manager.clock.now_ms() + 2500)
    database.execute("ROLLBACK")
    database.close()
    job = jobs.until(job_id, lambda job: job.status == "failed" or job.attempt == 2, "it goes on or has failed")
    assert (job.status, job.stop_reason) == ("running", None)
    jobs.manager.cancel(job_id, "me", force=True)
    jobs.until_over(job_id)


def test_the_time_of_a_settling_is_not_counted(open_jobs: Open, effects: str) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = start_limited(
        jobs, "act", timeout_ms=60_000, effects=effects, hang_in=2, call_seconds=1.5, key="k", total=6
    )
    wait_for(lambda: Path(effects + ".hung").exists(), "the second call hangs")
    jobs.manager.pause(job_id, "me")
    ran = jobs.until(job_id, lambda job: job.status == "paused" and job.is_claimed, "it is paused and settles").ran_ms
    settled = jobs.until(job_id, lambda job: job.status == "paused" and not job.is_claimed, "it is settled")
    assert settled.ran_ms == ran > 0
    jobs.manager.cancel(job_id, "me")


def test_jobs_are_drained_though_the_store_is_locked(
    open_jobs: Open, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One wait for the store, not one a job; and their next run begins where they were."""
    jobs = open_jobs()
    several = [jobs.start("trace", total=4, batch_size=2, delay_ms=3_600_000) for _ in range(5)]
    for job_id in several:
        jobs.until_processed(job_id, 2)
    database = sqlite3.connect(home / "runner.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    draining = threading.Thread(target=jobs.drain)
    draining.start()
    runs = jobs.manager._supervisor.launcher.running
    wait_for(lambda: all(run.exited for run in list(runs.values())), "all have stopped")
    database.execute("ROLLBACK")
    database.close()
    draining.join()
    assert caplog.text.count("stopped unrecorded") == 1
    assert {jobs.get(job_id).status for job_id in several} == {"pending"}
