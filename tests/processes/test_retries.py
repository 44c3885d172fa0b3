"""Retries that meet what the first job still does: nothing is done twice, nothing is left out, whoever asks when."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from runner.errors import InvalidFields, RetriedAlready
from runner.stores.jobs import JobFilter
from runner.stores.schema import batches
from tests.processes.conftest import SAMPLES, Jobs
from tests.processes.samples import effects_in
from tests.waiting import wait_for

WORKFLOWS = f"{SAMPLES},tests.processes.samples_retry"
HOUR_MS = 3_600_000
Open = Callable[..., Jobs]


@pytest.fixture
def gate(home: Path) -> Path:
    return home / "gate"


@pytest.fixture
def retried(open_jobs: Open) -> Jobs:
    return open_jobs(workflows=WORKFLOWS)


def cancelled_in_hand(jobs: Jobs, workflow: str, effects: str, gate: Path) -> str:
    """A job that was cancelled while its first batch is in hand, and goes on with that until the gate is opened."""
    job_id = jobs.start(workflow, effects=effects, gate=os.fspath(gate))
    wait_for(lambda: effects_in(effects) == ["0"], "the first batch is in hand")
    jobs.manager.cancel(job_id, "me")
    return job_id


def committed_at(jobs: Jobs, job_id: str) -> list[int]:
    with jobs.manager.store.read() as tx:
        query = select(batches.c.committed_at).where(batches.c.job_id == job_id).order_by(batches.c.seq)
        return list(tx.connection.execute(query).scalars())


def test_a_retry_that_is_paused_when_the_first_job_ends_has_its_last_word_too(
    retried: Jobs, effects: str, gate: Path
) -> None:
    first = cancelled_in_hand(retried, "gated", effects, gate)
    retry = retried.manager.retry(first, "me")
    assert retried.manager.pause(retry, "me").status == "paused"
    gate.touch()
    assert retried.until_over(first).progress.processed == 1
    assert retried.get(retry).progress.processed == 1
    retried.manager.resume(retry, "me")
    assert retried.until_over(retry).status == "completed"
    assert effects_in(effects) == ["0", "1", "2"]


def test_a_retry_cancelled_while_it_waited_hands_on_the_first_job(retried: Jobs, effects: str, gate: Path) -> None:
    first = cancelled_in_hand(retried, "gated", effects, gate)
    never_ran = retried.manager.retry(first, "me")
    with pytest.raises(RetriedAlready, match=never_ran):
        retried.manager.retry(first, "me")
    retried.manager.cancel(never_ran, "me")
    retry = retried.manager.retry(never_ran, "me")
    waiting = retried.get(retry)
    assert (waiting.retry_of, waiting.waiting_for, waiting.is_claimed) == (first, first, False)
    for job_id in (first, never_ran):
        with pytest.raises(RetriedAlready, match=retry):
            retried.manager.retry(job_id, "me")
    gate.touch()
    job = retried.until_over(retry)
    ended = retried.get(first)
    assert ended.released_at is not None
    assert job.started_at is not None
    assert job.started_at >= ended.released_at, "not beside it"
    assert (job.status, effects_in(effects)) == ("completed", ["0", "1", "2"])


def test_an_early_retry_of_what_cannot_go_on_begins_anew(retried: Jobs, effects: str, gate: Path) -> None:
    first = cancelled_in_hand(retried, "gated_frail", effects, gate)
    retry = retried.manager.retry(first, "me")
    gate.touch()
    retried.until_over(first)
    assert retried.until_over(retry).status == "completed"
    assert effects_in(effects) == ["0", "0", "1", "2"]


def test_a_retried_dry_run_is_whole(retried: Jobs, effects: str, gate: Path) -> None:
    gate.touch()
    first = retried.start("gated", effects=effects, gate=os.fspath(gate), delay_ms=HOUR_MS, dry_run=True)
    retried.until_processed(first, 1)
    retried.manager.cancel(first, "me")
    retried.until_over(first)
    retry = retried.manager.retry(first, "me")
    assert retried.get(retry).progress.processed == 0
    retried.until_processed(retry, 1)
    assert effects_in(effects) == ["0", "0"]
    retried.manager.cancel(retry, "me")
    retried.until_over(retry)


def test_a_retry_keeps_to_the_settings_of_today(open_jobs: Open, effects: str, gate: Path) -> None:
    gate.touch()
    jobs = open_jobs(workflows=WORKFLOWS, min_delay_ms=0)
    first = jobs.start("gated_paced", effects=effects, gate=os.fspath(gate), delay_ms=60_000)
    jobs.until_processed(first, 1)
    jobs.manager.cancel(first, "me")
    jobs.until_over(first)
    jobs.drain()
    jobs.close()
    jobs = open_jobs(workflows=WORKFLOWS, min_delay_ms=60_001)
    with pytest.raises(InvalidFields, match="delayMs must be at least 60001"):
        jobs.manager.retry(first, "me")
    assert [job.id for job in jobs.manager.list(JobFilter(), 9)] == [first], "nothing was written"


def test_a_retry_keeps_the_delay_after_the_last_batch_of_the_first_job(retried: Jobs, effects: str, gate: Path) -> None:
    """Also where a retry between the two came to nothing."""
    gate.touch()
    delay_ms = 1500
    first = retried.start("gated", effects=effects, gate=os.fspath(gate), delay_ms=delay_ms)
    retried.until_processed(first, 1)
    retried.manager.cancel(first, "me")
    retried.until_over(first)
    fruitless = retried.manager.retry(first, "me")
    retried.pid(fruitless)
    retried.manager.cancel(fruitless, "me")
    assert retried.until_over(fruitless).progress.processed == 1, "it only waited"
    retry = retried.manager.retry(fruitless, "me")
    retried.until_processed(retry, 2)
    retried.manager.cancel(retry, "me")
    retried.until_over(retry)
    assert committed_at(retried, retry)[0] - committed_at(retried, first)[-1] >= delay_ms
