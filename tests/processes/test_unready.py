"""Jobs whose type is not loaded after a restart, or takes another config now: they wait, say why, and go on later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runner import workflow as workflows
from runner.errors import NotForThatState
from runner.job import Job, ProcessIdentity
from runner.ledger import Ledger
from runner.stores.batches import LedgerItem
from runner.stores.jobs import JobRows
from runner.stores.runs import RunRows
from runner.workflow import JobConfig, Workflow
from tests.processes.conftest import Jobs, request

Open = Callable[..., Jobs]
NOBODY = ProcessIdentity(2**22 - 1, 1, "an earlier boot")


@contextmanager
def unloaded(name: str) -> Iterator[None]:
    """As in a server whose RUNNER_WORKFLOWS does not name its module."""
    found = workflows._registry.pop(name)
    try:
        yield
    finally:
        workflows._registry[name] = found


class OtherConfig(JobConfig):
    wanted: int


@contextmanager
def changed(name: str) -> Iterator[None]:
    found = workflows._registry[name]
    workflows._registry[name] = Workflow(name, found.run, OtherConfig, resumable=True)
    try:
        yield
    finally:
        workflows._registry[name] = found


def close(jobs: Jobs) -> None:
    jobs.drain()
    jobs.close()


@pytest.mark.parametrize(("away", "why"), [(unloaded, "is not loaded"), (changed, "takes another config now")])
def test_a_paused_job_waits_for_its_type_and_goes_on(open_jobs: Open, away: Any, why: str) -> None:
    first = open_jobs()
    job_id = first.start("trace", total=4, batch_size=1, delay_ms=60_000)
    first.until_processed(job_id, 1)
    first.manager.pause(job_id, "me")
    first.until(job_id, lambda job: job.status == "paused" and not job.is_claimed, "it is paused")
    close(first)
    with away("trace"):
        second = open_jobs(workflows="")
        job = second.manager.resume(job_id, "me")
        assert (job.status, (job.waiting or {})["kind"]) == ("pending", "type")
        assert why in second.get(job_id).waiting["reason"]  # type: ignore[index]
        close(second)
    third = open_jobs()
    job = third.until(job_id, lambda job: job.status == "running" and job.attempt == 2, "it goes on")
    assert (job.waiting, job.progress.processed, job.crashes) == (None, 1, 0)
    third.manager.cancel(job_id, "me")
    third.until_over(job_id)


def test_a_waiting_job_can_be_cancelled_and_holds_nobody_up(open_jobs: Open) -> None:
    first = open_jobs(max_running=1)
    busy = first.start("trace", total=2, batch_size=1, delay_ms=60_000)
    waiting = first.start("frail", total=1)
    first.until_processed(busy, 1)
    close(first)
    with unloaded("frail"), unloaded("trace"):
        second = open_jobs(max_running=1, workflows="")
        for job_id in (busy, waiting):
            job = second.get(job_id)
            assert (job.status, job.error, (job.waiting or {}).get("kind")) == ("pending", None, "type")
        assert second.manager.cancel(waiting, "me").status == "cancelled"
        with pytest.raises(NotForThatState, match="not loaded"):
            second.manager.retry(waiting, "me")
        close(second)


def left_running(jobs: Jobs, name: str, *, is_open: bool) -> str:
    """A job as a server that was killed has left it."""
    store = jobs.manager.store
    job_id = jobs.manager.start(request(name, total=3))
    with store.write() as tx:
        RunRows(tx).claim(job_id, "node")
        job = JobRows(tx).get(job_id)
        RunRows(tx).acknowledge(job_id, job.epoch, NOBODY, tx.now, "subreaper")
    if is_open:
        Ledger(store, store.clock, job_id, job.epoch, None).intend(1, [LedgerItem("0")], 1.0)  # type: ignore[attr-defined]
    return job_id


@pytest.mark.parametrize(("name", "status"), [("trace", "completed"), ("frail", "failed")])
def test_a_job_that_ran_when_the_server_died_waits_too(open_jobs: Open, name: str, status: str, home: Any) -> None:
    first = Jobs(home)
    job_id = left_running(first, name, is_open=False)
    first.manager.close()
    with unloaded(name):
        second = open_jobs(workflows="")
        job = second.get(job_id)
        assert (job.status, job.error, (job.waiting or {}).get("kind")) == ("pending", None, "type")
        close(second)
    third = open_jobs()
    job = third.until_over(job_id)
    assert job.status == status
    assert job.error == (None if status == "completed" else "interrupted: the server died while it ran")


def test_with_something_open_it_keeps_its_lock_until_it_is_cancelled(open_jobs: Open, home: Any) -> None:
    first = Jobs(home)
    job_id = left_running(first, "trace", is_open=True)
    first.manager.close()
    with unloaded("trace"):
        second = open_jobs(workflows="")
        job = second.get(job_id)
        assert (job.is_claimed, (job.waiting or {}).get("kind")) == (True, "type")
        assert second.manager.cancel(job_id, "me").status == "cancelled"
        over: Job = second.until_over(job_id)
        assert over.cancellation is not None
        assert over.cancellation.phase == "stopped"
        close(second)
