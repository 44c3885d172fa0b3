"""How jobs end, each in a real process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes.conftest import Jobs


def test_a_job_runs_and_is_completed(jobs: Jobs) -> None:
    job_id = jobs.start("count", total=10, batch_size=3)
    job = jobs.until_over(job_id)
    assert (job.status, job.attempt, job.crashes, job.epoch) == ("completed", 1, 0, 1)
    assert (job.progress.processed, job.progress.total, job.progress.current_batch) == (10, 10, 4)
    assert jobs.result(job_id)["counted"] == 10
    assert job.started_at is not None
    assert job.completed_at is not None
    assert job.created_at <= job.started_at <= job.completed_at
    kinds = [event.kind for event in jobs.events(job_id)]
    assert (kinds[0], kinds[-1]) == ("pending", "completed"), "nothing comes after the end"


def test_a_job_with_nothing_to_do_is_completed(jobs: Jobs) -> None:
    job = jobs.until_over(jobs.start("count", total=0))
    assert (job.status, job.progress.percent) == ("completed", 100.0)


def test_without_a_process_standing_by(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(standby=0)
    assert jobs.until_over(jobs.start("count")).status == "completed"


def test_what_a_job_says_is_seen_before_it_commits(jobs: Jobs) -> None:
    job_id = jobs.start("heed", way="sleep")
    jobs.until(job_id, lambda job: job.progress.message == "here", "its word is seen")
    jobs.manager.cancel(job_id, "tester")
    jobs.until_over(job_id)


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("raise", "ValueError: it broke"),
        ("odd_words", "ValueError: half ? and nothing "),
        ("no_words", "Unspeakable: "),
        ("quiet_exit", "interrupted: its process exited with code 0 without an end"),
        ("exit", "SystemExit: 3"),
        ("segfault", "interrupted: its process was killed by SIGSEGV"),
        ("odd_signal", "interrupted: its process was killed by signal 35"),
        ("no_json", "TypeError: Object of type object is not JSON serializable"),
        ("no_number", "ValueError: Out of range float values are not JSON compliant"),
        ("no_dict", "TypeError: a workflow returns a dict or None, not list"),
        ("out_of_memory", "MemoryError: "),
        ("stopped", "the workflow raised JobStopped although nobody had asked the job to stop"),
    ],
)
def test_a_bad_end_is_a_failure_in_words(jobs: Jobs, way: str, error: str) -> None:
    job = jobs.until_over(jobs.start("end", way=way))
    assert (job.status, job.crashes) == ("failed", 0)
    assert job.error is not None
    assert job.error.startswith(error)


def test_a_config_comes_back_as_what_it_was(jobs: Jobs) -> None:
    """A time, a set and an enumeration are strings and lists on the wire."""
    found = jobs.start("end", way="no_words", since="2026-01-01T00:00:00Z", tags=["a"])
    assert jobs.until_over(found).error == "Unspeakable: "


@pytest.mark.parametrize("point", ["start:0", "before:1", "before:3", "after:1", "after:3", "after:5", "end:0"])
def test_killed_anywhere_it_goes_on_at_the_next_batch(jobs: Jobs, home: Path, point: str) -> None:
    job_id = jobs.start("trace", total=10, batch_size=2, die_at=point, deaths=str(home / "deaths"))
    job = jobs.until_over(job_id)
    assert (job.status, job.attempt, job.epoch) == ("completed", 2, 2)
    assert jobs.result(job_id) | {"attempts": 0} == {"done": list(range(10)), "attempts": 0, "whole": True}
    assert job.progress.processed == 10


def test_what_cannot_go_on_has_failed_and_keeps_what_it_did(jobs: Jobs, home: Path) -> None:
    job_id = jobs.start("frail", total=10, batch_size=2, die_at="after:3", deaths=str(home / "deaths"))
    job = jobs.until_over(job_id)
    assert (job.status, job.error) == ("failed", "interrupted: its process was killed by SIGKILL")
    assert jobs.result(job_id)["done"] == [0, 1, 2, 3, 4, 5]


def test_three_crashes_without_getting_on_are_a_failure(jobs: Jobs) -> None:
    job = jobs.until_over(jobs.start("crash", total=0))
    assert (job.status, job.attempt) == ("failed", 3)
    assert job.error == (
        "crashed 3 times without getting on; the last time its process exited with code 7 without an end"
    )


def test_a_job_that_gets_on_may_crash_more_often(jobs: Jobs) -> None:
    job = jobs.until_over(jobs.start("crash", total=3))
    assert (job.status, job.attempt, job.progress.processed) == ("failed", 5, 3), (
        "the run of the last commit is the first of three"
    )
