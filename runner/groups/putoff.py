"""Putting off: the gateway wants us to slow down and has not removed somebody, who comes again after a pause."""

from __future__ import annotations

from collections.abc import Iterable

from runner.backoff import Backoff
from runner.context import JobContext
from runner.gateway import Outcome, OutcomeKind, RateLimited


class PutOff:
    """As the calls of one run show it; the pauses grow with each call that puts somebody off."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._backoff = Backoff(job.settings, chance=job.chance)
        self._said: RateLimited | None = None

    def wait(self) -> None:
        """After a batch in which the gateway put somebody off. Raises RateLimited when it has done so too often."""
        if self._said is None:
            return
        pause = self._backoff.wait_after(self._said)
        if pause is None:
            raise self._said
        self._job.wait_visibly(pause, str(self._said))
        self._said = None

    def note(self, outcomes: Iterable[Outcome]) -> None:
        later = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.LATER]
        self._said = RateLimited(later[0].reason or "The gateway asks for a pause") if later else None
        if not later:
            self._backoff.reset()
