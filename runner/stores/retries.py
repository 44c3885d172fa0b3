"""Retries in the store: which job one goes on with, whether there is one, and the last word of the first job."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, or_, select, update

from runner.errors import JobNotFound, NotForThatState
from runner.job import Job, JobStatus
from runner.store import Transaction
from runner.stores.jobs import IS_LIVE, JobRows
from runner.stores.schema import jobs

_NEVER_RAN = jobs.c.epoch == 0
_IS_OR_WAS_AT_IT = or_(IS_LIVE, jobs.c.epoch > 0)
_RETRIES = select(jobs.c.id, _IS_OR_WAS_AT_IT.label("is_at_it"))
# Without a progress of its own it is a retry that begins anew: it takes over nothing.
_GOES_ON = and_(_NEVER_RAN, jobs.c.status.in_([JobStatus.PENDING, JobStatus.PAUSED]), jobs.c.progress.is_not(None))
_CARRY_OVER = (
    update(jobs)
    .where(jobs.c.retry_of == bindparam("of_job"), _GOES_ON)
    .values(
        revision=jobs.c.revision + 1,
        **{name: bindparam(f"new_{name}", type_=jobs.c[name].type) for name in ("progress", "result", "position")},
    )
)


class RetryRows:
    """Retries, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def origin(self, job: Job) -> Job:
        """The job that a retry of this one goes on with: itself, or, if it never ran, the one it waited for.

        That one is locked until the transaction ends, so that of two retries at once one sees the other. Raises
        NotForThatState where it is forgotten already: nobody can tell any more how far it came.
        """
        rows = JobRows(self._tx)
        found = rows.get(job.id, archived=True, locked=True)
        while found.epoch == 0 and found.retry_of is not None:
            try:
                found = rows.get(found.retry_of, archived=True, locked=True)
            except JobNotFound:
                raise NotForThatState("retried", "a retry that never ran, of a job that is forgotten") from None
        return found

    def retry_of(self, job_id: str) -> str | None:
        """The job that has gone on with this one, or is to; one that ended before it ran has not.

        A retry of such a one counts: earlier versions named that one in it, and not the job it went on with.
        """
        found, level = None, [job_id]
        while level and found is None:
            rows = self._run(_RETRIES.where(jobs.c.retry_of.in_(level))).all()
            found = next((row.id for row in rows if row.is_at_it), None)
            level = [row.id for row in rows]
        return found

    def carry_over(self, job: Job) -> None:
        """A job is quite over: a retry that waits for that goes on from where it really ended."""
        values = {"new_progress": job.progress.as_json(), "new_result": job.result, "new_position": job.position}
        self._run(_CARRY_OVER, {"of_job": job.id} | values)
