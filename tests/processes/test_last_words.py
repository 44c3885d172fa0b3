"""What a job said at last is kept, however it ends: its error with file and line, and how far it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.job import Job
from tests.processes import samples_told
from tests.processes.conftest import Jobs

MODULES = f"tests.processes.samples,{samples_told.__name__}"


@pytest.fixture
def told(open_jobs: Callable[..., Jobs]) -> Jobs:
    return open_jobs(workflows=MODULES)


def seven(job: Job) -> bool:
    return (job.progress.processed, job.progress.total, job.progress.message) == (7, 9, "seven of nine")


def cancel(jobs: Jobs, job_id: str) -> Job:
    jobs.manager.cancel(job_id, "me")
    return jobs.until_over(job_id)


def pause(jobs: Jobs, job_id: str) -> Job:
    jobs.manager.pause(job_id, "me")
    return jobs.until(job_id, lambda job: job.status == "paused" and not job.is_claimed, "it is paused")


def drain(jobs: Jobs, job_id: str) -> Job:
    jobs.drain()
    return jobs.get(job_id)


def kill(jobs: Jobs, job_id: str) -> Job:
    os.kill(jobs.pid(job_id), signal.SIGKILL)
    return jobs.until(job_id, lambda job: job.attempt == 2 or not job.is_live, "its process was killed")


@pytest.mark.parametrize("workflow", ["told", "told_frail"])
@pytest.mark.parametrize("end", [cancel, drain, kill])
def test_what_was_reported_alone_is_kept(told: Jobs, workflow: str, end: Callable[[Jobs, str], Job]) -> None:
    job_id = told.start(workflow)
    told.until(job_id, seven, "it says how far it is")
    assert seven(end(told, job_id))


def test_what_was_reported_alone_is_kept_in_a_pause_and_after_it(told: Jobs) -> None:
    job_id = told.start("told")
    told.until(job_id, seven, "it says how far it is")
    assert seven(pause(told, job_id))
    told.manager.resume(job_id, "me")
    assert seven(told.until(job_id, lambda job: job.attempt == 2, "it goes on"))
    assert seven(cancel(told, job_id))


def test_a_failed_job_keeps_its_line_and_what_it_reported(told: Jobs) -> None:
    job = told.until_over(told.start("told", fails=True))
    assert (job.status, job.error) == ("failed", "LookupError: the eighth is missing")
    assert seven(job)
    assert job.failure is not None
    assert Path(job.failure["file"]).name == "samples_told.py"
    line = Path(job.failure["file"]).read_text(encoding="utf-8").splitlines()[job.failure["line"] - 1]
    assert line.strip() == 'raise LookupError("the eighth is missing")'
    assert "job, config" not in job.failure["traceback"].splitlines()[1], "it begins in the workflow"


def test_what_a_batch_in_hand_reported_is_shown_and_not_counted_on(told: Jobs) -> None:
    job_id = told.start("told", in_batch=True)
    told.until(job_id, lambda job: job.progress.shown == 3, "it says how far its batch is")
    job = pause(told, job_id)
    assert (job.progress.shown, job.progress.processed, job.progress.percent) == (3, 0, 75.0)


@pytest.mark.parametrize(
    ("way", "kind", "words"),
    [
        ("segfault", "Crash", "interrupted: its process was killed by SIGSEGV"),
        ("stopped", "Misused", "the workflow raised JobStopped although nobody had asked the job to stop"),
    ],
)
def test_an_end_by_the_server_has_a_kind_and_no_line(told: Jobs, way: str, kind: str, words: str) -> None:
    job = told.until_over(told.start("end", way=way))
    assert job.failure is not None
    assert job.failure["message"].startswith(words)
    assert {"type": kind, "message": job.error} == job.failure


def test_the_end_that_one_run_expects_is_not_told_of_the_next(told: Jobs) -> None:
    job_id = told.start("trace", total=6, batch_size=2, delay_ms=3_600_000)
    assert told.until_processed(job_id, 2).progress.done_at_ms is not None
    pause(told, job_id)
    told.manager.resume(job_id, "me")
    assert told.until(job_id, lambda job: job.attempt == 2, "it goes on").progress.done_at_ms is None


def test_a_job_ends_although_its_error_never_comes_to_an_end(told: Jobs) -> None:
    job = told.until_over(told.start("told", endless=True))
    assert (job.status, job.error) == ("failed", "Endless: ")
    assert job.failure is not None
    assert (job.failure["type"], Path(job.failure["file"]).name) == ("Endless", "samples_told.py")
    assert seven(job)
