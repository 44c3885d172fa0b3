"""Which status may follow which: the table, and the store held to it by every sequence of what may happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.clock import Clock
from runner.errors import RunSuperseded
from runner.job import LIVE, TERMINAL, TRANSITIONS, Job, JobStatus, Phase, ProcessIdentity, Progress, StopReason
from runner.store import Transaction
from runner.stores.cancels import CancelRows
from runner.stores.database import SqlStore
from runner.stores.events import events_after
from runner.stores.jobs import JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.pauses import PauseRows
from runner.stores.runs import RunRows

ME = ProcessIdentity(1, 1, "this boot")
ORDER = list(Phase)
REASONS = list(StopReason)
Happening = Callable[[Transaction, Job], object]


def _commit(tx: Transaction, job: Job) -> None:
    progress = Progress(job.progress.processed + 1)
    RunRows(tx).commit("a", job.epoch, progress=progress, result={}, position=None, settled=False)


def _commit_of_an_older_run(tx: Transaction, job: Job) -> None:
    with pytest.raises(RunSuperseded):
        RunRows(tx).commit("a", job.epoch - 1, progress=Progress(99), result={}, position=None, settled=True)


def _paused(tx: Transaction, job: Job) -> None:
    """As ``conclude`` does it: for a run that was asked to pause."""
    if job.stop_reason is StopReason.PAUSE:
        PauseRows(tx).paused("a", job.epoch)


HAPPENINGS: dict[str, Happening] = {
    "claim": lambda tx, _: RunRows(tx).claim("a", "node"),
    "acknowledge": lambda tx, job: RunRows(tx).acknowledge("a", job.epoch, ME, 5, "subreaper"),
    "commit": _commit,
    "old commit": _commit_of_an_older_run,
    "complete": lambda tx, job: RunRows(tx).finish("a", job.epoch, JobStatus.COMPLETED),
    "fail": lambda tx, job: RunRows(tx).finish("a", job.epoch, JobStatus.FAILED, error="it broke"),
    "cancel": lambda tx, _: CancelRows(tx).request("a", "me", None, 1000),
    "pause": lambda tx, _: PauseRows(tx).request("a", "me"),
    "paused": _paused,
    "let go": lambda tx, job: PauseRows(tx).let_go("a", job.epoch),
    "resume": lambda tx, _: PauseRows(tx).resume("a", "me"),
    "time is over": lambda tx, _: RunRows(tx).request_stop("a", StopReason.TIMEOUT),
    "drain": lambda tx, _: RunRows(tx).request_stop("a", StopReason.DRAIN),
    "put back": lambda tx, job: RunRows(tx).put_back("a", job.epoch),
    "claim again": lambda tx, job: RunRows(tx).claim_again("a", job.epoch, "node"),
    "crash": lambda tx, job: RunRows(tx).count_crash("a", job.epoch),
    "prove": lambda tx, job: CancelRows(tx).proved("a", job.epoch, "subreaper"),
    "release": lambda tx, job: RunRows(tx).release("a", job.epoch),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path_factory.mktemp('transitions') / 'runner.db'}"
    migrate(url)
    found = SqlStore(url, Clock())
    with found.write() as tx:
        JobRows(tx).add(NewJob("a", "count", {}, {}, None, "tester"))
    yield found
    found.close()


def happen(tx: Transaction, name: str, was: Job) -> Job:
    """Lets it happen, and holds it to all that must hold at every step."""
    with tx.connection.begin_nested() as attempt:
        try:
            HAPPENINGS[name](tx, was)
        except RunSuperseded:
            attempt.rollback()
    now = JobRows(tx).get("a")
    assert now.status is was.status or now.status in TRANSITIONS[was.status], f"{name}: {was.status} to {now.status}"
    assert now.epoch in (was.epoch, was.epoch + 1)
    assert now.revision >= was.revision
    assert (now.revision > was.revision) or now == was, "a change without a new revision would not be seen"
    assert was.completed_at is None or now.completed_at == was.completed_at
    assert was.started_at is None or now.started_at == was.started_at
    commits = name == "commit" and was.is_claimed and was.status not in (JobStatus.COMPLETED, JobStatus.FAILED)
    assert now.progress.processed - was.progress.processed == commits, "no run has more to say after its own end"
    assert (now.completed_at is None) == now.is_live
    assert now.status is not JobStatus.PAUSED or now.stop_reason is None, "nothing runs that could be asked to stop"
    assert (
        _strength(now) <= _strength(was) or now.epoch > was.epoch or not now.is_claimed or name in ("resume", "paused")
    ), f"{name}: {was.stop_reason} gave way to {now.stop_reason}"
    if was.status in TERMINAL:
        assert (now.error, now.status) == (was.error, was.status)
    if was.cancellation is not None:
        assert now.cancellation is not None
        assert ORDER.index(now.cancellation.phase) >= ORDER.index(was.cancellation.phase)
    assert (now.cancellation is not None) == (now.status is JobStatus.CANCELLED)
    return now


def _strength(job: Job) -> int:
    """0 is the strongest reason to stop."""
    return REASONS.index(job.stop_reason) if job.stop_reason is not None else len(REASONS)


def test_the_table_knows_every_status() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    assert {status for status, following in TRANSITIONS.items() if not following} == TERMINAL
    assert set(JobStatus) == LIVE | TERMINAL
    for status, following in product(JobStatus, JobStatus):
        assert status is not following or following not in TRANSITIONS[status]


@pytest.mark.parametrize("first", ["claim", "cancel", "complete"])
def test_every_sequence_of_four(store: SqlStore, first: str) -> None:
    """After the first, three more of anything; with a claim before it, so that something can happen at all."""

    def walk(tx: Transaction, was: Job, depth: int) -> None:
        if depth == 0:
            return
        for name in HAPPENINGS:
            branch = tx.connection.begin_nested()
            walk(tx, happen(tx, name, was), depth - 1)
            branch.rollback()

    with pytest.raises(_Over), store.write() as tx:
        _walk_and_undo(tx, first, walk)


class _Over(Exception):
    """Takes back all that was written."""


def _walk_and_undo(tx: Transaction, first: str, walk: Callable[[Transaction, Job, int], None]) -> None:
    was = JobRows(tx).get("a")
    if first != "claim":
        was = happen(tx, "claim", was)
    walk(tx, happen(tx, first, was), 3)
    raise _Over


@given(st.lists(st.sampled_from(sorted(HAPPENINGS)), min_size=5, max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_longer_sequences(store: SqlStore, names: list[str]) -> None:
    with pytest.raises(_Over), store.write() as tx:
        _happen_and_undo(tx, names)


def _happen_and_undo(tx: Transaction, names: list[str]) -> None:
    now = JobRows(tx).get("a")
    for name in names:
        now = happen(tx, name, now)
    events = events_after(tx, "a", 0, 1000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    ends = [event.kind for event in events if event.kind in TERMINAL]
    assert ends == ([now.status] if now.status in TERMINAL else [])
    raise _Over
