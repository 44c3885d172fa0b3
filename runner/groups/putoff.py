"""Putting off: the gateway wants us to slow down, or fails, and whoever is not removed comes again after a pause."""

from __future__ import annotations

from collections.abc import Iterable

from runner.backoff import Backoff
from runner.context import JobContext
from runner.gateway import GatewayError, Outcome, OutcomeKind, RateLimited, Transient


class PutOff:
    """As the calls of one run show it; the pauses grow with each call that puts somebody off.

    A gateway that asks for pauses gets five. One that fails gets as many as ``RUNNER_GATEWAY_WAIT_SECONDS`` hold.
    """

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._asked = Backoff(job.settings, chance=job.chance)
        self._failures = Backoff(job.settings, endless=True, chance=job.chance)
        self._limit = Backoff(job.settings, chance=job.chance, now=job.clock.boot_seconds)
        self._said: GatewayError | None = None

    def wait(self) -> None:
        """After a batch in which the gateway put somebody off. Raises what it said when it has done so too often."""
        if self._said is None:
            return
        pause = self._pause(self._said)
        if pause is None:
            raise self._said
        self._job.wait_visibly(pause, str(self._said))
        self._said = None

    def note(self, outcomes: Iterable[Outcome]) -> None:
        """What the gateway said of each person of one call."""
        outcomes = list(outcomes)
        later = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.LATER]
        failed = [outcome for outcome in outcomes if outcome.failed]
        self._said = None
        if failed:
            self._said = Transient(failed[0].reason or "", nothing_sent=True)
        elif later:
            self._said = RateLimited(later[0].reason or "The gateway asks for a pause")
        if not failed:
            self._failures.reset()
            self._limit.reset()
        if not later:
            self._asked.reset()

    def _pause(self, said: GatewayError) -> float | None:
        if isinstance(said, RateLimited):
            return self._asked.wait_after(said)
        pause = self._failures.slow_down()
        return None if pause is None else self._limit.within_limit(pause)
