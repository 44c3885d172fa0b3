"""Faults planted into shipped code, to see that the oracle finds them and calls them by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from runner.batch import Batch
from runner.cancelling import Canceller
from runner.context import JobContext
from runner.errors import RunSuperseded
from runner.job import JobStatus
from runner.launcher import Launcher
from runner.running import Running
from runner.stores import retries
from runner.stores.batches import BatchRows
from runner.stores.retries import RetryRows
from runner.stores.runs import CURRENT
from runner.stores.schema import jobs
from tests.simulation.play import Scene


@dataclass(frozen=True)
class Planted:
    """``plant``: puts it in; ``breaks``: the invariants of which one must be named; ``scene``: shows it.

    ``first``: the seed to begin with, for one that is rarely met.
    """

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    breaks: frozenset[str]
    scene: Scene
    first: int = 0


def _guard_without_stops(patch: pytest.MonkeyPatch) -> None:
    def guard(rows: BatchRows, epoch: int, call_ms: int) -> None:
        if not rows._changed(*CURRENT, given={"run_epoch": epoch}):
            raise RunSuperseded(rows._job_id, epoch)

    patch.setattr(BatchRows, "guard", guard)


def _gone_when_the_root_is(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Running, "is_gone", lambda run: not run.process.is_alive())


def _settling_at_once(patch: pytest.MonkeyPatch) -> None:
    def wait_until_over(_job: JobContext, _batch: Batch[Any]) -> None:
        """The call may still be under way."""

    patch.setattr(JobContext, "wait_until_over", wait_until_over)


def _no_second_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Launcher, "_bound", lambda *_: True)


def _journal_not_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Canceller, "_record", lambda *_: None)


def _only_waiting_retries_are_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retries, "_CARRY_OVER", retries._CARRY_OVER.where(jobs.c.status == JobStatus.PENDING))


def _a_retry_of_whatever_was_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RetryRows, "origin", lambda _, job: job)


PLANTED = (
    Planted(
        "an intent is written after a cancel",
        _guard_without_stops,
        frozenset({"no intent after a stop"}),
        Scene({"start": 1, "cancel": 4}, most_steps=20),
    ),
    Planted(
        "the lock is released before the tree is proved empty",
        _gone_when_the_root_is,
        frozenset({"a released job has no process", "one run a job", "stopped means that no process lives"}),
        Scene({"start": 1, "cancel": 2, "kill_child": 3}),
    ),
    Planted(
        "an open batch is settled while its call is under way",
        _settling_at_once,
        frozenset({"nothing is settled before its effect"}),
        Scene({"start": 1, "kill_child": 3, "kill_server": 2}),
    ),
    Planted(
        "a job is handed over though it was cancelled meanwhile",
        _no_second_look,
        frozenset({"only the batch in hand after a stop", "a cancel keeps its deadline", "whoever is left alone ends"}),
        Scene({"start": 1, "cancel": 1}, jobs=0, deeds=10, most_steps=6),
    ),
    Planted(
        "a journalled cancel is forgotten",
        _journal_not_recorded,
        frozenset({"a cancel is never lost"}),
        Scene({"cancel": 2, "lose_store": 2}, jobs=3, most_steps=25),
    ),
    Planted(
        "a retry that is paused does not learn how far the first job came",
        _only_waiting_retries_are_told,
        frozenset({"nothing is done twice or left out", "the counters match the rows"}),
        Scene({"cancel": 3, "retry": 3, "pause": 3, "resume": 2}, deeds=10, most_steps=15),
        first=370,
    ),
    Planted(
        "a retry of a retry that never ran does not wait for the first job",
        _a_retry_of_whatever_was_asked,
        frozenset(
            {
                "a retry waits until the other is over",
                "nothing is done twice or left out",
                "the counters match the rows",
            }
        ),
        Scene({"cancel": 3, "retry": 3}, deeds=10, most_steps=15),
    ),
)
