"""Cancels: heeded, not heeded, too early, too late; each proved by an oracle that is not the runner's own walk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from runner.errors import JobFinished, JobNotFound
from runner.job import Job
from tests.processes.conftest import Jobs
from tests.processes.oracle import Lifeline, is_living
from tests.waiting import wait_for

HOUR_MS = 3_600_000


def assert_stopped(job: Job) -> None:
    assert job.status == "cancelled"
    assert job.cancellation is not None
    assert job.cancellation.phase == "stopped"
    assert job.cancellation.stopped_at is not None
    assert job.cancellation.requested_at <= job.cancellation.stopped_at
    assert job.cancellation.survivors == ()
    assert job.released_at is not None


def signals_of(job: Job) -> set[str]:
    assert job.cancellation is not None
    return {receipt["signal"] for receipt in job.cancellation.signals}


def test_a_job_in_its_delay_wakes_and_ends(jobs: Jobs) -> None:
    job_id = jobs.start("count", total=10, batch_size=3, delay_ms=HOUR_MS)
    pid = jobs.until_processed(job_id, 3).process
    answered = jobs.manager.cancel(job_id, "me", "enough")
    assert answered.status == "cancelled"
    assert answered.cancellation is not None
    assert (answered.cancellation.requested_by, answered.cancellation.reason) == ("me", "enough")
    assert answered.cancellation.deadline_at - answered.cancellation.requested_at == 33_000, "20 + 10 + 3 seconds"

    job = jobs.until_over(job_id)
    assert_stopped(job)
    assert pid is not None
    assert not is_living(pid.pid)
    assert job.cancellation is not None
    assert job.cancellation.seen_at is not None, "the workflow has seen it"
    assert job.cancellation.signals == (), "so no signal was needed"
    assert (job.progress.processed, jobs.result(job_id)["counted"]) == (3, 3)
    kinds = [event.kind for event in jobs.events(job_id)]
    assert kinds == ["pending", "running", "cancelled", "finishing_batch", "stopped"]


def test_cancelled_again_it_answers_the_same(jobs: Jobs) -> None:
    job_id = jobs.start("count", delay_ms=HOUR_MS)
    jobs.until_processed(job_id, 2)
    first = jobs.manager.cancel(job_id, "me", "enough").cancellation
    again = jobs.manager.cancel(job_id, "you", "more").cancellation
    over = jobs.until_over(job_id)
    third = jobs.manager.cancel(job_id, "you", "more")
    assert first is not None
    assert again is not None
    assert (again.requested_by, again.requested_at) == ("me", first.requested_at)
    assert third == over, "nothing changes any more"


def test_what_has_ended_cannot_be_cancelled(jobs: Jobs) -> None:
    job_id = jobs.start("count", total=1)
    jobs.until_over(job_id)
    with pytest.raises(JobFinished, match="completed"):
        jobs.manager.cancel(job_id, "me")
    with pytest.raises(JobNotFound):
        jobs.manager.cancel("job_0000000000000_0", "me")
    assert jobs.get(job_id).status == "completed"


def test_a_waiting_job_is_stopped_at_once(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(max_running=1)
    ahead = jobs.start("count", delay_ms=HOUR_MS)
    waiting = jobs.start("count")
    job = jobs.manager.cancel(waiting, "me")
    assert job.cancellation is not None
    assert (job.status, job.cancellation.phase, job.started_at, job.attempt) == ("cancelled", "stopped", None, 0)
    jobs.manager.cancel(ahead, "me")
    jobs.until_over(ahead)
    assert jobs.get(waiting).epoch == 0, "it never ran"


@pytest.mark.parametrize("standby", [0, 1])
def test_cancelled_before_its_process_has_it(open_jobs: Callable[..., Jobs], standby: int) -> None:
    """Wherever between the claim and the first line of the workflow the cancel comes."""
    jobs = open_jobs(standby=standby)
    for _ in range(10):
        job_id = jobs.start("count", delay_ms=HOUR_MS)
        jobs.manager.cancel(job_id, "me")
        assert_stopped(jobs.until_over(job_id))
    assert jobs.until_over(jobs.start("count")).status == "completed", "others still run"


@pytest.mark.parametrize("way", ["swallow", "swallow_all", "fail"])
def test_what_a_workflow_makes_of_the_stop_changes_nothing(jobs: Jobs, way: str) -> None:
    job_id = jobs.start("heed", way=way)
    jobs.until(job_id, lambda job: job.progress.message == "here", "it has begun")
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert_stopped(job)
    assert (job.error, signals_of(job)) == (None, set())


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("wait", {"SIGTERM"}),
        ("loop", {"SIGTERM"}),
        ("match", {"SIGTERM"}),
        ("ignore", {"SIGTERM", "SIGKILL"}),
    ],
)
def test_what_does_not_heed_is_ended(
    open_jobs: Callable[..., Jobs], lifeline: Lifeline, way: str, expected: set[str]
) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2 if way == "ignore" else 20)
    job_id = jobs.start("heed", way=way, lifeline=lifeline.path)
    pid = jobs.pid(job_id)
    wait_for(lambda: lifeline.words(1), "it has begun")
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert_stopped(job)
    assert signals_of(job) == expected
    assert job.cancellation is not None
    assert {receipt["pid"] for receipt in job.cancellation.signals} == {pid}
    assert lifeline.is_let_go()
    phases = [event.kind for event in jobs.events(job_id)]
    assert phases[-2:] == ["terminating" if len(expected) == 1 else "killing", "stopped"]


def test_a_stopped_process_is_ended_like_others(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=20)
    job_id = jobs.start("count", delay_ms=HOUR_MS)
    pid = jobs.pid(job_id)
    jobs.until_processed(job_id, 2)
    os.kill(pid, signal.SIGSTOP)
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert_stopped(job)
    assert signals_of(job) == {"SIGTERM"}, "which it got when it was let go on"


SHAPES = ("plain", "session", "daemon", "shell", "deaf", "stopped", "hop", "headless", "many")


@pytest.mark.parametrize("way", ["ignore", "sleep"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_process_of_a_cancelled_job_is_left(
    open_jobs: Callable[..., Jobs], lifeline: Lifeline, shape: str, way: str
) -> None:
    """The job itself heeds nothing (ignore), or ends at once and leaves the others behind (sleep)."""
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = jobs.start("heed", way=way, lifeline=lifeline.path, grandchildren=shape)
    jobs.until(job_id, lambda job: job.progress.message == "here", "the job has begun")
    wait_for(lambda: lifeline.words(2), "those below it have begun")
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    assert lifeline.is_let_go(), "said to be stopped, but somebody lives"
    assert_stopped(job)
    assert signals_of(job), "also what the job itself took along is listed"


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_job_leaves_behind_is_ended(jobs: Jobs, lifeline: Lifeline, shape: str) -> None:
    job_id = jobs.start("heed", way="end", lifeline=lifeline.path, grandchildren=shape)
    job = jobs.until_over(job_id)
    assert job.status == "completed"
    lifeline.words(1)
    assert lifeline.is_let_go(), "the lock is free, but somebody lives"


def test_a_cancel_at_the_moment_of_the_end(jobs: Jobs) -> None:
    """One of the two comes first; there is one end, and it stays."""
    for total in range(12):
        job_id = jobs.start("count", total=total, batch_size=1)
        if total % 2:
            jobs.until(job_id, lambda job: job.status != "pending", "it has begun")
        try:
            status = jobs.manager.cancel(job_id, "me").status
        except JobFinished:
            status = jobs.get(job_id).status
        job = jobs.until_over(job_id)
        assert job.status == status
        if status == "cancelled":
            assert_stopped(job)
        ends = [event.kind for event in jobs.events(job_id) if event.kind in ("completed", "cancelled", "failed")]
        assert ends == [status]
