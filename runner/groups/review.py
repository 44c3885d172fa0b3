"""Before a removal may start: nobody's activity may be unmatched, and a review must be of this group and window."""

from __future__ import annotations

from sqlalchemy import insert, literal, select

from runner.errors import InvalidFields, JobNotFound, UnmatchedAuthors
from runner.groups.activity import span
from runner.groups.group import Group
from runner.groups.unmatched import UnmatchedRows
from runner.groups.votes import VoteRows
from runner.job import Job, JobStatus
from runner.store import Transaction
from runner.stores.group_schema import job_people
from runner.stores.jobs import JobRows


def admit_removal(  # noqa: PLR0913 - each is one thing that a start may say
    tx: Transaction,
    job_id: str,
    group: Group,
    *,
    dry_run: bool,
    reviewed: str | None,
    ignore_unmatched: bool,
    ignore_votes: bool = False,
    window_ms: int | None = None,
) -> None:
    """In the transaction that writes the job. Raises UnmatchedAuthors, VotesUnseen, or InvalidFields for ``reviewed``,
    and for a real run's window that is not the one of the dry run it is pinned to; None: there is no window.

    A reviewed dry run's people are copied, by internal id: it may be deleted before the job has run.
    """
    rows = UnmatchedRows(tx)
    unmatched = 0 if dry_run or ignore_unmatched else rows.count(group)
    if unmatched:
        raise UnmatchedAuthors(unmatched, [author.name for author in rows.list(group, limit=5)])
    if not (dry_run or ignore_votes):
        VoteRows(tx, group).check(window_ms)
    if reviewed is None:
        return
    read = _check_reviewed(tx, group, reviewed)
    if not dry_run:
        _check_window(window_ms, read.config.get("inactivityWindowMs"))
        people = select(literal(job_id), job_people.c.person_id).where(job_people.c.job_id == reviewed)
        tx.connection.execute(insert(job_people).from_select(["job_id", "person_id"], people))


def _check_reviewed(tx: Transaction, group: Group, reviewed: str) -> Job:
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
    return job


def _check_window(window_ms: int | None, read_ms: int | None) -> None:
    """By another window others are inactive than those whose list was read. A queue is worked off by none."""
    if window_ms is None or read_ms is None or window_ms == read_ms:
        return
    why = f"that dry run was of {span(read_ms)}; give the same window, or make a new dry run"
    raise InvalidFields.one("inactivityWindowMs", f"inactivityWindowMs must be {read_ms}: {why}")
