"""What may be wrong with a run that was disturbed, in plain words, and what to do about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from runner.job import JobStatus, JsonDict
from runner.testing.trace import Traced
from runner.testing.trial import End, Trial

Invariant = Callable[[End], object]
_LONGEST = 300
_MOST_NAMED = 5


class Finding(Exception):
    """One thing wrong. ``advice``: what to do."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what, self.advice = what, advice


@dataclass(frozen=True)
class Expectation:
    """What must be true of a disturbed run.

    ``same``: what of its end must be as it is undisturbed, beside the effects; None: nothing, the effects neither.
    """

    reference: End
    invariant: Invariant | None
    same: Callable[[End], Any] | None
    at_least_once: bool

    def of_a_stop(self, trial: Trial) -> None:
        """The job was told to stop, and its runs are over. Raises Finding."""
        for run in trial.runs:
            _nothing_after_the_stop(run)
        self.of_an_end(trial.look(), "When it had stopped")

    def of_the_last_end(self, trial: Trial) -> None:
        """It has gone on, and nothing more will follow. Raises Finding."""
        for run in trial.runs:
            _nothing_after_the_stop(run)
        end = trial.look()
        resumable = trial.workflow.resumable
        if resumable or end.status is not JobStatus.FAILED:  # else a kill is its end, as it was declared
            _completed(end)
            if self.same is not None:
                if resumable:  # else its retry begins anew
                    self._effects(end, trial.repeatable)
                self._same(self.same, end)
        self.of_an_end(end, "In the end")

    def of_an_end(self, end: End, when: str) -> None:
        if self.invariant is None:
            return
        said = f"{when}, with status {end.status}, {len(end.effects)} effects and the result {short(end.result)}, "
        try:
            holds = self.invariant(end)
        except AssertionError as error:
            raise Finding(
                f"{said}the invariant did not hold: {str(error) or 'its assertion failed'}", _INVARIANT
            ) from error
        if holds is not None and not holds:
            raise Finding(f"{said}the invariant did not hold: it gave {holds!r}", _INVARIANT)

    def _effects(self, end: End, repeatable: list[str]) -> None:
        expected, found = Counter(self.reference.effects), Counter(end.effects)
        if lost := expected - found:
            raise Finding(f"{_named(lost)} never came", _LOST)
        again = found - expected
        if self.at_least_once:
            again -= Counter(repeatable)
        if again:
            raise Finding(f"{_named(again)} came once too often", _REPEATED_ONCE if self.at_least_once else _REPEATED)

    def _same(self, same: Callable[[End], Any], end: End) -> None:
        expected, found = same(self.reference), same(end)
        if expected != found:
            raise Finding(f"{_difference(expected, found)}", _STATE)


def _nothing_after_the_stop(run: Traced) -> None:
    if run.after_stop:
        raise Finding(f"after it had seen the stop it still made {_listed(run.after_stop)}", _AFTER_STOP)
    if run.ended == "failed" and run.stop_seen is not None:
        raise Finding(f"it failed when it was told to stop: {run.error}", _FAILED_AT_STOP)


def _completed(end: End) -> None:
    if end.status is not JobStatus.COMPLETED:
        raise Finding(f"it did not come to its end: it is {end.status}, {end.error or 'without an error'}", _NOT_AGAIN)


def _named(effects: Counter[str]) -> str:
    names = [repr(name) for name in effects.elements()]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{'effects' if len(names) > 1 else 'the effect'} {', '.join(names[:_MOST_NAMED])}{more}"


def _listed(changes: list[str]) -> str:
    more = f" and {len(changes) - _MOST_NAMED} more changes" if len(changes) > _MOST_NAMED else ""
    return ", ".join(changes[:_MOST_NAMED]) + more


def _difference(expected: Any, found: Any) -> str:
    if isinstance(expected, dict) and isinstance(found, dict):
        return "its result differs: " + ", ".join(_keys(expected, found))
    return f"its result differs: expected {short(expected)}, found {short(found)}"


def _keys(expected: JsonDict, found: JsonDict) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            yield f"{key!r} should be {short(expected.get(key))} and is {short(found.get(key))}"


def short(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_INVARIANT = "Look at the world below; replay this one place with a debugger or more notes."
_AFTER_STOP = (
    "Once JobStopped is raised, nothing more may be done: no effect in `finally` or after an `except BaseException`. "
    "What belongs to a batch goes into its commit; what tidies up temporary files may name them in scratch=."
)
_FAILED_AT_STOP = "Let JobStopped pass: do not turn it into another error."
_NOT_AGAIN = "A run that goes on gets job.position, job.result and what is on disk; it must not need more."
_LOST = "It was counted as done before it was. Do a batch's work before its commit, and within that batch alone."
_REPEATED = (
    "What was done before the interruption was done again. Do it in a batch; write it down before it is done "
    "(batch.intend, batch.call) and find out in `settle` what became of it. If one batch may be done again when it "
    "was killed before its commit, say at_least_once=True."
)
_REPEATED_ONCE = (
    "Only the batch in hand may be done again, and only after a kill. Do it in a batch; for what is done once, before "
    "the first, note in job.result that it is done, and commit it there."
)
_STATE = (
    "What a run counts up must be in job.result, which is kept by each commit, or come from the ledger (result=); a "
    "local variable is gone in the next run. If something may well differ, say what must not: same=lambda end: …"
)
