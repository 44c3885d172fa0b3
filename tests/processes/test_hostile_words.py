"""What a job says is trusted for nothing: it is the one who suffers for it, and nobody else has to wait."""

from __future__ import annotations

import logging
from collections.abc import Callable

import psutil
import pytest

from tests.processes.conftest import Jobs
from tests.processes.samples_hostile import FAULTS

WORKFLOWS = "tests.processes.samples,tests.processes.samples_hostile"


@pytest.fixture
def jobs(open_jobs: Callable[..., Jobs]) -> Jobs:
    return open_jobs(workflows=WORKFLOWS, standby=2)


@pytest.mark.parametrize("way", FAULTS)
def test_who_sends_what_is_no_message_is_ended_by_force_and_no_other_waits(
    jobs: Jobs, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.control.HALF_SECONDS", 0.3)
    before = psutil.Process().memory_info().rss
    deaf = jobs.start("heed", way="ignore")
    jobs.until(deaf, lambda job: job.progress.message == "here", "the other is at work")
    job_id = jobs.start("hostile", way=way)
    jobs.manager.cancel(deaf, "me", None, force=True)
    assert jobs.until_over(deaf).status == "cancelled"
    job = jobs.until_over(job_id)
    assert job.status == "failed"
    assert job.error is not None
    hung_up = "Transport endpoint is not connected"  # the workflow may see it before it is killed
    assert job.error.startswith("it was ended by force: what it sent on its control pipe") or hung_up in job.error
    assert FAULTS[way][1] in job.error
    assert job.attempt == 1, "it is not begun again, though it could"
    assert jobs.until_over(jobs.start("count")).status == "completed"
    assert psutil.Process().memory_info().rss - before < 30_000_000


def test_who_cannot_speak_or_hear_any_more_is_ended_like_any_other(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(workflows=WORKFLOWS, grace_seconds=0.2, terminate_seconds=0.2)
    job_id = jobs.start("hostile", way="deaf_mute")
    jobs.pid(job_id)
    assert jobs.until_over(jobs.start("count")).status == "completed"
    jobs.manager.cancel(job_id, "me", None)
    assert jobs.until_over(job_id).status == "cancelled"


def test_what_was_said_already_changes_nothing_when_it_is_said_again(jobs: Jobs) -> None:
    job_id = jobs.start("hostile", way="says_it_again")
    jobs.until(job_id, lambda job: job.progress.message == "here", "it is at work")
    jobs.manager.cancel(job_id, "me", None)
    job = jobs.until_over(job_id)
    assert (job.status, job.attempt) == ("cancelled", 1)
    assert job.started_at is not None
    assert job.cancellation is not None
    assert job.cancellation.seen_at is not None
    assert job.cancellation.stopped_at is not None
    assert job.cancellation.seen_at <= job.cancellation.stopped_at, "nobody has seen it before its time"


def test_what_cannot_be_written_of_one_run_keeps_no_other_from_being_written(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As if something of it were unfit for the database."""
    first, second = (jobs.start("heed", way="sleep") for _ in range(2))
    for job_id in (first, second):
        jobs.until(job_id, lambda job: job.progress.message == "here", "it is at work")
    run = jobs.manager._supervisor.launcher.running[first]
    run.signals.append({"signal": object(), "pid": 1, "at": 1})
    run.unrecorded.append(("signals", 1))
    with caplog.at_level(logging.ERROR):
        for job_id in (first, second):
            jobs.manager.cancel(job_id, "me", None)
        assert [jobs.until_over(job_id).status for job_id in (first, second)] == ["cancelled", "cancelled"]
