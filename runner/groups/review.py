"""Before a removal may start: nobody's activity may be unmatched, and a review must be of this group."""

from __future__ import annotations

from sqlalchemy import insert, literal, select

from runner.errors import InvalidFields, JobNotFound, UnmatchedAuthors
from runner.groups.group import Group
from runner.groups.unmatched import UnmatchedRows
from runner.job import JobStatus
from runner.store import Transaction
from runner.stores.group_schema import job_people
from runner.stores.jobs import JobRows


def admit_removal(
    tx: Transaction, job_id: str, group: Group, *, dry_run: bool, reviewed: str | None, ignore_unmatched: bool
) -> None:
    """In the transaction that writes the job. Raises UnmatchedAuthors, or InvalidFields for ``reviewed``.

    A reviewed dry run's people are copied, by internal id: it may be deleted before the job has run.
    """
    rows = UnmatchedRows(tx)
    unmatched = 0 if dry_run or ignore_unmatched else rows.count(group)
    if unmatched:
        raise UnmatchedAuthors(unmatched, [author.name for author in rows.list(group, limit=5)])
    if reviewed is None:
        return
    _check_reviewed(tx, group, reviewed)
    if not dry_run:
        people = select(literal(job_id), job_people.c.person_id).where(job_people.c.job_id == reviewed)
        tx.connection.execute(insert(job_people).from_select(["job_id", "person_id"], people))


def _check_reviewed(tx: Transaction, group: Group, reviewed: str) -> None:
    try:
        job = JobRows(tx).get(reviewed, archived=True)
    except JobNotFound:
        raise InvalidFields.one("reviewed", "reviewed names a job that does not exist") from None
    if job.config.get("groupWaId") != group.wa_id:
        raise InvalidFields.one("reviewed", "reviewed must be a dry run of the same group")
    if job.config.get("dryRun") is not True:
        raise InvalidFields.one("reviewed", "reviewed must be a dry run; that job was a real one")
    if job.status is not JobStatus.COMPLETED:
        raise InvalidFields.one("reviewed", f"reviewed must be a completed dry run (its status: {job.status})")
