"""Going down: every job is stopped, and the server leaves once nobody of theirs lives, whatever the store says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from runner.clock import Clock
from runner.crashpoint import crashpoint
from runner.job import Job, StopReason
from runner.settings import Settings
from runner.stop import total_seconds
from runner.store import Store
from runner.stores.runs import RunRows
from runner.supervisor import Supervisor
from runner.workflow import grace_of

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.02
_BRIEF_SECONDS = 1.0
"""How long the jobs go on because the store is locked; then they are stopped unrecorded."""

_PATIENCE_SECONDS = 2.0
"""So long the store may take for nothing but the end of a job whose processes are all gone."""


class Leaving:
    """One drain. ``store``: of those who wait."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, supervisor: Supervisor) -> None:
        self._store = store.hasty(_BRIEF_SECONDS)
        self._settings, self._clock, self._supervisor = settings, clock, supervisor

    def drain(self, done: threading.Event) -> int:
        """Returns how many had to be forced, or are left to the next start because the store does not answer."""
        self._supervisor.drain()
        crashpoint("after_drain_begun")
        running = [job for one in self._supervisor.running_ids() if (job := self._supervisor.job_of(one))]
        self._stop(running)
        left = self._wait_until_gone(self._last_deadline(running), done)
        if left:
            log.error(
                "Leaving although the store did not take down how %d jobs ended: the next start concludes them (%s)",
                len(left),
                ", ".join(left[:10]),
            )
        return self._supervisor.forced + len(left)

    def _stop(self, running: Sequence[Job]) -> None:
        """Stopped is more than written down: whatever is wrong with the store, they are."""
        try:
            with self._store.write() as tx:
                for job in running:
                    RunRows(tx).request_stop(job.id, StopReason.DRAIN)
            crashpoint("after_drain_commit")
        except Exception as error:
            log.warning("The jobs are stopped unrecorded: %s", error)
        for job in running:
            self._supervisor.stop(job.id, job.epoch, grace_of(job, self._settings))

    def _last_deadline(self, running: Sequence[Job]) -> float:
        grace = max([0.0, *(grace_of(job, self._settings) for job in running)])
        return self._clock.boot_seconds() + total_seconds(grace, self._settings.terminate_seconds) + _PATIENCE_SECONDS

    def _wait_until_gone(self, deadline: float, done: threading.Event) -> list[str]:
        """Until every run is concluded. Returns those that are not, where nobody of theirs lives and the store has
        taken none for a while, or where the last deadline is over.
        """
        count, since = -1, 0.0
        while not (self._supervisor.is_idle() or done.wait(_LOOK_SECONDS)):
            now, unproved = self._clock.boot_seconds(), self._supervisor.unproved()
            left = self._supervisor.unconcluded()
            if unproved or len(left) != count:
                count, since = len(left), now
            if left and (now >= since + _PATIENCE_SECONDS or now >= deadline):
                if unproved:
                    log.error("Somebody of these jobs would not die: %s", ", ".join(unproved[:10]))
                return left
        return []
