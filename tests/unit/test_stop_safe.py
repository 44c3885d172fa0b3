"""The tester of workflows finds what is planted and lets pass what is clean; our own removals are tested with it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import runner.testing
from runner.groups.activity import ActivityRows
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.job import JobStatus, JsonDict
from runner.testing import End, Examined, NotStopSafe, Way, World, assert_stop_safe
from runner.workflows.removal import removal_queue, removal_workflow
from tests.gateways.slow import configure, removed_ids
from tests.unit import stop_safe_samples as samples
from tests.unit.removals import DAY, WA_ID, lid, lids
from tests.unit.stop_safe_samples import SampleConfig

Workflow = Callable[..., Any]


# -- clean -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workflow", "config"),
    [
        (samples.count, {"total": 3, "delayMs": 60_000}),
        (samples.report, {"total": 2}),
        (samples.words, {"total": 3}),
        (samples.patient, {"total": 2}),
        (samples.from_the_start, {"total": 2}),
    ],
    ids=["count", "report", "words", "patient", "from_the_start"],
)
def test_a_clean_workflow_raises_no_alarm(workflow: Workflow, config: JsonDict, tmp_path: Path) -> None:
    examined = assert_stop_safe(workflow, config, folder=tmp_path)
    assert examined.tried > 2 * examined.places > 12
    assert examined.reference.status is JobStatus.COMPLETED


def test_each_letter_is_sent_once_whatever_comes_between(tmp_path: Path) -> None:
    names = [f"M{number}" for number in range(3)]

    def invariant(end: End) -> None:
        assert len(set(end.effects)) == len(end.effects)
        assert end.result["sent"] == sorted(end.effects)

    examined = assert_stop_safe(
        samples.post, SampleConfig(), invariant, setup=samples.letters_to(*names), folder=tmp_path
    )
    assert examined.reference.effects == names


def test_the_batch_in_hand_may_be_done_again_if_that_is_said(tmp_path: Path) -> None:
    examined = assert_stop_safe(samples.index, SampleConfig(total=3), at_least_once=True, folder=tmp_path)
    assert examined.reference.effects == ["item 0", "item 1", "item 2"]


# -- planted faults --------------------------------------------------------------------------------------------------

FAULTS = [
    (samples.outside, "cancelled at checkpoint 1", "the effect 'told them that it begins' came once too often"),
    (samples.local_state, "cancelled", "'counted' should be 5 and is 3"),
    (samples.in_finally, "cancelled at checkpoint 1", "still made the effect 'told them that it is over'"),
    (
        samples.commits_after_the_stop,
        "cancelled at checkpoint 1",
        "still made a change in the table jobs (progress, result)",
    ),
    (samples.too_late, "killed after the commit of batch 1", "effects 'item 0', 'item 1' never came"),
    (samples.other_error, "cancelled at checkpoint 1", "failed when it was told to stop: RuntimeError: I was not done"),
]


@pytest.mark.parametrize(("workflow", "where", "what"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_planted_fault_is_found(workflow: Workflow, where: str, what: str, tmp_path: Path) -> None:
    said = refusal(workflow, tmp_path, at_least_once=True)
    assert f"is not stop-safe: {where}" in said
    assert what in said


@pytest.mark.parametrize(
    ("workflow", "where"),
    [(samples.unsettled, "before the commit"), (samples.acts_in_the_book, "in the commit")],
    ids=["unsettled", "acts_in_the_book"],
)
def test_what_is_done_again_after_a_kill_is_a_fault_unless_it_was_said(
    workflow: Workflow, where: str, tmp_path: Path
) -> None:
    said = refusal(workflow, tmp_path)
    assert f"killed {where} of batch 1" in said
    assert "effects 'item 0', 'item 1' came once too often" in said
    assert "say at_least_once=True" in said


def test_an_invariant_that_does_not_hold_is_told_with_what_was_found(tmp_path: Path) -> None:
    said = refusal(samples.count, tmp_path, invariant=lambda end: end.status is JobStatus.COMPLETED)
    assert "clean_count is not stop-safe: cancelled at checkpoint 1, before the first batch" in said
    assert "When it had stopped, with status cancelled, 0 effects and the result {}, the invariant did not hold" in said


def test_a_failure_names_its_place_and_it_can_be_replayed_alone(tmp_path: Path) -> None:
    said = refusal(samples.too_late, tmp_path, at_least_once=True)
    assert 'only="kill:after_commit:1"' in said
    assert refusal(samples.too_late, tmp_path, at_least_once=True, only="kill:after_commit:1") == said
    assert assert_stop_safe(samples.too_late, SampleConfig(), only="kill:before_commit:1", folder=tmp_path).tried == 1
    with pytest.raises(ValueError, match="has no such place; it has cancel:checkpoint:1"):
        assert_stop_safe(samples.too_late, SampleConfig(), only="kill:before_commit:77", folder=tmp_path)


# -- what cannot be tried --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workflow", "what"),
    [
        (samples.no_checkpoint, "there is no place where it would see a stop"),
        (samples.never_the_same, "its result differs: 'job' should be"),
        (samples.breaks, "LookupError: there is no such page"),
    ],
    ids=["no_checkpoint", "never_the_same", "breaks"],
)
def test_what_does_not_come_through_undisturbed_is_told_first(workflow: Workflow, what: str, tmp_path: Path) -> None:
    said = refusal(workflow, tmp_path)
    assert "does not even come through undisturbed, twice the same" in said
    assert what in said


def test_why_it_broke_is_in_the_message(tmp_path: Path) -> None:
    assert 'raise LookupError("there is no such page")' in refusal(samples.breaks, tmp_path)


def test_a_run_that_never_ends_is_ended(tmp_path: Path) -> None:
    said = refusal(samples.deaf, tmp_path, limit_seconds=8.0)
    assert "deaf is not stop-safe: cancelled at checkpoint 1" in said
    assert "did not end within its limit" in said


def test_a_function_that_is_no_workflow_is_refused() -> None:
    with pytest.raises(LookupError, match="put @workflow"):
        assert_stop_safe(lambda: None, SampleConfig())


def refusal(workflow: Workflow, folder: Path, **arguments: Any) -> str:
    with pytest.raises(NotStopSafe) as raised:
        assert_stop_safe(workflow, SampleConfig(), folder=folder, **arguments)
    return str(raised.value)


# -- our own ---------------------------------------------------------------------------------------------------------


def group_of(silent: int, lively: int, *, queued: bool) -> Callable[[World], None]:
    """A group with people who were silent for 60 days, and others who were not."""

    def setup(world: World) -> None:
        configure(world.folder, call_ms=0)
        now = world.clock.now_ms()
        with world.store.write() as tx:
            group = GroupRows(tx).create(WA_ID, "Neighbours")
            people = [
                MemberEntry(lid=lid(number), last_active_at=now - (60 if number <= silent else 2) * DAY + number)
                for number in range(1, silent + lively + 1)
            ]
            MemberRows(tx).put_all(group, people, now - 400 * DAY)
            ActivityRows(tx).observed(group, now - 100 * DAY, now, "a test")
            if queued:
                QueueRows(tx).sync(group, 30 * DAY, now, DAY)

    return setup


def nobody_twice_and_nobody_else(end: End) -> None:
    assert len(set(end.effects)) == len(end.effects), "somebody was removed twice"
    assert set(end.effects) <= set(lids(range(1, 4))), "somebody else was touched"
    assert sorted(end.result["removedWhatsappIds"]) == sorted(end.effects)


@pytest.mark.parametrize("workflow", [removal_workflow, removal_queue], ids=["removal_workflow", "removal_queue"])
def test_our_own_removals_are_stop_safe(workflow: Workflow, tmp_path: Path) -> None:
    """Through a gateway with effects of its own: its log says who was really removed."""
    examined = examine_removal(
        workflow,
        tmp_path,
        nobody_twice_and_nobody_else,
        same=lambda end: sorted(end.result["removedWhatsappIds"]),
        ways=(Way.CANCEL, Way.PAUSE, Way.KILL),
    )
    assert examined.reference.effects == lids(range(1, 4))
    assert examined.places > 15


def test_whoever_is_not_removed_in_two_crashes_is_given_up(tmp_path: Path) -> None:
    """Killed twice with the same people in hand: they are not asked for a third time, and that is said."""

    def invariant(end: End) -> None:
        nobody_twice_and_nobody_else(end)
        given_up = [one["id"] for one in end.result.get("givenUp", ())]
        assert sorted([*end.effects, *given_up]) == lids(range(1, 4))

    examine_removal(removal_queue, tmp_path, invariant, same=None, ways=(Way.KILL_TWICE,))


def examine_removal(workflow: Workflow, folder: Path, invariant: Callable[[End], None], **arguments: Any) -> Examined:
    config: JsonDict = {"groupWaId": WA_ID, "batchSize": 2, "delayMs": 10_000, "dryRun": False}
    is_queue = workflow is removal_queue
    return assert_stop_safe(
        workflow,
        config if is_queue else config | {"inactivityWindowMs": 30 * DAY},
        invariant,
        setup=group_of(3, 2, queued=is_queue),
        settings={"gateway": "tests.gateways.slow:open_slow"},
        effects=lambda world: removed_ids(world.folder),
        folder=folder,
        **arguments,
    )


# -- as users get it -------------------------------------------------------------------------------------------------


def run_pytest(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_the_example_in_the_docstring_works_as_written(tmp_path: Path) -> None:
    assert runner.testing.__doc__ is not None
    lines = runner.testing.__doc__.splitlines()
    example = textwrap.dedent("\n".join(line for line in lines if line.startswith("    ") or not line))
    (tmp_path / "test_example.py").write_text(example)
    assert "1 passed" in run_pytest(tmp_path, "--stop-at", "kill:before_commit:2")
    (tmp_path / "test_example.py").write_text(example.replace(", at_least_once=True", ""))
    said = run_pytest(tmp_path, "--stop-at", "kill:before_commit:2")
    assert "reindex is not stop-safe: killed before the commit of batch 2" in said
    assert "safety.py" not in said.split("E  ")[0]  # the test's own line is shown, not the inside of the tester
