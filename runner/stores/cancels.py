"""Cancels in the store: the request, how far it has come, and the receipts of what was done."""

from __future__ import annotations

from sqlalchemy import bindparam

from runner.job import Job, JobStatus, JsonDict, Phase, StopReason
from runner.store import Transaction
from runner.stores.events import add_event
from runner.stores.jobs import HELD, IS_GOING, WAITING, change_job, changed_job
from runner.stores.runs import FIRST_REQUEST, OF_EPOCH, SETTLING
from runner.stores.schema import jobs

_PAUSED = (jobs.c.status == JobStatus.PAUSED,)
_EARLIER_DEADLINE = jobs.c.cancel_deadline_at > bindparam("at")
_NOT_SEEN = (jobs.c.cancel_seen_at.is_(None), jobs.c.cancel_requested_at.is_not(None))
_NOT_PROVED = (jobs.c.cancel_requested_at.is_not(None), jobs.c.cancel_stopped_at.is_(None))
_EARLIER = {phase: jobs.c.cancel_phase.in_(list(Phase)[:number]) for number, phase in enumerate(Phase)}


class CancelRows:
    """Cancels, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def request(self, job_id: str, by: str, reason: str | None, stop_ms: int) -> Job | None:
        """The job is cancelled from now on, unless it has ended. ``stop_ms``: how long the ladder may take at most.

        A job that waits or is paused has nothing to stop: it is stopped at once. What one left open before it was
        paused is still found out, under its lock, also where it was resumed meanwhile. Returns the job as it stands
        now; None where the cancel was not accepted.
        """
        now = self._tx.now
        asked = {"cancel_requested_at": now, "cancel_requested_by": by, "cancel_reason": reason}
        values = asked | {"status": JobStatus.CANCELLED, "completed_at": now}
        waiting = {"cancel_phase": Phase.STOPPED, "cancel_deadline_at": now, "cancel_stopped_at": now}
        held = {"cancel_phase": Phase.REQUESTED, "cancel_deadline_at": now + stop_ms}
        held |= {
            "stop_reason": StopReason.CANCEL,
            "stop_requested_at": FIRST_REQUEST,
        }
        accepted = (
            changed_job(self._tx, job_id, HELD, IS_GOING, ~SETTLING, given={"at": now}, **values, **held)
            or changed_job(self._tx, job_id, HELD, IS_GOING, SETTLING, **values, **waiting)
            or changed_job(self._tx, job_id, WAITING, **values, **waiting)
            or changed_job(self._tx, job_id, *_PAUSED, **values, **waiting)
        )
        if accepted is not None:
            add_event(self._tx, job_id, "cancelled", {"requestedBy": by} | ({"reason": reason} if reason else {}))
        return accepted

    def force(self, job_id: str, by: str, stop_ms: int) -> None:
        """A cancel that goes straight to the kill: the promise is an earlier one. Who asked first stays on the job."""
        earlier = {"cancel_deadline_at": self._tx.now + stop_ms}
        given = {"at": earlier["cancel_deadline_at"]}
        if change_job(self._tx, job_id, *_NOT_PROVED, _EARLIER_DEADLINE, given=given, **earlier):
            add_event(self._tx, job_id, "forced", {"requestedBy": by})

    def seen(self, job_id: str, epoch: int, at: int) -> None:
        """The workflow has seen the flag."""
        given, phase = {"run_epoch": epoch}, Phase.FINISHING_BATCH
        mine = (OF_EPOCH, *_NOT_SEEN)
        if change_job(self._tx, job_id, *mine, _EARLIER[phase], given=given, cancel_seen_at=at, cancel_phase=phase):
            add_event(self._tx, job_id, str(phase), {})
        else:
            change_job(self._tx, job_id, *mine, given=given, cancel_seen_at=at)
            self.advance(job_id, phase)

    def advance(self, job_id: str, phase: Phase, **values: object) -> bool:
        """Moves the phase on, never back."""
        moved = change_job(self._tx, job_id, _EARLIER[phase], cancel_phase=phase, **values)
        if moved:
            add_event(self._tx, job_id, str(phase), {})
        return moved

    def proved(self, job_id: str, epoch: int, containment: str) -> None:
        """The tree is empty; on a cancelled job that ends the cancel."""
        stopped = {"cancel_phase": Phase.STOPPED, "cancel_stopped_at": self._tx.now, "survivors": None}
        given = {"run_epoch": epoch}
        if change_job(self._tx, job_id, OF_EPOCH, *_NOT_PROVED, given=given, containment=containment, **stopped):
            add_event(self._tx, job_id, "stopped", {"containment": containment})

    def record_stop(
        self, job_id: str, *, survivors: list[JsonDict] | None = None, signals: list[JsonDict] | None = None
    ) -> None:
        """Who was still there when last looked at, and the signals sent so far; None: what is recorded stays."""
        given = {"survivors": survivors, "signals": signals}
        change_job(self._tx, job_id, **{name: value for name, value in given.items() if value is not None})
