"""Runs in the store: a claim begins one, and each of its writes names the claim's epoch.

An older run's write changes nothing and raises RunSuperseded. The end of a job is decided in ``finish``, and
nowhere else.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from runner.errors import RunSuperseded
from runner.job import Job, JobStatus, JsonDict, ProcessIdentity, Progress, StopReason
from runner.store import Transaction
from runner.stores.events import add_event
from runner.stores.jobs import HELD, WAITING, JobRows, change_job, is_live
from runner.stores.schema import jobs

LEASE_MS = 15_000
"""How long a claim holds without being renewed: a run whose lease is over starts no further call."""


class RunRows:
    """Claims and what their holders write, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def claim(self, job_id: str, node: str, process: ProcessIdentity | None = None) -> bool:
        """Takes a waiting job to run it, unless it is not waiting any more or its lock is held.

        ``process``: which one will have the run, where that is known, so that a later start can end it.
        """
        return change_job(self._tx, job_id, WAITING, ~_lock_is_held(), **self._claimed(node, process))

    def claim_first(self, job_id: str, node: str, process: ProcessIdentity | None) -> bool:
        """As ``claim``, for a job just written: those that already wait for its lock come first."""
        mine = select(jobs.c.lock_key).where(jobs.c.id == job_id).scalar_subquery()
        ahead = select(jobs.c.id).where(WAITING, jobs.c.lock_key == mine, jobs.c.id != job_id).limit(1)
        return self._run(ahead).first() is None and self.claim(job_id, node, process)

    def claim_next(self, node: str, process: ProcessIdentity | None = None) -> Job | None:
        """Claims the first waiting job whose lock is free: by priority, then by age."""
        due = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= self._tx.now)
        first = select(jobs.c.id).where(WAITING, due, ~_lock_is_held())
        order = (jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
        job_id = self._run(first.order_by(*order).limit(1)).scalar_one_or_none()
        if job_id is None or not self.claim(job_id, node, process):
            return None
        return JobRows(self._tx).get(job_id)

    def claim_again(self, job_id: str, epoch: int, node: str) -> Job | None:
        """Raises the epoch of a claim whose run has ended, so that another run goes on under it; the lock stays."""
        values = self._claimed(node, None)
        if not change_job(self._tx, job_id, HELD, jobs.c.epoch == epoch, **values):
            return None
        return JobRows(self._tx).get(job_id, archived=True)

    def _claimed(self, node: str, process: ProcessIdentity | None) -> JsonDict:
        lease = self._tx.now + LEASE_MS
        times = {"claimed_at": self._tx.now, "released_at": None, "lease_until": lease, "waiting": None}
        no_stop = {"stop_reason": None, "stop_requested_at": None}
        return {"epoch": jobs.c.epoch + 1, "node": node} | _where(process) | no_stop | times

    def bind(self, job_id: str, epoch: int, process: ProcessIdentity) -> bool:
        """Writes down which process has the run, so that a later start can end it."""
        return change_job(self._tx, job_id, jobs.c.epoch == epoch, **_where(process))

    def acknowledge(self, job_id: str, epoch: int, process: ProcessIdentity, at: int) -> None:
        """The process has the job: it is running from ``at`` on, unless it was cancelled or has ended meanwhile."""
        started: JsonDict = _where(process) | {
            "status": case((jobs.c.status == JobStatus.PENDING, JobStatus.RUNNING), else_=jobs.c.status),
            "started_at": func.coalesce(jobs.c.started_at, at),
            "attempt": jobs.c.attempt + 1,
        }
        if change_job(self._tx, job_id, *_current(epoch), **started):
            add_event(self._tx, job_id, "running", {"pid": process.pid, "epoch": epoch})

    def renew_leases(self, node: str) -> None:
        """Never shortens a lease that a call has extended."""
        lease = self._tx.now + LEASE_MS
        mine = (HELD, jobs.c.node == node, jobs.c.lease_until < lease)
        self._run(update(jobs).where(*mine).values(lease_until=lease))

    def commit(
        self, job_id: str, epoch: int, *, progress: Progress, result: JsonDict, position: Any, settled: bool
    ) -> None:
        """What one batch changes of its job's row. ``settled`` says that a ledger entry changed."""
        values: JsonDict = {
            "progress": progress.as_json(),
            "result": result,
            "position": position,
            "crashes": 0,
        }
        if settled:
            values["ledger_version"] = jobs.c.ledger_version + 1
        if not change_job(self._tx, job_id, *_current(epoch), **values):
            raise RunSuperseded(job_id, epoch)

    def finish(self, job_id: str, epoch: int, status: JobStatus, **values: Any) -> bool:
        """Gives the job its final status, unless it has one already. Returns whether it did."""
        times = {
            "completed_at": self._tx.now,
            "started_at": func.coalesce(jobs.c.started_at, jobs.c.claimed_at),
        }
        done = change_job(self._tx, job_id, *_current(epoch), is_live(), status=status, **times, **values)
        if done:
            add_event(self._tx, job_id, str(status), {"epoch": epoch})
        return done

    def release(self, job_id: str, epoch: int) -> bool:
        """Gives up lock and slot. Only for a job whose tree was proved empty and that has nothing open."""
        return change_job(self._tx, job_id, *_current(epoch), released_at=self._tx.now)

    def put_back(self, job_id: str, epoch: int) -> bool:
        """A run that ended early without an end of its job: it waits again, at its first age."""
        values = {"status": JobStatus.PENDING, "claimed_at": None, "released_at": None, "stop_reason": None}
        back = change_job(self._tx, job_id, *_current(epoch), is_live(), **values)
        if back:
            add_event(self._tx, job_id, "pending", {"epoch": epoch})
        return back

    def count_crash(self, job_id: str, epoch: int) -> bool:
        """A run died without an end of its own."""
        return change_job(self._tx, job_id, *_current(epoch), crashes=jobs.c.crashes + 1)

    def request_stop(self, job_id: str, reason: StopReason) -> bool:
        """From here on the job's run writes no intent. A reason already given stands."""
        values = {"stop_reason": reason, "stop_requested_at": self._tx.now}
        return change_job(self._tx, job_id, HELD, jobs.c.stop_reason.is_(None), **values)

    def wait(self, job_id: str, epoch: int, waiting: JsonDict | None) -> None:
        """Says on the job what it is waiting for, or that it no longer waits."""
        change_job(self._tx, job_id, jobs.c.epoch == epoch, waiting=waiting)


def _where(process: ProcessIdentity | None) -> JsonDict:
    if process is None:
        return {"pid": None, "start_ticks": None, "boot_id": None}
    return {"pid": process.pid, "start_ticks": process.start_ticks, "boot_id": process.boot_id}


def _current(epoch: int) -> tuple[ColumnElement[bool], ...]:
    return (HELD, jobs.c.epoch == epoch)


def _lock_is_held() -> ColumnElement[bool]:
    holder = jobs.alias("holder")
    held = and_(holder.c.claimed_at.is_not(None), holder.c.released_at.is_(None))
    return select(holder.c.id).where(holder.c.lock_key == jobs.c.lock_key, held).correlate(jobs).exists()
