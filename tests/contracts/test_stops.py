"""What every database must keep of pauses, limits and retries."""

from __future__ import annotations

import pytest

from runner.job import JobStatus, Progress, StopReason
from runner.stores.cancels import CancelRows
from runner.stores.database import SqlStore
from runner.stores.events import events_after
from runner.stores.jobs import JobRows, NewJob
from runner.stores.pauses import PauseRows
from runner.stores.retries import RetryRows
from runner.stores.runs import RunRows
from tests.contracts.test_store import ME, add, cancel, claim, finish, get, store, times

__all__ = ["store", "times"]


def acknowledge(store: SqlStore, job_id: str, epoch: int = 1) -> None:
    with store.write() as tx:
        RunRows(tx).acknowledge(job_id, epoch, ME, 5, "subreaper")


def ask(store: SqlStore, job_id: str, reason: StopReason) -> bool:
    with store.write() as tx:
        return RunRows(tx).request_stop(job_id, reason)


def pause(store: SqlStore, job_id: str) -> bool:
    with store.write() as tx:
        return PauseRows(tx).request(job_id, "me")


def resume(store: SqlStore, job_id: str) -> bool:
    with store.write() as tx:
        return PauseRows(tx).resume(job_id, "me")


def test_a_waiting_job_is_paused_and_not_claimed(store: SqlStore) -> None:
    add(store, "a")
    assert pause(store, "a")
    assert not pause(store, "a"), "there is nothing left to pause"
    with store.write() as tx:
        assert RunRows(tx).first_waiting() is None
        assert not RunRows(tx).claim("a", "node")
    assert resume(store, "a")
    assert not resume(store, "a")
    claim(store, "a")
    with store.read() as tx:
        assert [event.kind for event in events_after(tx, "a", 0, 9)] == ["paused", "resumed"]


def test_a_run_that_is_paused_keeps_its_claim_until_it_is_let_go(store: SqlStore) -> None:
    add(store, "a", lock_key="g")
    add(store, "b", lock_key="g")
    claim(store, "a")
    acknowledge(store, "a")
    assert pause(store, "a")
    assert get(store, "a").is_pausing
    with store.write() as tx:
        PauseRows(tx).paused("a", 1)
        assert not RunRows(tx).claim("b", "node"), "the lock is held"
        assert not RunRows(tx).finish("a", 1, JobStatus.COMPLETED), "a paused job has no run that could end it"
        RunRows(tx).acknowledge("a", 1, ME, 6, "subreaper")
    held = get(store, "a")
    assert (held.status, held.is_claimed, held.stop_reason) == ("paused", True, None)
    with store.write() as tx:
        PauseRows(tx).let_go("a", 1)
        assert RunRows(tx).claim("b", "node")
    assert not get(store, "a").is_claimed


def test_an_older_run_pauses_nothing(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    with store.write() as tx:
        assert RunRows(tx).claim_again("a", 1, "node")
        PauseRows(tx).paused("a", 1)
        PauseRows(tx).let_go("a", 1)
    job = get(store, "a")
    assert (job.status, job.is_claimed, job.epoch) == ("pending", True, 2)


def test_a_pause_taken_back_is_no_reason_to_stay(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    acknowledge(store, "a")
    pause(store, "a")
    assert resume(store, "a")
    job = get(store, "a")
    assert (job.status, job.stop_reason, job.is_pausing) == ("running", "resume", False)
    assert pause(store, "a"), "and it may be paused again"
    assert get(store, "a").is_pausing


@pytest.mark.parametrize("weaker", list(StopReason)[1:])
def test_a_stronger_reason_takes_the_place_of_a_weaker(store: SqlStore, weaker: StopReason) -> None:
    add(store, "a")
    claim(store, "a")
    assert ask(store, "a", weaker)
    assert not ask(store, "a", weaker), "the same is given already"
    at = get(store, "a").stop_requested_at
    reasons = list(StopReason)
    for reason in reversed(reasons):
        before = get(store, "a").stop_reason
        assert before is not None
        if reason is StopReason.CANCEL:
            assert cancel(store, "a")
        else:
            assert ask(store, "a", reason) == (reasons.index(reason) < reasons.index(before))
    job = get(store, "a")
    assert (job.stop_reason, job.stop_requested_at) == ("cancel", at), "a stop was asked for then"
    assert not ask(store, "a", StopReason.TIMEOUT), "it has ended"


def test_a_paused_job_is_cancelled_at_once(store: SqlStore) -> None:
    add(store, "a")
    pause(store, "a")
    assert cancel(store, "a")
    job = get(store, "a")
    assert job.cancellation is not None
    assert (job.status, job.cancellation.phase) == ("cancelled", "stopped")
    assert not resume(store, "a")


def test_force_brings_the_deadline_forward_and_never_back(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    cancel(store, "a")
    for stop_ms, expected in ((500, 500), (700, 500)):
        with store.write() as tx:
            CancelRows(tx).force("a", "you", stop_ms)
        found = get(store, "a").cancellation
        assert found is not None
        assert found.deadline_at - found.requested_at == expected
    with store.read() as tx:
        forced = [event.data for event in events_after(tx, "a", 0, 100) if event.kind == "forced"]
    assert forced == [{"requestedBy": "you"}], "said once: the second changed nothing"


def test_a_retry_waits_for_the_first_job_and_gets_its_last_word(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    with store.write() as tx:
        JobRows(tx).add(NewJob("b", "count", {}, {}, None, "me", retry_of="a", progress=Progress(1).as_json()))
        assert not RunRows(tx).claim("b", "node")
        assert RunRows(tx).first_waiting() is None
        assert RetryRows(tx).retry_of("a") == "b"
    assert get(store, "b").waiting_for == "a"
    with store.write() as tx:
        RunRows(tx).commit("a", 1, progress=Progress(7), result={"it": 7}, position=7, settled=False)
    assert finish(store, "a", 1, JobStatus.FAILED)
    with store.write() as tx:
        RunRows(tx).release("a", 1)
        RetryRows(tx).carry_over(JobRows(tx).get("a"))
        assert RunRows(tx).first_waiting() == "b"
    job = get(store, "b")
    assert (job.progress.processed, job.result, job.position, job.waiting_for) == (7, {"it": 7}, 7, None)
    claim(store, "b")
    with store.write() as tx:
        RetryRows(tx).carry_over(JobRows(tx).get("a"))
    assert get(store, "b").epoch == 1, "and what has begun is left alone"


def test_the_time_of_runs_adds_up(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    with store.write() as tx:
        RunRows(tx).ran("a", 1, 300)
        RunRows(tx).ran("a", 1, 40)
        RunRows(tx).ran("a", 7, 1000)
    assert get(store, "a").ran_ms == 340


def test_a_settling_keeps_why_the_job_was_stopped(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    ask(store, "a", StopReason.TIMEOUT)
    finish(store, "a", 1, JobStatus.FAILED)
    with store.write() as tx:
        RunRows(tx).claim_again("a", 1, "node", to_settle=True)
    assert get(store, "a").stop_reason == "timeout"
