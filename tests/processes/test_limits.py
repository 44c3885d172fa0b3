"""Timeouts and memory limits: through the same ladder as a cancel, and told apart from crashes and cancels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.job import Job, StopReason
from tests.processes.conftest import Jobs, request
from tests.processes.oracle import Lifeline
from tests.processes.samples import effects_in
from tests.waiting import wait_for

HOUR_MS = 3_600_000


def start(
    jobs: Jobs, workflow: str, *, timeout_ms: int | None = None, memory_mb: int | None = None, **config: object
) -> str:
    made = request(workflow, **config)
    limited = type(made)(
        made.workflow, made.config, made.options, made.created_by, timeout_ms=timeout_ms, max_memory_mb=memory_mb
    )
    return jobs.manager.start(limited)


def assert_failed(job: Job, reason: StopReason) -> str:
    assert (job.status, job.stop_reason, job.crashes, job.cancellation) == ("failed", reason, 0, None)
    assert job.error is not None
    return job.error


def test_a_job_whose_time_is_over_stops_at_a_checkpoint_and_a_retry_goes_on(jobs: Jobs) -> None:
    job_id = start(jobs, "trace", timeout_ms=300, total=4, batch_size=2, delay_ms=HOUR_MS)
    error = assert_failed(jobs.until_over(job_id), StopReason.TIMEOUT)
    assert error == "timed out: it ran longer than timeoutMs (300); it stopped at a checkpoint, what was done is kept"
    assert jobs.result(job_id)["done"] == [0, 1]
    retry = jobs.manager.retry(job_id, "me")
    assert (jobs.get(retry).progress.processed, jobs.get(retry).timeout_ms) == (2, 300)
    jobs.until_over(retry)


def test_a_job_in_time_is_left_alone(jobs: Jobs) -> None:
    job_id = start(jobs, "trace", timeout_ms=HOUR_MS, memory_mb=10_000, total=4, delay_ms=20)
    assert jobs.until_over(job_id).status == "completed"


def test_a_deaf_job_whose_time_is_over_is_ended_and_says_where_it_was(
    open_jobs: Callable[..., Jobs], lifeline: Lifeline
) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = start(jobs, "heed", timeout_ms=200, way="ignore", lifeline=lifeline.path)
    wait_for(lambda: lifeline.words(1), "it has begun")
    job = jobs.until_over(job_id)
    error = assert_failed(job, StopReason.TIMEOUT)
    assert lifeline.is_let_go()
    assert "did not stop: " in error
    assert "_wait_for_ever" in error
    assert job.post_mortem is not None


def test_the_time_of_a_pause_is_not_counted(jobs: Jobs) -> None:
    job_id = start(jobs, "trace", timeout_ms=HOUR_MS, total=4, batch_size=2, delay_ms=HOUR_MS)
    jobs.until_processed(job_id, 2)
    jobs.manager.pause(job_id, "me")
    ran = jobs.until(job_id, lambda job: job.status == "paused", "it is paused").ran_ms
    jobs.manager.resume(job_id, "me")
    again = jobs.until(job_id, lambda job: job.attempt == 2, "it runs again")
    assert 0 < ran == again.ran_ms < HOUR_MS
    jobs.manager.cancel(job_id, "me")
    assert jobs.until_over(job_id).status == "cancelled", "a cancel is no timeout"


def test_a_call_cut_by_a_timeout_is_found_out(open_jobs: Callable[..., Jobs], effects: str) -> None:
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1)
    job_id = start(jobs, "act", timeout_ms=2000, effects=effects, hang_in=2, call_seconds=0.5, key="k")
    wait_for(lambda: Path(effects + ".hung").exists(), "the second call hangs")
    assert_failed(jobs.until_over(job_id), StopReason.TIMEOUT)
    assert jobs.result(job_id)["done"] == effects_in(effects)
    assert "open" not in jobs.result(job_id)


def test_a_job_that_grows_stops_before_its_limit_and_loses_nothing(jobs: Jobs) -> None:
    job_id = start(jobs, "grow", memory_mb=800, mb=10, delay_ms=60)
    job = jobs.until_over(job_id)
    error = assert_failed(job, StopReason.MEMORY)
    assert "stopped at a checkpoint" in error
    assert "of maxMemoryMb (800)" in error
    done = jobs.result(job_id)["done"]
    assert done == list(range(job.progress.processed))
    assert done


@pytest.mark.parametrize("below", [False, True])
def test_a_job_that_takes_too_much_at_once_is_killed(jobs: Jobs, below: bool) -> None:
    """Also where it is a process below the job's that takes it; the job itself may just heed the flag before."""
    job_id = start(jobs, "grow", memory_mb=100, mb=50 if not below else 300, batches=40, bomb=not below, below=below)
    job = jobs.until_over(job_id)
    error = assert_failed(job, StopReason.MEMORY)
    assert "ended by force" in error or (below and "stopped at a checkpoint" in error)
