"""Limits of a job: how long it may run, and how much memory it may use."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from runner.clock import Clock
from runner.job import StopReason
from runner.memory import SOFT_SHARE, memory_mb
from runner.running import Running
from runner.settings import Settings
from runner.workflow import grace_of

log = logging.getLogger(__name__)
MEMORY_SECONDS = 0.2
_SHARE_OF_TIME = 20
"""Looking at memory takes at most so small a part of the loop's time, however many jobs have a limit."""


@dataclass
class Limits:
    """Stops the runs that go beyond theirs. Called by the supervisor's loop."""

    settings: Settings
    clock: Clock
    look_at: float = 0.0

    def next_at(self, runs: Iterable[Running]) -> list[float]:
        """When memory is looked at next, in boot seconds; a timeout stands among a run's own times."""
        return [self.look_at] if any(map(_is_limited, runs)) else []

    def enforce(self, runs: Iterable[Running]) -> None:
        now = self.clock.boot_seconds()
        for run in runs:
            if (at := run.timeout_at) is not None and at <= now:
                words = f"timed out: it ran longer than timeoutMs ({run.job.timeout_ms})"
                self._stop(run, StopReason.TIMEOUT, words)

    def look_at_memory(self, runs: Iterable[Running]) -> None:
        began = self.clock.boot_seconds()
        if began < self.look_at:
            return
        for run in runs:
            if _is_limited(run):
                self._look_alone(run)
        now = self.clock.boot_seconds()
        self.look_at = now + max(MEMORY_SECONDS, (now - began) * _SHARE_OF_TIME)

    def _look_alone(self, run: Running) -> None:
        """A run that cannot be looked at now must not hold up the others."""
        try:
            self._look(run)
        except Exception:
            log.exception("The memory of %s cannot be told; looking again", run.job_id)

    def _look(self, run: Running) -> None:
        most = run.job.max_memory_mb or 0
        used = memory_mb(member.pid for member in run.process.tree(run.job_id).members())
        said = f"memory: it used {used:.0f} MB of maxMemoryMb ({most})"
        if used > most:
            self._stop(run, StopReason.MEMORY, said, force=True)
        elif used > most * SOFT_SHARE and run.ladder is None:
            self._stop(run, StopReason.MEMORY, said)

    def _stop(self, run: Running, reason: StopReason, words: str, *, force: bool = False) -> None:
        run.exceed(reason, words, grace_of(run.job, self.settings), self.settings.terminate_seconds, force=force)


def _is_limited(run: Running) -> bool:
    """A settling run is not: to stop it would only begin it anew, with the lock held all the while."""
    if run.job.max_memory_mb is None or run.mode == "settle":
        return False
    return run.acknowledged and run.exited_at is None and not run.is_being_killed
