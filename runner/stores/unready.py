"""Jobs in the store that wait for a server that can run them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select

from runner.job import JobStatus, JsonDict
from runner.store import Transaction
from runner.stores.events import add_event
from runner.stores.jobs import WAITING, change_job
from runner.stores.schema import jobs

_PAUSED = jobs.c.status == JobStatus.PAUSED
_KEPT = (jobs.c.id, jobs.c.type, jobs.c.config, jobs.c.options, jobs.c.status, jobs.c.attempt, jobs.c.unready)
_WITHOUT_CLAIM = (
    select(*_KEPT).where(or_(WAITING, _PAUSED), jobs.c.id > bindparam("after")).order_by(jobs.c.id)
).limit(bindparam("most"))


@dataclass(frozen=True)
class Kept:
    """A job that waits or is paused. ``unready``: why it could not run when last looked at."""

    id: str
    type: str
    config: JsonDict
    options: JsonDict
    status: str
    attempt: int
    unready: str | None


class UnreadyRows:
    """Within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def without_claim(self, after: str, most: int) -> list[Kept]:
        """By id, those behind ``after``."""
        return [Kept(*row) for row in self._tx.connection.execute(_WITHOUT_CLAIM, {"after": after, "most": most})]

    def mark(self, job_id: str, reason: str | None) -> None:
        change_job(self._tx, job_id, unready=reason)

    def fail(self, job_id: str, error: str, failure: JsonDict) -> None:
        """Of a job that had begun, and cannot go on."""
        ended = {"status": JobStatus.FAILED, "completed_at": self._tx.now, "error": error, "failure": failure}
        if change_job(self._tx, job_id, WAITING, **ended):
            add_event(self._tx, job_id, str(JobStatus.FAILED), {})
