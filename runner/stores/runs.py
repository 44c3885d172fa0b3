"""Runs in the store: a claim begins one, and each of its writes names the claim's epoch.

An older run's write changes nothing and raises RunSuperseded. The end of a job is decided in ``finish``, and
nowhere else.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, update

from runner.errors import RunSuperseded
from runner.job import Job, JobStatus, JsonDict, ProcessIdentity, Progress, StopReason
from runner.store import Transaction
from runner.stores.events import add_event
from runner.stores.jobs import HELD, IS_GOING, WAITING, change_job, changed_job
from runner.stores.schema import jobs

LEASE_MS = 15_000
"""How long a claim holds without being renewed: a run whose lease is over starts no further call."""


SETTLING = jobs.c.settling.is_(True)
_STILL_COMMITS = or_(jobs.c.status.not_in([JobStatus.COMPLETED, JobStatus.FAILED]), SETTLING)
"""A cancelled job's run finishes its batch; after an end that the run gave itself only a settling has more to say."""

OF_EPOCH = jobs.c.epoch == bindparam("run_epoch")
CURRENT = (HELD, OF_EPOCH)
"""The run named by ``run_epoch`` is the one that may write."""


def _lock_is_held() -> ColumnElement[bool]:
    holder = jobs.alias("holder")
    held = and_(holder.c.claimed_at.is_not(None), holder.c.released_at.is_(None))
    return select(holder.c.id).where(holder.c.lock_key == jobs.c.lock_key, held).correlate(jobs).exists()


def _retried_is_held() -> ColumnElement[bool]:
    retried = jobs.alias("retried")
    held = and_(retried.c.claimed_at.is_not(None), retried.c.released_at.is_(None))
    return select(retried.c.id).where(retried.c.id == jobs.c.retry_of, held).correlate(jobs).exists()


MAY_BE_CLAIMED = (
    WAITING,
    jobs.c.unready.is_(None),
    ~_lock_is_held(),
    or_(jobs.c.retry_of.is_(None), ~_retried_is_held()),
)
"""It waits, its type can run it, nobody holds its lock, and the job it goes on with is quite over."""

