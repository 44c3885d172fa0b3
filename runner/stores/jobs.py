"""Jobs in the store: writing a new one, reading one or many, putting finished ones into the archive."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Row,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from runner.errors import JobNotFound
from runner.job import (
    LIVE,
    TERMINAL,
    Job,
    JobStatus,
    JsonDict,
)
from runner.store import Transaction
from runner.stores.job_row import job_of
from runner.stores.schema import batches, jobs

log = logging.getLogger(__name__)
HELD = and_(jobs.c.claimed_at.is_not(None), jobs.c.released_at.is_(None))
"""The job holds its lock and its slot."""

WAITING = and_(jobs.c.status == JobStatus.PENDING, jobs.c.claimed_at.is_(None))
"""The job may be claimed."""


@dataclass(frozen=True)
class NewJob:
    """What is known of a job before it runs. ``progress``, ``result``, ``position``: of the job it goes on with."""

    id: str
    type: str
    config: JsonDict
    options: JsonDict
    lock_key: str | None
    created_by: str
    workflow_version: str | None = None
    retry_of: str | None = None
    timeout_ms: int | None = None
    max_memory_mb: int | None = None
    progress: JsonDict | None = None
    result: JsonDict | None = None
    position: Any = None


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows; None: any. ``after``: (created_at, id) of the last job of the page before.

    ``archived``: False: those that are not; True: these alone.
    """

    status: JobStatus | None = None
    type: str | None = None
    lock_key: str | None = None
    after: tuple[int, str] | None = None
    archived: bool | None = False


