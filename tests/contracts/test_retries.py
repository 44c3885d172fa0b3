"""What every database must keep of retries, and of receipts that are no longer a job's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from sqlalchemy import update

from runner.errors import InvalidFields, JobLive, NotForThatState, RetriedAlready
from runner.job import JobStatus, JsonDict, Progress
from runner.ledger import RunState
from runner.settings import Settings
from runner.starting import write_retry
from runner.stores.batches import BatchRows
from runner.stores.cancels import CancelRows
from runner.stores.database import SqlStore
from runner.stores.jobs import JobFilter, JobRows
from runner.stores.pauses import PauseRows
from runner.stores.retries import RetryRows
from runner.stores.runs import RunRows
from runner.stores.schema import jobs
from runner.workflow import JobConfig, workflow
from tests.contracts.test_store import Times, add, cancel, claim, finish, get, ledger, release, store, times

__all__ = ["store", "times"]

SIGNALS: list[JsonDict] = [{"signal": "SIGKILL", "pid": 7, "at": 1}]
SURVIVORS: list[JsonDict] = [{"pid": 7, "name": "python"}]


class WalkConfig(JobConfig):
    size: int = Field(1, ge=1)
    dry_run: bool = False


class WalkOptions(JobConfig):
    hurry: bool = False


def _check(config: WalkConfig, settings: Settings) -> None:
    if config.size > settings.max_running:
        raise InvalidFields.one("size", f"size must be at most {settings.max_running}")


@workflow(
    "walk_again",
    config=WalkConfig,
    options=WalkOptions,
    resumable=True,
    retries_anew=lambda config: config.dry_run,
    check=_check,
)
def walk_again(_job: object, _config: WalkConfig) -> None:
    """Is never run here."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, max_running=100)


def add_walk(store: SqlStore, job_id: str, **values: Any) -> str:
    return add(store, job_id, type="walk_again", **values)


def retry(store: SqlStore, job_id: str, settings: Settings) -> str:
    with store.write() as tx:
        return write_retry(job_id, "me", settings, tx)


def commit(store: SqlStore, job_id: str, processed: int, epoch: int = 1) -> None:
    state = RunState(Progress(processed), {"it": processed}, processed)
    ledger(store, job_id, epoch).commit(processed, state, None, lambda _: Progress(processed))


def end(store: SqlStore, job_id: str, epoch: int = 1) -> None:
    """As ``conclude`` does it."""
    release(store, job_id, epoch)
    with store.write() as tx:
        RetryRows(tx).carry_over(JobRows(tx).get(job_id))


def processed(store: SqlStore, job_id: str) -> int:
    return get(store, job_id).progress.processed


# -- going on --------------------------------------------------------------------------------------------------------


def test_the_last_word_of_the_first_job_is_for_whoever_goes_on_with_it(store: SqlStore) -> None:
    """Waiting or paused; not for one that begins anew, nor for one that has ended."""
    add_walk(store, "a")
    claim(store, "a")
    kept = {"retry_of": "a", "progress": Progress(1).as_json()}
    for job_id in ("waiting", "paused", "cancelled"):
        add_walk(store, job_id, **kept)
    add_walk(store, "anew", retry_of="a")
    with store.write() as tx:
        PauseRows(tx).request("paused", "me")
    cancel(store, "cancelled")
    commit(store, "a", 7)
    finish(store, "a", 1, JobStatus.FAILED)
    end(store, "a")
    found = {job_id: processed(store, job_id) for job_id in ("waiting", "paused", "cancelled", "anew")}
    assert found == {"waiting": 7, "paused": 7, "cancelled": 1, "anew": 0}
    assert (get(store, "paused").result, get(store, "paused").position) == ({"it": 7}, 7)
    assert (get(store, "anew").result, get(store, "anew").position) == ({}, None)


