"""Starting: a new job, or one that goes on where another stopped, written in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from runner.config import lacks_secret
from runner.crashpoint import crashpoint
from runner.errors import (
    FieldFault,
    InvalidFields,
    JobLive,
    KeyReused,
    LockBusy,
    NotForThatState,
    RetriedAlready,
    TooManyJobs,
)
from runner.job import Job, JobStatus, JsonDict, new_job_id
from runner.settings import Settings
from runner.store import Transaction
from runner.stores.events import add_event
from runner.stores.jobs import JobRows, NewJob
from runner.stores.keys import KeyRows
from runner.stores.retries import RetryRows
from runner.stores.secrets import SecretRows
from runner.workflow import JobConfig, Workflow, find_workflow


@dataclass(frozen=True)
class StartRequest:
    """A start that has been checked. ``key``: (Idempotency-Key, hash of the body)."""

    workflow: Workflow
    config: JobConfig
    options: JobConfig | None
    created_by: str
    reject_if_busy: bool = False
    timeout_ms: int | None = None
    max_memory_mb: int | None = None
    key: tuple[str, str] | None = None


def write_start(request: StartRequest, settings: Settings, tx: Transaction) -> str:
    """Within one transaction; an earlier start with the same key is found here even if it was just committed."""
    workflow, config, options = request.workflow, request.config, request.options
    known = known_start(tx, request.created_by, request.key) if request.key else None
    if known is not None:
        return known
    rows = JobRows(tx)
    _make_room(tx, settings)
    foretold = workflow.foretell(tx, settings, config, options) if workflow.foretell else {}
    new = NewJob(
        id=new_job_id(tx.now),
        type=workflow.name,
        config=config.on_wire(),
        options=options.on_wire() if options else {},
        lock_key=workflow.lock(config) if workflow.lock else None,
        created_by=request.created_by,
        timeout_ms=request.timeout_ms,
        max_memory_mb=request.max_memory_mb,
        result=foretold or None,
    )
    rows.add(new)
    _keep_secrets(tx, new, config, options)
    if request.reject_if_busy and new.lock_key and (other := rows.lock_holder(new.lock_key, other_than=new.id)):
        raise LockBusy(other)
    if workflow.admit is not None:
        workflow.admit(tx, new.id, config, options)
    if request.key:
        KeyRows(tx).add(request.created_by, *request.key, new.id)
    add_event(tx, new.id, "pending", {"createdBy": request.created_by})
    return new.id


def write_retry(job_id: str, by: str, settings: Settings, tx: Transaction) -> str:
    """A new job that goes on where ``job_id`` stopped; returns its id. It waits until that one is quite over.

    A retry that never ran hands on the job it waited for. Raises JobNotFound; NotForThatState for a completed job;
    JobLive; RetriedAlready where another job has gone on with it, since that may have done what would be done again;
    InvalidFields where its config is not taken any more; and whatever its type's ``admit`` finds.
    """
    asked_for = JobRows(tx).get(job_id, archived=True)
    if asked_for.is_live:
        raise JobLive(asked_for.status)
    if asked_for.status is JobStatus.COMPLETED:
        raise NotForThatState("retried", asked_for.status)
    job = RetryRows(tx).origin(asked_for)
    if (other := RetryRows(tx).retry_of(job.id)) is not None:
        raise RetriedAlready(other)
    workflow = find_workflow(job.type)
    if workflow is None:
        raise NotForThatState("retried", f"of a type that is not loaded: {job.type}")
    secrets = SecretRows(tx).of(job.id)
    config = _read(workflow.config, job.config, secrets.get("config", ()))
    options = _read(workflow.options, job.options, secrets.get("options", ())) if workflow.options else None
    if workflow.check is not None:
        workflow.check(config, settings)
    _make_room(tx, settings)
    new = _retry_of(job, by, tx.now, goes_on=workflow.goes_on(config))
    JobRows(tx).add(new)
    SecretRows(tx).add(new.id, secrets)
    if workflow.admit is not None:
        workflow.admit(tx, new.id, config, options)
    add_event(tx, new.id, "pending", {"createdBy": by, "retryOf": job.id})
    crashpoint("before_retry_commit")
    return new.id


def _keep_secrets(tx: Transaction, new: NewJob, config: JobConfig, options: JobConfig | None) -> None:
    """Raises InvalidFields where the job would not get them back as they are."""
    secrets = {"config": config.secrets(), "options": options.secrets() if options else []}
    if not any(secrets.values()):
        return
    if type(config).from_wire(new.config, secrets["config"]) != config:
        raise InvalidFields.one(
            "type", f"a secret of {new.type} would not come back as it is: look at its config class"
        )
    SecretRows(tx).add(new.id, secrets)


def _read(model: type[JobConfig], wire: JsonDict, secrets: Iterable[Sequence[Any]]) -> JobConfig:
    """What an earlier version, or other settings, may have taken. Raises InvalidFields where it is not taken now."""
    try:
        return _with_all(model.from_wire(wire, secrets))
    except ValidationError as error:
        raise InvalidFields(list(_faults(error))) from None


def _with_all(config: JobConfig) -> JobConfig:
    if lacks_secret(config):
        raise InvalidFields.one("config", "the secrets of that job are not kept: start it anew")
    return config


def _faults(error: ValidationError) -> Iterator[FieldFault]:
    for details in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(map(str, details["loc"]))
        yield FieldFault(field, f"{field or 'config'} of that job is not taken any more: {details['msg']}")


def _retry_of(job: Job, by: str, now_ms: int, *, goes_on: bool) -> NewJob:
    kept: JsonDict = {"progress": job.progress.of_no_run().as_json(), "result": job.result, "position": job.position}
    return NewJob(
        id=new_job_id(now_ms),
        type=job.type,
        config=job.config,
        options=job.options,
        lock_key=job.lock_key,
        created_by=by,
        retry_of=job.id,
        timeout_ms=job.timeout_ms,
        max_memory_mb=job.max_memory_mb,
        **(kept if goes_on else {}),
    )


def _make_room(tx: Transaction, settings: Settings) -> None:
    if JobRows(tx).count_waiting() >= settings.max_pending:
        raise TooManyJobs(settings.max_pending)


def known_start(tx: Transaction, caller: str, key: tuple[str, str]) -> str | None:
    known = KeyRows(tx).find(caller, key[0])
    if known is None:
        return None
    body_hash, job_id = known
    if body_hash != key[1]:
        raise KeyReused
    return job_id