class JobRows:
    """The jobs, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def add(self, new: NewJob) -> None:
        self._run(_ADD, {"status": JobStatus.PENDING, "created_at": self._tx.now, **vars(new)})

    def get(self, job_id: str, *, archived: bool = False, locked: bool = False) -> Job:
        """Raises JobNotFound also for archived jobs, unless they are asked for. locked: nobody else changes it, nor
        gets it so, until the transaction ends.
        """
        row = self._run(_ONE_LOCKED if locked else _ONE, {"job_id": job_id}).first()
        if row is None or (row.archived_at is not None and not archived):
            raise JobNotFound
        return self._with_what_they_wait_for([job_of(row)])[0]

    def newest(self, wanted: JobFilter, limit: int) -> list[Job]:
        """The newest first, at most ``limit``. Of a post-mortem only its time and its sentence, of a long result only
        its length, and no position: of a thousand jobs they would be sixty megabytes and more that no list shows.
        """
        query = select(*_LISTED).where(*_conditions(wanted)).order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        try:
            found = [_listed(row) for row in self._run(query.limit(limit))]
        except Exception:  # one row that cannot be read must not cost the list of all
            ids = query.with_only_columns(jobs.c.id).limit(limit)
            found = [self._listed_alone(job_id) for job_id in self._run(ids).scalars().all()]
        return self._with_what_they_wait_for(found)

    def _listed_alone(self, job_id: str) -> Job:
        """Of a row that cannot be read what is no JSON, and its error in words."""
        try:
            return _listed(self._run(select(*_LISTED).where(jobs.c.id == job_id)).one())
        except Exception as error:
            log.warning("The row of job %s cannot be read: %s", job_id, type(error).__name__)
            row = self._run(select(*_PLAIN).where(jobs.c.id == job_id)).one()
            said = "what the database holds of this job cannot be read"
            return Job(**row._asdict() | {"status": JobStatus(row.status), "config": {}, "options": {}, "error": said})

    def held(self) -> list[Job]:
        """All jobs that hold their lock and slot, oldest claim first."""
        return [job_of(row) for row in self._run(select(jobs).where(HELD).order_by(jobs.c.claimed_at, jobs.c.id))]

    def count_waiting(self) -> int:
        return self._run(_COUNT_WAITING).scalar_one()

    def lock_holder(self, lock_key: str, *, other_than: str = "") -> str | None:
        """The job that holds the lock, else the first that waits for it."""
        same = and_(jobs.c.lock_key == lock_key, jobs.c.id != other_than, or_(HELD, WAITING))
        first = select(jobs.c.id).where(same).order_by(jobs.c.claimed_at.is_(None), jobs.c.created_at, jobs.c.id)
        return self._run(first.limit(1)).scalar_one_or_none()

    def _with_what_they_wait_for(self, found: list[Job]) -> list[Job]:
        """Names, for each job that waits, the one that holds its lock, else the first that waits for it.

        A retry without a lock waits for the job it goes on with.
        """
        waiting = [job for job in found if job.is_waiting and (job.lock_key or job.retry_of)]
        first = {key: self.lock_holder(key) for key in {job.lock_key for job in waiting if job.lock_key}}
        named = {job.id: first[job.lock_key] if job.lock_key else self._held_one(job.retry_of) for job in waiting}
        return [
            replace(job, waiting_for=named[job.id]) if named.get(job.id, job.id) != job.id else job for job in found
        ]

    def _held_one(self, job_id: str | None) -> str | None:
        return self._run(select(jobs.c.id).where(jobs.c.id == job_id, HELD)).scalar_one_or_none()

    def finished_before(self, ended: int, limit: int) -> list[str]:
        """Ids of jobs whose end, and the proof of it, are both older than ``ended``; none with anything open."""
        open_batch = select(batches.c.job_id).where(batches.c.job_id == jobs.c.id, batches.c.state == "open").exists()
        done = and_(jobs.c.archived_at.is_(None), jobs.c.completed_at <= ended, _settled(), ~open_batch)
        proved = func.coalesce(jobs.c.released_at, 0) <= ended
        query = select(jobs.c.id).where(done, proved).order_by(jobs.c.completed_at).limit(limit)
        return list(self._run(query).scalars())

    def archive(self, job_id: str) -> None:
        self._run(update(jobs).where(jobs.c.id == job_id).values(archived_at=self._tx.now))

    def forget_archived_before(self, archived: int, limit: int) -> int:
        """Deletes archived jobs and all that belongs to them; returns how many."""
        old = select(jobs.c.id).where(jobs.c.archived_at <= archived).limit(limit)
        return self._run(delete(jobs).where(jobs.c.id.in_(old))).rowcount


def change_job(
    tx: Transaction, job_id: str, *conditions: ColumnElement[bool], given: Any = None, **values: Any
) -> bool:
    """Changes one row if all conditions hold, and tells whether it did. Every change raises ``revision``.

    A statement is made once for each set of conditions, names and expressions, since making it takes longer than
    running it. So conditions and expressions are best constants, with ``bindparam`` for what varies (``given``).
    """
    return tx.connection.execute(*_change_of(job_id, conditions, given, values)).rowcount == 1


def changed_job(
    tx: Transaction, job_id: str | None, *conditions: ColumnElement[bool], given: Any = None, **values: Any
) -> Job | None:
    """As ``change_job``; the job as it stands now, None where nothing was changed. What it waits for is not told.

    ``job_id`` None: the conditions say which row.
    """
    statement, parameters = _change_of(job_id, conditions, given, values)
    row = tx.connection.execute(_returning(statement), parameters).first()
    return None if row is None else job_of(row)


def _change_of(
    job_id: str | None, conditions: tuple[ColumnElement[bool], ...], given: Any, values: JsonDict
) -> tuple[Update, JsonDict]:
    computed = tuple((name, value) for name, value in values.items() if isinstance(value, ClauseElement))
    plain = {name: value for name, value in values.items() if not isinstance(value, ClauseElement)}
    parameters = {f"new_{name}": value for name, value in plain.items()} | (given or {})
    if job_id is not None:
        conditions, parameters["changed_id"] = (_THIS, *conditions), job_id
    return _change(conditions, tuple(plain), computed), parameters


@lru_cache(maxsize=256)
def _returning(statement: Update) -> ReturningUpdate[Any]:
    return statement.returning(jobs)


@lru_cache(maxsize=256)
def _change(
    conditions: tuple[ColumnElement[bool], ...], plain: tuple[str, ...], computed: tuple[tuple[str, Any], ...]
) -> Update:
    values = {name: bindparam(f"new_{name}", type_=jobs.c[name].type) for name in plain} | dict(computed)
    return update(jobs).where(*conditions).values(revision=jobs.c.revision + 1, **values)


_THIS = jobs.c.id == bindparam("changed_id")
IS_LIVE: ColumnElement[bool] = jobs.c.status.in_(sorted(LIVE))
IS_GOING: ColumnElement[bool] = jobs.c.status.in_([JobStatus.PENDING, JobStatus.RUNNING])
"""It has not ended and is not paused: a run may give it an end."""


def _settled() -> ColumnElement[bool]:
    """Finished, and holding nothing any more."""
    return and_(jobs.c.status.in_(sorted(TERMINAL)), or_(jobs.c.claimed_at.is_(None), jobs.c.released_at.is_not(None)))


def _conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.archived is not None:
        found.append(jobs.c.archived_at.is_not(None) if wanted.archived else jobs.c.archived_at.is_(None))
    equal = ((jobs.c.status, wanted.status), (jobs.c.type, wanted.type), (jobs.c.lock_key, wanted.lock_key))
    found += [column == value for column, value in equal if value is not None]
    if wanted.after is not None:
        found.append(tuple_(jobs.c.created_at, jobs.c.id) < tuple_(*wanted.after))
    return found


_ADD = insert(jobs)
_COUNT_WAITING = select(func.count()).select_from(jobs).where(WAITING)
_ONE = select(jobs).where(jobs.c.id == bindparam("job_id"))
"""Made once: to build a statement of fifty columns takes longer than to run it."""

_ONE_LOCKED = _ONE.with_for_update()  # SQLite has no such thing, and needs none: it has one writer at a time


_NOT_LISTED = ("post_mortem", "position", "result", "failure")
_OF_FAILURE = ("type", "message", "file", "line")
_MOST_LISTED = 3000
"""Characters of a result that is read for a list: what is longer has more than a list shows, however it is written."""
_RESULT_LENGTH = func.length(cast(jobs.c.result, Text))
_LISTED = (
    *(column for column in jobs.c if column.name not in _NOT_LISTED),
    case((_RESULT_LENGTH <= _MOST_LISTED, jobs.c.result)).label("result"),
    case((_RESULT_LENGTH > _MOST_LISTED, _RESULT_LENGTH)).label("result_bytes"),
    cast(jobs.c.post_mortem["at"].as_string(), BigInteger).label("examined_at"),
    jobs.c.post_mortem["summary"].as_string().label("summary"),
    *(jobs.c.failure[name].as_string().label(f"failure_{name}") for name in _OF_FAILURE),
)


_PLAIN = (
    *(jobs.c.id, jobs.c.type, jobs.c.status, jobs.c.lock_key, jobs.c.created_at, jobs.c.created_by),
    *(jobs.c.started_at, jobs.c.completed_at, jobs.c.claimed_at, jobs.c.released_at, jobs.c.archived_at),
)


def _listed(row: Row[Any]) -> Job:
    found = {"at": row.examined_at, "summary": row.summary}
    shown = {name: value for name, value in found.items() if value is not None}
    failed = {name: value for name in _OF_FAILURE if (value := getattr(row, f"failure_{name}")) is not None}
    if str(failed.get("line", "")).isdecimal():
        failed["line"] = int(failed["line"])
    return job_of(row, post_mortem=shown or None, position=None, failure=failed or None, result_bytes=row.result_bytes)