def test_a_retry_that_never_ran_hands_on_the_job_it_waited_for(store: SqlStore, settings: Settings) -> None:
    add_walk(store, "a")
    claim(store, "a")
    cancel(store, "a")
    second = retry(store, "a", settings)
    with pytest.raises(JobLive):
        retry(store, second, settings)
    cancel(store, second)
    third = retry(store, second, settings)
    cancel(store, third)
    fourth = retry(store, third, settings)
    assert (get(store, fourth).retry_of, get(store, fourth).waiting_for) == ("a", "a")
    assert not claim(store, fourth)
    commit(store, "a", 5)
    end(store, "a")
    assert (processed(store, second), processed(store, fourth)) == (0, 5)
    for job_id in ("a", second, third):
        with pytest.raises(RetriedAlready, match=fourth):
            retry(store, job_id, settings)
    assert claim(store, fourth)
    finish(store, fourth, 1, JobStatus.FAILED)
    with pytest.raises(RetriedAlready, match=fourth):
        retry(store, second, settings)
    assert get(store, retry(store, fourth, settings)).retry_of == fourth, "it has run: it goes on itself"


def test_a_retry_that_names_one_that_never_ran_counts_for_the_first(store: SqlStore, settings: Settings) -> None:
    """Earlier versions wrote such chains: the first, one that was cancelled as it waited, and a retry of that one."""
    add_walk(store, "a")
    claim(store, "a")
    cancel(store, "a")
    release(store, "a", 1)
    add_walk(store, "b", retry_of="a")
    cancel(store, "b")
    add_walk(store, "c", retry_of="b")
    claim(store, "c")
    for asked_for in ("a", "b"):
        with store.write() as tx, pytest.raises(RetriedAlready, match="c"):
            write_retry(asked_for, "me", settings, tx)


def test_who_would_not_die_stays_named_while_others_get_signals(store: SqlStore) -> None:
    add_walk(store, "a")
    claim(store, "a")
    with store.write() as tx:
        CancelRows(tx).record_stop("a", survivors=SURVIVORS, signals=[])
        CancelRows(tx).record_stop("a", signals=SIGNALS)
    assert get(store, "a").survivors == tuple(SURVIVORS)


def test_a_retry_that_never_ran_of_a_job_that_is_forgotten(store: SqlStore, times: Times, settings: Settings) -> None:
    """Nobody knows any more whether it has the last word of that."""
    add_walk(store, "a")
    cancel(store, "a")
    second = retry(store, "a", settings)
    cancel(store, second)
    with store.write() as tx:
        JobRows(tx).archive("a")
    assert get(store, retry(store, second, settings)).retry_of == "a", "archived is not forgotten"
    with store.write() as tx:
        assert JobRows(tx).forget_archived_before(times.ms, 9) == 1
    with pytest.raises(NotForThatState, match="never ran, of a job that is forgotten"):
        retry(store, second, settings)


def test_of_retries_at_the_same_time_one_is_written(store: SqlStore, settings: Settings) -> None:
    for number in range(6):
        job_id = add_walk(store, f"a{number}")
        cancel(store, job_id)
        assert sorted(_ask_at_once(store, job_id, settings)) == ["refused"] * 5 + ["retried"]


def _ask_at_once(store: SqlStore, job_id: str, settings: Settings) -> Iterator[str]:
    together, said = threading.Barrier(6), []

    def ask() -> None:
        together.wait()
        try:
            retry(store, job_id, settings)
            said.append("retried")
        except RetriedAlready:
            said.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield from said


def test_the_last_commit_is_that_of_the_whole_chain(store: SqlStore, times: Times) -> None:
    add_walk(store, "a")
    add_walk(store, "b", retry_of="a")
    add_walk(store, "c", retry_of="b")
    add_walk(store, "other")

    def last() -> dict[str, int | None]:
        with store.read() as tx:
            return {job_id: BatchRows(tx, job_id).last_commit_at() for job_id in ("a", "b", "c", "other")}

    assert set(last().values()) == {None}
    claim(store, "a")
    commit(store, "a", 1)
    at = times.ms
    assert last() == {"a": at, "b": at, "c": at, "other": None}
    release(store, "a", 1)
    claim(store, "b")
    times.ms += 10
    commit(store, "b", 2)
    assert last() == {"a": at, "b": at + 10, "c": at + 10, "other": None}


# -- what is not taken any more --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "wire", "field"),
    [
        ("config", {"size": 0}, "size"),
        ("config", {"depth": 3}, "depth"),
        ("options", {"hurry": "very"}, "hurry"),
        ("config", {"size": 101}, "size"),
    ],
)
def test_a_config_of_another_time_is_refused_by_its_fields(
    store: SqlStore, settings: Settings, column: str, wire: JsonDict, field: str
) -> None:
    add_walk(store, "a")
    cancel(store, "a")
    with store.write() as tx:
        tx.connection.execute(update(jobs).values({column: wire}))
    with pytest.raises(InvalidFields, match=field) as refused:
        retry(store, "a", settings)
    assert [fault.field for fault in refused.value.faults] == [field]
    with store.read() as tx:
        assert len(JobRows(tx).newest(JobFilter(), 9)) == 1, "nothing was written"


