"""``assert_stop_safe``: an undisturbed run, and then one disturbed run for each way at each place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.job import JobStatus, JsonDict
from runner.loading import threads_of
from runner.testing.findings import Expectation, Finding, Invariant
from runner.testing.places import Disturbance, Place, Way, disturbances
from runner.testing.process import Overrun, RunProcess
from runner.testing.trial import End, Trial
from runner.testing.world import World
from runner.workflow import JobConfig, Workflow, find_workflow, workflow_names

_LOG_LINES = 12

Config = JobConfig | Mapping[str, Any]
"""A job's config, as the workflow's own class or as the API takes it: ``{"batchSize": 3}``."""


class NotStopSafe(AssertionError):
    """A disturbed run went wrong, or could not be tried; the message says where, what, and what to do."""


@dataclass(frozen=True)
class Examined:
    """What was tried: how many places the undisturbed run has, and how many ways at places were gone through."""

    places: int
    tried: int
    reference: End


@dataclass
class Examination:
    """One workflow under examination, in one world that is made anew for each trial."""

    workflow: Workflow
    config: Config | None
    setup: Callable[[World], Config | None] | None
    options: JsonDict
    world: World
    process: RunProcess

    def trial(self) -> Trial:
        """A job in a new world, ready to run."""
        self.world.renew()
        self.process.log.write_text("")
        config = (self.setup(self.world) if self.setup else None) or self.config
        if config is None:
            raise TypeError("give assert_stop_safe a config, or return one from setup")
        trial = Trial(self.world, self.workflow, self.process)
        checked = config if isinstance(config, JobConfig) else self.workflow.config.from_wire(dict(config))
        trial.start(checked, self.options)
        return trial

    def undisturbed(self) -> Trial:
        trial = self.trial()
        trial.run_on()
        return trial

    def disturbed(self, one: Disturbance, expected: Expectation) -> None:
        """Raises Finding."""
        trial = self.trial()
        trial.run_on(one)
        if not trial.runs[0].disturbed:
            raise Finding("it did not come there this time", _NOT_THE_SAME)
        if not one.way.kills:
            expected.of_a_stop(trial)
            if trial.status is not JobStatus.COMPLETED:
                trial.retry() if one.way is Way.CANCEL else trial.resume()
                trial.run_on()
        expected.of_the_last_end(trial)


def assert_stop_safe(  # noqa: PLR0913 - each is one thing that a test may want to say
    workflow: Callable[..., Any] | str,
    config: Config | None = None,
    invariant: Invariant | None = None,
    *,
    setup: Callable[[World], Config | None] | None = None,
    settings: Mapping[str, Any] | None = None,
    options: JsonDict | None = None,
    effects: Callable[[World], list[str]] | None = None,
    same: Callable[[End], Any] | None = lambda end: end.result,
    at_least_once: bool = False,
    scratch: Sequence[str] = (),
    ways: Collection[Way] = tuple(Way),
    only: str | None = None,
    folder: Path | None = None,
    limit_seconds: float = 30.0,
) -> Examined:
    """Runs the workflow once undisturbed, then again for each way at each place, and raises NotStopSafe at the first
    run that went wrong.

    workflow: the function under ``@workflow``, or its name. config: of the job, say ``{"batchSize": 3}``.
    invariant: called with the ``End`` of each run, also of one that was cancelled and does not go on, and of the
        undisturbed one; it fails by returning something false (not None) or by an assertion.
    setup: (world) fills the folder and the store before each run; may return the config, where that names a file.
    settings: what differs from the defaults, say ``{"gateway": "module:factory"}``. options: start options.
    effects: (world) -> all effects there have been, in order. Default: the lines of ``effects.txt`` in the folder.
    same: what of the end must be as in the undisturbed run, beside the effects; None: nothing, the effects neither.
    at_least_once: the batch in hand may be done again after a kill; nothing else may.
    scratch: patterns of files in the folder that may change after a stop, say ``["*.tmp"]``.
    ways: which ways are tried; all of them.
    only: one disturbance, as the message of a failure names it. folder: where the world is made; kept.
    limit_seconds: the longest one run may take, in real time; sleeps take none.
    """
    __tracebackhide__ = True
    found = _registered(workflow)
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory(prefix="stop-safe-") as place:
        root = Path(place)
        world = World(root / "world", settings or {}, effects, scratch)
        try:
            process = RunProcess(world, root, limit_seconds, by_commit=at_least_once)
            examination = Examination(found, config, setup, options or {}, world, process)
            expected, places = _reference(examination, invariant, same, at_least_once)
            chosen = _chosen(disturbances(places, _fitting(found, ways)), only)
            _examine(examination, expected, chosen)
            return Examined(len(places), len(chosen), expected.reference)
        finally:
            world.close()


def _examine(examination: Examination, expected: Expectation, chosen: Sequence[Disturbance]) -> None:
    __tracebackhide__ = True
    for one in chosen:
        try:
            examination.disturbed(one, expected)
        except Finding as finding:
            raise NotStopSafe(_message(examination, one, finding)) from finding.__cause__
        except Overrun:
            raise NotStopSafe(_message(examination, one, _overrun())) from None


def _reference(
    examination: Examination, invariant: Invariant | None, same: Callable[[End], Any] | None, at_least_once: bool
) -> tuple[Expectation, list[Place]]:
    """Twice, since a workflow that differs from itself can be compared with nothing."""
    __tracebackhide__ = True
    name = examination.workflow.name
    try:
        trial = examination.undisturbed()
        expected = Expectation(trial.look(), invariant, same, at_least_once)
        expected.of_the_last_end(trial)
        _can_stop(trial)
        expected.of_the_last_end(examination.undisturbed())
    except Finding as finding:
        text = f"{name} does not even come through undisturbed, twice the same: {finding.what}."
        raise NotStopSafe(f"{text}\n{finding.advice}{_said(examination)}") from finding.__cause__
    except Overrun:
        raise NotStopSafe(
            f"{name}, undisturbed, {_overrun().what}.{_thread_of(examination.workflow)}{_said(examination)}"
        ) from None
    return expected, trial.runs[0].places


def _thread_of(workflow: Workflow) -> str:
    """The likeliest reason why a run waits for ever."""
    module = getattr(workflow.run, "__module__", "")
    if not (names := threads_of(module)):
        return ""
    return (
        f"\nThe module {module} runs a thread here ({', '.join(names)}), which a process that is forked has not: "
        "start it in the workflow, not when the module is imported."
    )


def _can_stop(trial: Trial) -> None:
    if not any(place.kind.sees_stops for place in trial.runs[0].places):
        raise Finding("there is no place where it would see a stop", "Call job.checkpoint(), or use job.batches().")


def _fitting(workflow: Workflow, ways: Collection[Way]) -> list[Way]:
    """Only what can go on can be paused."""
    return [way for way in ways if workflow.resumable or way is not Way.PAUSE]


def _overrun() -> Finding:
    advice = "Does it catch JobStopped and go on? Does it wait for something else than job.sleep()? See limit_seconds=."
    return Finding("did not end within its limit of real time", advice)


def _chosen(all_of_them: Sequence[Disturbance], only: str | None) -> Sequence[Disturbance]:
    if only is None:
        return all_of_them
    chosen = [one for one in all_of_them if str(one) == only]
    if not chosen:
        named = ", ".join(str(one) for one in all_of_them[:8])
        raise ValueError(f"only={only!r}: the undisturbed run has no such place; it has {named}, …")
    return chosen


def _registered(given: Callable[..., Any] | str) -> Workflow:
    for name in workflow_names():
        found = find_workflow(name)
        if found is not None and (found.run is given or name == given):
            return found
    raise LookupError(f"{given!r} is no workflow; put @workflow(…) over it, and import its module in the test")


def _message(examination: Examination, one: Disturbance, finding: Finding) -> str:
    return (
        f"{examination.workflow.name} is not stop-safe: {one.words}, {finding.what}.\n{finding.advice}\n"
        f'To replay this alone: only="{one}", or pytest --stop-at {one}\n'
        f"Its world: {examination.world.folder}{_said(examination)}"
    )


def _said(examination: Examination) -> str:
    lines = examination.process.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return "\nThe runs logged:\n  " + "\n  ".join(lines) if lines else ""


_NOT_THE_SAME = (
    "The workflow is not the same each time: take time and chance out of what it does, or fix them in setup."
)
