"""Whoever dies at a named point: what was promised before still holds, and nobody is left.

All points three times: ``tox -e chaos``. ``CHAOS_ROUNDS`` says how often.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.crashpoint import POINTS, Armed, Side, UnknownPoint, meaning_of
from tests.chaos import stories
from tests.chaos.client import Client, people_of
from tests.chaos.oracle import check_all
from tests.chaos.stories import Story
from tests.waiting import wait_for

RUNNER = Path(__file__).resolve().parents[2] / "runner"
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "3"))


@dataclass(frozen=True)
class Case:
    """``times``: at which passing to die, in the first round, the second, and so on; the last for all others."""

    point: str
    story: Story
    times: tuple[int, ...] = (1,)

    def __str__(self) -> str:
        return f"{self.point}-{self.story.__name__}"


BATCHES = (1, 2, 3)
CASES = [
    Case("before_start_commit", stories.run, (1, 2)),
    Case("after_start_commit", stories.run, (1, 2)),
    Case("before_bind", stories.run, (1, 2)),
    Case("after_bind", stories.run, (1, 2)),
    Case("after_hand_over", stories.run, (1, 2)),
    Case("before_ack_recorded", stories.run, (1, 2)),
    Case("before_record_commit", stories.run),
    Case("after_record_commit", stories.run),
    Case("before_intent", stories.run, BATCHES),
    Case("after_intent", stories.run, BATCHES),
    Case("after_call_stamped", stories.run, BATCHES),
    Case("after_call", stories.run, BATCHES),
    Case("before_batch_commit", stories.run, BATCHES),
    Case("after_batch_commit", stories.run, BATCHES),
    Case("before_complete", stories.run),
    Case("after_complete", stories.run),
    Case("before_conclude_commit", stories.run, (1, 2)),
    Case("after_conclude_commit", stories.run, (1, 2)),
    Case("before_claim_commit", stories.queue),
    Case("after_claim_commit", stories.queue),
    Case("after_conclude_commit", stories.queue),
    Case("before_cancel_commit", stories.cancel),
    Case("after_cancel_commit", stories.cancel),
    Case("after_flag", stories.cancel),
    Case("before_conclude_commit", stories.cancel),
    Case("after_conclude_commit", stories.cancel),
    Case("after_journal_add", stories.journal),
    Case("after_journal_recorded", stories.journal),
    Case("after_cancel_commit", stories.force),
    Case("after_terminate", stories.force),
    Case("after_kill", stories.force),
    Case("before_conclude_commit", stories.force),
    Case("after_cancel_commit", stories.settle),
    Case("after_kill", stories.settle),
    Case("before_settle_launch", stories.settle),
    Case("before_settle", stories.settle),
    Case("before_settle_commit", stories.settle),
    Case("after_settle", stories.settle),
    Case("before_pause_commit", stories.pause),
    Case("after_pause_commit", stories.pause),
    Case("before_paused_commit", stories.pause),
    Case("after_conclude_commit", stories.pause),
    Case("before_resume_commit", stories.pause),
    Case("after_resume_commit", stories.pause),
    Case("before_retry_commit", stories.retry),
    Case("after_start_commit", stories.retry, (2,)),
    Case("after_drain_begun", stories.drain),
    Case("after_drain_commit", stories.drain),
    Case("before_conclude_commit", stories.drain, (1, 2)),
    Case("before_sweep", stories.recover),
    Case("after_sweep", stories.recover),
    Case("after_take_up", stories.recover, (1, 2, 3)),
    Case("before_reap_commit", stories.reap),
    Case("after_reap_commit", stories.reap),
]
FEW = {
    "after_start_commit-run",
    "after_call-run",
    "after_batch_commit-run",
    "after_cancel_commit-cancel",
    "before_settle_launch-settle",
    "after_sweep-recover",
}


def live_through(client: Client, case: Case, number: int = 0) -> None:
    """The story, with a death at the point; then everything that was promised."""
    times = case.times[min(number, len(case.times) - 1)]
    errands = case.story(client, lambda: client.server.arm(case.point, times))
    log = client.server.armed_log
    wait_for(log.exists, f"somebody comes by {case.point} ({meaning_of(case.point)})")  # a job is over before its run
    assert log.read_text().split()[0] == case.point
    check_all(client, errands)
    died = client.deaths - (case.story in (stories.recover, stories.reap)) - (case.story is stories.reap)
    assert died == (POINTS[case.point] is Side.SERVER), f"{client.deaths} deaths of the server"
    assert client.drain() in (0, 3)
    wait_for(lambda: not people_of(client.server.home), "nobody is left")


@pytest.mark.parametrize("case", [case for case in CASES if str(case) in FEW], ids=str)
def test_whoever_dies_what_was_promised_holds(client: Client, case: Case) -> None:
    live_through(client, case)


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_at_every_point(client: Client, case: Case, number: int) -> None:
    live_through(client, case, number)


def test_no_point_is_left_out() -> None:
    """Each has a case, and each case fails where its point is not passed."""
    assert {case.point for case in CASES} == set(POINTS)
    assert {str(case) for case in CASES} >= FEW


def test_each_point_is_in_the_code_once_and_no_other_is() -> None:
    found = [name for path in RUNNER.rglob("*.py") for name in _points_in(path)]
    assert sorted(found) == sorted(POINTS)


def _points_in(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    ours = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "crashpoint"]
    names = [node for call in ours for argument in call.args for node in ast.walk(argument)]
    return [str(node.value) for node in names if isinstance(node, ast.Constant)]


def test_a_point_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownPoint, match="nowhere"):
        Armed("nowhere:2", str(tmp_path / "log"))
    armed = Armed("after_call:2", str(tmp_path / "log"))
    with pytest.raises(UnknownPoint, match="after_cal'"):
        armed.passed("after_cal")


def test_whoever_comes_after_the_one_who_died_lives(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("after_call 1\n")
    armed = Armed("after_call", str(log))
    for _ in range(3):
        armed.passed("before_intent")
        armed.passed("after_call")
    assert log.read_text() == "after_call 1\n"