_FIRST_WAITING = (
    select(jobs.c.id)
    .where(*MAY_BE_CLAIMED, or_(jobs.c.not_before.is_(None), jobs.c.not_before <= bindparam("now")))
    .order_by(jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
    .limit(1)
)

_IS_FIRST = jobs.c.id == _FIRST_WAITING.correlate(None).scalar_subquery()

_NEXT_EPOCH, _NEXT_ATTEMPT, _NEXT_CRASH = jobs.c.epoch + 1, jobs.c.attempt + 1, jobs.c.crashes + 1
_NEXT_LEDGER_VERSION = jobs.c.ledger_version + 1
FIRST_REQUEST = func.coalesce(jobs.c.stop_requested_at, bindparam("at"))
_FIRST_START = func.coalesce(jobs.c.started_at, bindparam("at"))
_STARTED_OR_CLAIMED = func.coalesce(jobs.c.started_at, jobs.c.claimed_at)
_RAN_LONGER = jobs.c.ran_ms + bindparam("more_ms")
NO_RECEIPTS: JsonDict = {"signals": None, "survivors": None}
"""What was done to a run that is over is no receipt of a later cancel."""

_OF_THE_STOP = frozenset({"stop_reason", "stop_requested_at", *NO_RECEIPTS})
_REASONS = list(StopReason)
_WEAKER = {
    reason: or_(jobs.c.stop_reason.is_(None), jobs.c.stop_reason.in_(_REASONS[number + 1 :]))
    for number, reason in enumerate(_REASONS)
}


class RunRows:
    """Claims and what their holders write, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def claim(self, job_id: str, node: str, process: ProcessIdentity | None = None) -> bool:
        """Takes a waiting job to run it, unless it is not waiting any more or its lock is held.

        ``process``: which one will have the run, where that is known, so that a later start can end it.
        """
        return change_job(self._tx, job_id, *MAY_BE_CLAIMED, **self._claimed(node, process))

    def claim_first(self, job_id: str, node: str, process: ProcessIdentity | None) -> Job | None:
        """As ``claim``, for a job just written: those that could have been claimed before it come first."""
        given = {"now": self._tx.now}
        return changed_job(self._tx, job_id, _IS_FIRST, given=given, **self._claimed(node, process))

    def claim_next(self, node: str, process: ProcessIdentity | None = None) -> Job | None:
        """Claims the first waiting job whose lock is free: by priority, then by age."""
        given = {"now": self._tx.now}
        return changed_job(self._tx, None, WAITING, _IS_FIRST, given=given, **self._claimed(node, process))

    def first_waiting(self) -> str | None:
        """The job that ``claim_next`` would claim."""
        found: str | None = self._run(_FIRST_WAITING, {"now": self._tx.now}).scalar_one_or_none()
        return found

    def claim_again(self, job_id: str, epoch: int, node: str, *, to_settle: bool = False) -> Job | None:
        """Raises the epoch of a claim whose run has ended, so that another run goes on under it; the lock stays.

        to_settle: the job is not to go on, so why and how it was stopped still stands.
        """
        values = self._claimed(node, None) | {"settling": to_settle}
        if to_settle:
            values = {name: value for name, value in values.items() if name not in _OF_THE_STOP}
        return changed_job(self._tx, job_id, *CURRENT, given={"run_epoch": epoch}, **values)

    def _claimed(self, node: str, process: ProcessIdentity | None) -> JsonDict:
        lease = self._tx.now + LEASE_MS
        times = {"claimed_at": self._tx.now, "released_at": None, "lease_until": lease, "waiting": None}
        no_stop = {"stop_reason": None, "stop_requested_at": None}
        return (
            {"epoch": _NEXT_EPOCH, "node": node, "settling": False, "unready": None}
            | _where(process)
            | no_stop
            | times
            | NO_RECEIPTS
        )

    def bind(self, job_id: str, epoch: int, process: ProcessIdentity) -> bool:
        """Writes down which process has the run, so that a later start can end it."""
        return change_job(self._tx, job_id, OF_EPOCH, given={"run_epoch": epoch}, **_where(process))

    def acknowledge(self, job_id: str, epoch: int, process: ProcessIdentity, at: int, containment: str) -> None:
        """The process has the job: it is running from ``at`` on, unless it was cancelled or has ended meanwhile."""
        started: JsonDict = _where(process) | {
            "started_at": _FIRST_START,
            "attempt": _NEXT_ATTEMPT,
            "containment": containment,
        }
        given = {"run_epoch": epoch, "at": at}
        if change_job(self._tx, job_id, *CURRENT, IS_GOING, given=given, status=JobStatus.RUNNING, **started):
            add_event(self._tx, job_id, "running", {"pid": process.pid, "epoch": epoch})
        else:  # it has ended already: told late, and no event after the last
            change_job(self._tx, job_id, *CURRENT, given=given, **started)

    def settling(self, job_id: str, epoch: int, process: ProcessIdentity) -> None:
        """A process has begun to find out what an ended run of the job left open."""
        if change_job(self._tx, job_id, *CURRENT, given={"run_epoch": epoch}, **_where(process)):
            add_event(self._tx, job_id, "settling", {"pid": process.pid, "epoch": epoch})

    def renew_leases(self, node: str) -> None:
        """Never shortens a lease that a call has extended."""
        lease = self._tx.now + LEASE_MS
        mine = (HELD, jobs.c.node == node, jobs.c.lease_until < lease)
        self._run(update(jobs).where(*mine).values(lease_until=lease))

    def commit(
        self,
        job_id: str,
        epoch: int,
        progress: Progress,
        *,
        settled: bool,
        got_on: bool = True,
        **kept: Any,
    ) -> None:
        """What one batch changes of its job's row. ``kept``: result and position, as far as they can be written.
        ``settled`` says that a ledger entry changed; ``got_on``, that it was not only put back what a crash had left:
        a job that always dies there would else never be failed. Raises RunSuperseded, also once the job has an end.
        """
        values: JsonDict = {"progress": progress.as_json(), **kept}
        if got_on:
            values["crashes"] = 0
        if settled:
            values["ledger_version"] = _NEXT_LEDGER_VERSION
        if not change_job(self._tx, job_id, *CURRENT, _STILL_COMMITS, given={"run_epoch": epoch}, **values):
            raise RunSuperseded(job_id, epoch)

    def finish(self, job_id: str, epoch: int, status: JobStatus, **values: Any) -> bool:
        """Gives the job its final status, unless it has one already. Returns whether it did."""
        times = {
            "completed_at": self._tx.now,
            "started_at": _STARTED_OR_CLAIMED,
        }
        done = change_job(
            self._tx, job_id, *CURRENT, IS_GOING, given={"run_epoch": epoch}, status=status, **times, **values
        )
        if done:
            add_event(self._tx, job_id, str(status), {"epoch": epoch})
        return done

    def release(self, job_id: str, epoch: int) -> bool:
        """Gives up lock and slot. Only for a job whose tree was proved empty and that has nothing open."""
        return change_job(
            self._tx,
            job_id,
            *CURRENT,
            given={"run_epoch": epoch},
            released_at=self._tx.now,
            waiting=None,
            survivors=None,
        )

    def put_back(self, job_id: str, epoch: int) -> bool:
        """A run that ended early without an end of its job: it waits again, at its first age."""
        values = {"status": JobStatus.PENDING, "claimed_at": None, "released_at": None, "stop_reason": None}
        values |= {"waiting": None} | NO_RECEIPTS
        back = change_job(self._tx, job_id, *CURRENT, IS_GOING, given={"run_epoch": epoch}, **values)
        if back:
            add_event(self._tx, job_id, "pending", {"epoch": epoch})
        return back

    def count_crash(self, job_id: str, epoch: int) -> bool:
        """A run died without an end of its own."""
        return change_job(self._tx, job_id, *CURRENT, given={"run_epoch": epoch}, crashes=_NEXT_CRASH)

    def request_stop(self, job_id: str, reason: StopReason) -> bool:
        """From here on the job's run writes no intent. A stronger reason, or the same, already given stands."""
        given = {"at": self._tx.now}
        values = {"stop_reason": reason, "stop_requested_at": FIRST_REQUEST}
        return change_job(self._tx, job_id, HELD, IS_GOING, _WEAKER[reason], given=given, **values)

    def keep_progress(self, job_id: str, epoch: int, progress: Progress) -> None:
        """How far a run that has ended had come."""
        change_job(self._tx, job_id, OF_EPOCH, given={"run_epoch": epoch}, progress=progress.as_json())

    def ran(self, job_id: str, epoch: int, more_ms: int) -> None:
        """Counts the time of a run that has ended."""
        change_job(self._tx, job_id, OF_EPOCH, given={"run_epoch": epoch, "more_ms": more_ms}, ran_ms=_RAN_LONGER)

    def examined(self, job_id: str, epoch: int, post_mortem: JsonDict) -> None:
        """What was found where a process did not stop, or died."""
        change_job(self._tx, job_id, OF_EPOCH, given={"run_epoch": epoch}, post_mortem=post_mortem)

    def wait(self, job_id: str, epoch: int, waiting: JsonDict | None) -> None:
        """Says on the job what it is waiting for, or that it no longer waits."""
        change_job(self._tx, job_id, OF_EPOCH, given={"run_epoch": epoch}, waiting=waiting)


def _where(process: ProcessIdentity | None) -> JsonDict:
    if process is None:
        return {"pid": None, "start_ticks": None, "boot_id": None}
    return {"pid": process.pid, "start_ticks": process.start_ticks, "boot_id": process.boot_id}
