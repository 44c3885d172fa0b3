"""Nobody of a job is left after a cancel by force, whatever it had below it; and nobody else is touched.

Whether somebody is left is not asked of the runner: every process of a job has inherited a pipe, and its end of file
says that they are gone. How often, ``tox -e stress``: ``STRESS_TREES`` times each shape, 50 if not said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.job import Job
from tests.chaos.samples import SHAPES
from tests.processes.conftest import Jobs
from tests.processes.oracle import Lifeline
from tests.waiting import wait_for

TIMES = int(os.environ.get("STRESS_TREES", "50"))
BESIDE = 3
"""Who belongs to the job beside: its process, a child, a daemon."""


@dataclass
class Tally:
    """Milliseconds of each cancel, from the request, and from its first SIGKILL, to the proof; and how many it hit."""

    whole: list[int] = field(default_factory=list)
    killing: list[int] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    contained: set[str] = field(default_factory=set)

    def add(self, job: Job) -> None:
        cancellation = job.cancellation
        assert cancellation is not None
        assert cancellation.stopped_at is not None
        kills = [entry["at"] for entry in cancellation.signals if entry["signal"] == "SIGKILL"]
        assert kills, "it was ended by force"
        self.whole.append(cancellation.stopped_at - cancellation.requested_at)
        self.killing.append(cancellation.stopped_at - min(kills))
        self.killed.append(len(kills))
        self.contained.add(str(cancellation.containment))

    def told(self) -> dict[str, Any]:
        return {
            "times": len(self.whole),
            "killed": _spread(self.killed),
            "contained": sorted(self.contained),
            "killToProofMs": _spread(self.killing),
            "requestToProofMs": _spread(self.whole),
        }


def _spread(found: list[int]) -> dict[str, int]:
    ordered = sorted(found)
    at = {"p50": len(ordered) // 2, "p99": min(len(ordered) - 1, len(ordered) * 99 // 100), "max": len(ordered) - 1}
    return {name: ordered[index] for name, index in at.items()}


@pytest.fixture
def lifelines(home: Path) -> Iterator[Callable[[], Lifeline]]:
    made: list[Lifeline] = []

    def make() -> Lifeline:
        made.append(Lifeline(home / f"lifeline-{len(made)}"))
        return made[-1]

    yield make
    for line in made:
        line.close()


def cancel_trees(
    shape: str, times: int, open_jobs: Callable[..., Jobs], lifelines: Callable[[], Lifeline], containment: str
) -> Tally:
    """One after the other, beside a job that must not notice."""
    jobs = open_jobs(containment=containment, workflows="tests.chaos.samples", standby=2)
    quiet, until = lifelines(), jobs.settings.home / "until"
    beside = jobs.start("beside", lifeline=quiet.path, until=str(until))
    wait_for(lambda: quiet.words(BESIDE), "the job beside has its processes")
    wait_for(lambda: len(_members(jobs, beside)) == BESIDE, "the daemon's first parent is gone")
    members = _members(jobs, beside)
    tally = Tally()
    for _ in range(times):
        tally.add(cancel_one(jobs, shape, lifelines()))
        assert not quiet.is_let_go(), "the job beside has lost nobody"
        assert _members(jobs, beside) == members
        assert jobs.get(beside).status == "running"
    until.touch()
    assert jobs.until_over(beside).status == "completed"
    assert quiet.is_let_go()
    return tally


def _members(jobs: Jobs, job_id: str) -> set[int]:
    return {member["pid"] for member in jobs.manager._supervisor.members_of(job_id)}


def cancel_one(jobs: Jobs, shape: str, lifeline: Lifeline) -> Job:
    job_id = jobs.start("tree", shape=shape, lifeline=lifeline.path)
    words = 1 + SHAPES[shape][1]
    wait_for(lambda: lifeline.words(words), f"so many are in place: {words}")
    jobs.manager.cancel(job_id, "me", force=True)
    job = jobs.until(job_id, lambda job: job.cancellation and job.cancellation.phase == "stopped", "it is proved")
    assert lifeline.is_let_go(), "somebody has survived the proof"
    assert job.status == "cancelled"
    assert job.cancellation is not None
    assert not job.cancellation.survivors
    jobs.until_over(job_id)
    return job


@pytest.mark.parametrize("shape", ["daemon", "hop", "shell"])
def test_nobody_is_left_of_a_tree(
    shape: str, open_jobs: Callable[..., Jobs], lifelines: Callable[[], Lifeline]
) -> None:
    cancel_trees(shape, 2, open_jobs, lifelines, "subreaper")


@pytest.mark.stress
@pytest.mark.parametrize("containment", ["subreaper", "auto"])
@pytest.mark.parametrize("shape", SHAPES)
def test_nobody_is_left_of_any_tree(
    shape: str,
    containment: str,
    open_jobs: Callable[..., Jobs],
    lifelines: Callable[[], Lifeline],
    record_property: Callable[[str, Any], None],
) -> None:
    told = cancel_trees(shape, TIMES, open_jobs, lifelines, containment).told()
    print(f"{shape}, {containment}: {told}")
    record_property(f"{shape}-{containment}", told)
