"""Pausing, resuming, retrying: the process ends, the place is kept, and nothing is done twice or left out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import JobLive, NotForThatState, RetriedAlready
from runner.job import Job
from tests.processes.conftest import Jobs
from tests.processes.oracle import is_living
from tests.processes.samples import effects_in
from tests.waiting import wait_for

HOUR_MS = 3_600_000


def until_paused(jobs: Jobs, job_id: str) -> Job:
    return jobs.until(job_id, lambda job: job.status == "paused" and not job.is_claimed, "it is paused")


def test_a_paused_job_has_no_process_and_goes_on_from_its_place(jobs: Jobs) -> None:
    job_id = jobs.start("trace", total=6, batch_size=2, delay_ms=HOUR_MS)
    pid = jobs.until_processed(job_id, 2).process
    pausing = jobs.manager.pause(job_id, "me")
    assert (pausing.status, pausing.is_pausing) == ("running", True)
    paused = until_paused(jobs, job_id)
    assert pid is not None
    assert not is_living(pid.pid)
    wait_for(jobs.manager._supervisor.is_idle, "it takes no slot")
    assert (paused.progress.processed, paused.crashes, paused.stop_reason) == (2, 0, None)
    assert jobs.manager.pause(job_id, "me") == paused, "paused again it stays as it is"

    assert jobs.manager.resume(job_id, "me").status == "pending"
    again = jobs.until(job_id, lambda job: job.status == "running" and job.attempt == 2, "it goes on")
    assert again.progress.processed == 2, "and first waits out what is left of the delay"
    kinds = [event.kind for event in jobs.events(job_id)]
    assert kinds == ["pending", "running", "pausing", "paused", "resumed", "running"]
    jobs.manager.cancel(job_id, "me")
    assert jobs.until_over(job_id).status == "cancelled"


def test_paused_and_resumed_again_and_again_each_item_is_done_once(jobs: Jobs) -> None:
    job_id = jobs.start("trace", total=40, batch_size=1, delay_ms=3)
    for goal in (3, 9, 17, 30):
        jobs.until(job_id, lambda job, goal=goal: job.progress.processed >= goal, f"{goal} are done")  # type: ignore[misc]
        jobs.manager.pause(job_id, "me")
        until_paused(jobs, job_id)
        jobs.manager.resume(job_id, "me")
    job = jobs.until_over(job_id)
    assert (job.status, job.attempt, job.crashes) == ("completed", 5, 0)
    assert jobs.result(job_id)["done"] == list(range(40))


def test_a_pause_taken_back_while_it_is_under_way(jobs: Jobs) -> None:
    job_id = jobs.start("heed", way="ignore")
    pid = jobs.pid(job_id)
    jobs.until(job_id, lambda job: job.progress.message == "here", "it is deaf by now")
    jobs.manager.pause(job_id, "me")
    assert not jobs.manager.resume(job_id, "me").is_pausing
    os.kill(pid, signal.SIGKILL)
    job = jobs.until(job_id, lambda job: job.attempt == 2 and job.status == "running", "it runs again after the exit")
    assert job.crashes == 0, "it was asked to end"
    jobs.manager.cancel(job_id, "me", force=True)
    jobs.until_over(job_id)


def test_a_waiting_job_is_paused_at_once_and_lets_others_pass(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(max_running=1)
    ahead = jobs.start("count", delay_ms=HOUR_MS)
    waiting, behind = jobs.start("count"), jobs.start("count")
    assert jobs.manager.pause(waiting, "me").status == "paused"
    jobs.manager.cancel(ahead, "me")
    assert jobs.until_over(behind).status == "completed"
    assert jobs.get(waiting).status == "paused"
    jobs.manager.resume(waiting, "me")
    assert jobs.until_over(waiting).status == "completed"


def test_a_paused_job_survives_its_server(open_jobs: Callable[..., Jobs]) -> None:
    first = open_jobs()
    job_id = first.start("trace", total=4, batch_size=2, delay_ms=HOUR_MS)
    first.until_processed(job_id, 2)
    first.manager.pause(job_id, "me")
    until_paused(first, job_id)
    first.drain()
    first.close()
    second = open_jobs()
    assert second.get(job_id).status == "paused"
    second.manager.cancel(job_id, "me")
    job = second.until_over(job_id)
    assert job.cancellation is not None
    assert (job.status, job.cancellation.phase) == ("cancelled", "stopped")


def test_a_deaf_job_is_paused_by_force_and_what_it_left_open_is_found_out(
    open_jobs: Callable[..., Jobs], effects: str
) -> None:
    """The lock is kept until then, though the job is paused already."""
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = jobs.start("act", effects=effects, hang_in=2, call_seconds=0.5, key="k", total=6)
    wait_for(lambda: Path(effects + ".hung").exists(), "the second call hangs")
    jobs.manager.pause(job_id, "me")
    paused = until_paused(jobs, job_id)
    assert paused.crashes == 0
    assert jobs.result(job_id) == {"done": effects_in(effects)}, "nothing is open"
    jobs.manager.resume(job_id, "me")
    assert jobs.until_over(job_id).status == "completed"
    assert sorted(effects_in(effects)) == [str(number) for number in range(6)]


def test_what_cannot_be_paused_or_resumed_says_why(jobs: Jobs) -> None:
    done = jobs.start("count", total=1)
    jobs.until_over(done)
    with pytest.raises(NotForThatState, match="cannot be paused: it is completed"):
        jobs.manager.pause(done, "me")
    with pytest.raises(NotForThatState, match="cannot be resumed: it is completed"):
        jobs.manager.resume(done, "me")
    frail = jobs.start("frail", total=3, delay_ms=HOUR_MS)
    with pytest.raises(NotForThatState, match="cannot go on from where it was"):
        jobs.manager.pause(frail, "me")
    jobs.manager.cancel(frail, "me")
    with pytest.raises(NotForThatState):
        jobs.manager.pause(frail, "me")
    jobs.until_over(frail)


def test_a_retry_goes_on_where_the_cancelled_job_stopped(jobs: Jobs) -> None:
    job_id = jobs.start("trace", total=6, batch_size=2, delay_ms=1500)
    jobs.until_processed(job_id, 2)
    with pytest.raises(JobLive):
        jobs.manager.retry(job_id, "me")
    jobs.manager.cancel(job_id, "me")
    jobs.until_over(job_id)
    done = jobs.result(job_id)["done"]
    retry = jobs.manager.retry(job_id, "you")
    job = jobs.get(retry)
    assert (job.retry_of, job.created_by, job.progress.processed) == (job_id, "you", len(done))
    with pytest.raises(RetriedAlready, match=retry):
        jobs.manager.retry(job_id, "me")
    assert jobs.until_over(retry).status == "completed"
    assert jobs.result(retry)["done"] == list(range(6))
    assert jobs.result(job_id)["done"] == done, "the old one's stays"
    with pytest.raises(RetriedAlready, match=retry):
        jobs.manager.retry(job_id, "me")
    with pytest.raises(NotForThatState, match="cannot be retried: it is completed"):
        jobs.manager.retry(retry, "me")


def test_a_retry_of_what_cannot_go_on_begins_anew(jobs: Jobs) -> None:
    job_id = jobs.start("frail", total=4, batch_size=2, delay_ms=HOUR_MS)
    jobs.until_processed(job_id, 2)
    jobs.manager.cancel(job_id, "me")
    jobs.until_over(job_id)
    retry = jobs.manager.retry(job_id, "me")
    assert jobs.get(retry).progress.processed == 0
    jobs.until_processed(retry, 2)
    jobs.manager.cancel(retry, "me")
    assert jobs.until_over(retry).status == "cancelled"


def test_a_retry_waits_until_the_first_job_is_quite_over(open_jobs: Callable[..., Jobs], effects: str) -> None:
    """Without a lock too: what the first left open is found out first, and the retry begins after it."""
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1)
    job_id = jobs.start("act", effects=effects, hang_in=2, call_seconds=2.0, total=6)
    wait_for(lambda: Path(effects + ".hung").exists(), "the second call hangs")
    jobs.manager.cancel(job_id, "me", force=True)
    retry = jobs.manager.retry(job_id, "me")
    assert jobs.get(retry).waiting_for == job_id
    job = jobs.until_over(retry)
    first = jobs.get(job_id)
    assert first.released_at is not None
    assert job.started_at is not None
    assert job.started_at >= first.released_at
    assert job.status == "completed"
    assert sorted(effects_in(effects)) == [str(number) for number in range(6)], "each once"
