"""What is said by ``report``: shown at once, kept at each end, never less than committed, and never counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.child import _come_to_an_end
from runner.context import JobContext
from runner.ending import Next, RunEnd, conclude
from runner.job import Job, JobStatus, Progress
from runner.stores.runs import RunRows
from tests.unit.test_context import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def end(house: House, progress: Progress | None = None, **how: Any) -> Next:
    """As the server does it, of a run that died unless it is said how it ended."""
    known = {"acknowledged": True, "ended": None, "words": "killed", "containment": "psutil"} | how
    with house.store.write() as tx:
        return conclude(tx, RunEnd("a", house.job_epoch, "node", progress=progress, **known)).next


def shown(job: Job) -> tuple[int, int | None]:
    return job.progress.shown, job.progress.total


@pytest.mark.parametrize("said", [1, 3, 4, 1000])
def test_what_is_reported_inside_a_batch_is_counted_once(house: House, said: int) -> None:
    job = house.run()
    for batch in job.batches(range(8), size=4, total=8):
        job.report(processed=said)
        assert job.state.progress.shown == said
        batch.commit()
        assert house.job.progress.shown == job.state.progress.processed == batch.seq * 4
    assert shown(house.job) == (8, 8)


def test_a_batch_that_was_reported_on_and_not_committed_is_counted_once_by_the_next_run(house: House) -> None:
    job = house.run()
    next(iter(job.batches(range(4), size=4, total=4)))
    job.report(processed=3, message="three of four")
    with house.store.write() as tx:
        RunRows(tx).keep_progress("a", 1, job.last_said)
    assert (house.job.progress.processed, house.job.progress.message) == (0, "three of four")
    assert house.job.progress.shown == 3
    again = house.run_again()
    for batch in again.batches(range(4), size=4, total=4):
        batch.commit()
    assert shown(house.job) == (4, 4)


def test_a_commit_inside_a_batch_writes_no_report_that_counts(house: House) -> None:
    job = house.run()
    next(iter(job.batches(range(4), size=4, total=4)))
    job.report(processed=3)
    job.commit()
    for batch in house.run_again().batches(range(4), size=4, total=4):
        batch.commit()
    assert shown(house.job) == (4, 4)


def test_what_is_reported_before_a_loop_is_counted_on(house: House) -> None:
    job = house.run()
    job.report(processed=10)
    for batch in job.batches(range(4), size=2):
        batch.commit()
    assert house.job.progress.shown == 14


def test_a_failure_keeps_what_was_reported_and_no_less_than_was_committed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perform(job: JobContext, _settings: Any) -> None:
        for batch in job.batches(range(4), size=4, total=4):
            batch.commit()
        job.report(processed=1, message="set back")
        raise ValueError("it broke")

    monkeypatch.setattr("runner.child._perform", perform)
    said = _come_to_an_end(house.run(), house.settings)
    assert said["ended"] == "failed"
    assert (house.job.status, house.job.progress.processed) == (JobStatus.FAILED, 4)


@pytest.mark.parametrize("stale", [Progress(1), Progress(4, current_batch=0), Progress(0, 4, reported=3)])
def test_a_live_copy_from_before_a_commit_lowers_nothing(house: House, stale: Progress) -> None:
    for batch in house.run().batches(range(4), size=4, total=4):
        batch.commit()
    end(house, stale)
    assert (house.job.progress.shown, house.job.progress.current_batch) == (4, 1)


def test_a_completed_job_stays_as_it_completed(house: House) -> None:
    job = house.run()
    job.report(processed=5)
    assert job.ledger.complete(job.state)
    end(house, Progress(77), ended="completed")
    assert house.job.progress.processed == 5


def test_the_end_that_one_run_expects_is_not_told_of_the_next(house: House) -> None:
    job = house.run()
    batches = job.batches(range(4), size=2, delay_ms=3_600_000, total=4)
    next(batches).commit()
    expected = house.job.progress.done_at_ms
    end(house, job.last_said, ended="stopped")
    last = house.job.progress
    assert (expected is not None, last.processed, last.done_at_ms is None) == (True, 2, True)
    assert house.run_again().state.progress.done_at_ms is None
