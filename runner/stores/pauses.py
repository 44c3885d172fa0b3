"""Pauses in the store: asked for, taken back, and what a paused job keeps."""

from __future__ import annotations

from sqlalchemy import and_

from runner.job import JobStatus, StopReason
from runner.store import Transaction
from runner.stores.events import add_event
from runner.stores.jobs import HELD, IS_GOING, WAITING, change_job
from runner.stores.runs import CURRENT, NO_RECEIPTS, SETTLING, RunRows
from runner.stores.schema import jobs

_PAUSED = jobs.c.status == JobStatus.PAUSED
_PAUSED_AND_FREE = and_(_PAUSED, jobs.c.claimed_at.is_(None))
_PAUSING = (HELD, IS_GOING, jobs.c.stop_reason == StopReason.PAUSE)
_RESUMED_EARLY = (HELD, IS_GOING, SETTLING)
_NO_CLAIM = {"claimed_at": None, "released_at": None, "stop_reason": None, "stop_requested_at": None, "waiting": None}


class PauseRows:
    """Pauses, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def request(self, job_id: str, by: str) -> bool:
        """A waiting job is paused at once, and so is one that was resumed while what it left open is found out; a run
        is asked to end. False where there is nothing to pause.
        """
        asked = {"pause_requested_at": self._tx.now, "pause_requested_by": by, "resumed_at": None, "resumed_by": None}
        paused = asked | {"status": JobStatus.PAUSED}
        if change_job(self._tx, job_id, WAITING, **paused) or change_job(self._tx, job_id, *_RESUMED_EARLY, **paused):
            add_event(self._tx, job_id, "paused", {"requestedBy": by})
            return True
        if RunRows(self._tx).request_stop(job_id, StopReason.PAUSE):
            change_job(self._tx, job_id, **asked)
            add_event(self._tx, job_id, "pausing", {"requestedBy": by})
            return True
        return False

    def resume(self, job_id: str, by: str) -> bool:
        """A paused job waits again, at its first age; a pause under way is taken back. False where there is none.

        Where something left open is being found out under the job's claim, it goes on after that.
        """
        asked = {"resumed_at": self._tx.now, "resumed_by": by}
        taken_back = change_job(self._tx, job_id, *_PAUSING, stop_reason=StopReason.RESUME, **asked)
        if not taken_back and not change_job(self._tx, job_id, _PAUSED, status=JobStatus.PENDING, **asked):
            return False
        add_event(self._tx, job_id, "resumed", {"requestedBy": by})
        return True

    def paused(self, job_id: str, epoch: int) -> None:
        """The run has ended, and no process of it is left. The claim stays, until what is open is found out."""
        given = {"run_epoch": epoch}
        values = {"status": JobStatus.PAUSED, "stop_reason": None} | NO_RECEIPTS
        if change_job(self._tx, job_id, *CURRENT, IS_GOING, given=given, **values):
            add_event(self._tx, job_id, "paused", {"epoch": epoch})

    def let_go(self, job_id: str, epoch: int) -> None:
        """Nothing is open: lock and slot are free while the job is paused."""
        change_job(self._tx, job_id, *CURRENT, _PAUSED, given={"run_epoch": epoch}, **_NO_CLAIM)