@pytest.mark.parametrize(("dry_run", "expected"), [(True, 0), (False, 3)])
def test_a_dry_run_is_retried_from_its_beginning(
    store: SqlStore, settings: Settings, dry_run: bool, expected: int
) -> None:
    add_walk(store, "a", config={"dryRun": dry_run})
    claim(store, "a")
    commit(store, "a", 3)
    finish(store, "a", 1, JobStatus.FAILED)
    again = retry(store, "a", settings)
    assert processed(store, again) == expected
    end(store, "a")
    assert (processed(store, again), get(store, again).result) == (expected, {"it": 3} if expected else {})


# -- receipts --------------------------------------------------------------------------------------------------------


def stop_by_force(store: SqlStore, job_id: str) -> None:
    with store.write() as tx:
        CancelRows(tx).record_stop(job_id, survivors=SURVIVORS, signals=SIGNALS)


def receipts(store: SqlStore, job_id: str) -> tuple[int, int]:
    cancel(store, job_id)
    cancellation = get(store, job_id).cancellation
    assert cancellation is not None
    return len(cancellation.signals), len(cancellation.survivors)


@pytest.mark.parametrize("settles", [False, True])
def test_a_cancel_has_no_receipts_of_an_earlier_pause(store: SqlStore, settles: bool) -> None:
    add(store, "a")
    claim(store, "a")
    stop_by_force(store, "a")
    with store.write() as tx:
        PauseRows(tx).request("a", "me")
        PauseRows(tx).paused("a", 1)
        if settles:
            RunRows(tx).claim_again("a", 1, "node", to_settle=True)
        else:
            PauseRows(tx).let_go("a", 1)
    assert receipts(store, "a") == (0, 0)


def test_a_cancel_has_no_receipts_of_a_run_that_was_put_back(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    stop_by_force(store, "a")
    with store.write() as tx:
        assert RunRows(tx).put_back("a", 1)
    assert receipts(store, "a") == (0, 0)


def test_a_cancel_has_no_receipts_of_an_earlier_run(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    stop_by_force(store, "a")
    with store.write() as tx:
        assert RunRows(tx).claim_again("a", 1, "node")
    assert receipts(store, "a") == (0, 0)


def test_a_cancel_keeps_its_receipts_while_what_it_left_open_is_found_out(store: SqlStore) -> None:
    add(store, "a")
    claim(store, "a")
    cancel(store, "a")
    stop_by_force(store, "a")
    with store.write() as tx:
        CancelRows(tx).record_stop("a", survivors=[])
        assert RunRows(tx).claim_again("a", 1, "node", to_settle=True)
    cancellation = get(store, "a").cancellation
    assert cancellation is not None
    assert cancellation.signals == tuple(SIGNALS), "who survives was told without them"
    assert cancellation.survivors == ()


# -- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_reads_of_a_post_mortem_its_sentence_alone(store: SqlStore) -> None:
    at = 1_795_519_317_678
    whole = {"at": at, "summary": "in `sleep`", "stacks": [{"frames": []}], "log": ["x"] * 200}
    for job_id, found in (("a", whole), ("b", {"at": at, "log": []}), ("c", None)):
        add(store, job_id)
        claim(store, job_id)
        commit(store, job_id, 4)
        with store.write() as tx:
            RunRows(tx).examined(job_id, 1, found) if found else None
    assert (get(store, "a").post_mortem, get(store, "a").position) == (whole, 4)
    with store.read() as tx:
        listed = {job.id: job for job in JobRows(tx).newest(JobFilter(), 9)}
    assert {job_id: job.post_mortem for job_id, job in listed.items()} == {
        "a": {"at": at, "summary": "in `sleep`"},
        "b": {"at": at},
        "c": None,
    }
    assert {job.position for job in listed.values()} == {None}
    assert (listed["a"].progress.processed, listed["a"].result, listed["a"].is_claimed) == (4, {"it": 4}, True)
