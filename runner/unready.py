"""Jobs that this server cannot run as it is set up: they wait, and say why, until one comes that can."""

from __future__ import annotations

import logging
from collections import Counter

from pydantic import ValidationError

from runner.config import is_masked
from runner.failure import told_failure
from runner.job import Job, JobStatus, JsonDict
from runner.store import Store, Transaction
from runner.stores.secrets import SecretRows
from runner.stores.unready import Kept, UnreadyRows
from runner.workflow import find_workflow

log = logging.getLogger(__name__)
_AT_ONCE = 500


def why_unready(tx: Transaction, job: Job | Kept) -> str | None:
    """None for a job whose type is loaded and takes its config."""
    workflow = find_workflow(job.type)
    if workflow is None:
        return (
            f"its type {job.type} is not loaded: name its module in RUNNER_WORKFLOWS and start the server again, "
            "or cancel the job"
        )
    masked = is_masked([job.config, job.options])
    secrets: JsonDict = SecretRows(tx).of(job.id) if masked else {}
    try:
        workflow.config.from_wire(job.config, secrets.get("config", ()))
        if workflow.options is not None:
            workflow.options.from_wire(job.options, secrets.get("options", ()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "config"
        return (
            f"its type {job.type} takes another config now ({field}: {first['msg']}): load the version it was started "
            "with, or cancel the job and start a new one"
        )
    return None


def mark_unready(store: Store) -> None:
    """Looks at every job that waits or is paused, once at the start: types are loaded then, and not later."""
    reasons: Counter[str] = Counter()
    after = ""
    while True:
        with store.write() as tx:
            rows = UnreadyRows(tx)
            found = rows.without_claim(after, _AT_ONCE)
            for job in found:
                reason = why_unready(tx, job)
                reasons.update([reason] if reason else [])
                _mark(rows, job, reason)
        if len(found) < _AT_ONCE:
            break
        after = found[-1].id
    for reason, count in reasons.items():
        log.warning("%d %s: %s", count, "job waits" if count == 1 else "jobs wait", reason)


def _mark(rows: UnreadyRows, job: Kept, reason: str | None) -> None:
    if reason == job.unready:
        return
    rows.mark(job.id, reason)
    workflow = find_workflow(job.type)
    began = job.status == JobStatus.PENDING and job.attempt > 0
    if reason is None and workflow is not None and not workflow.resumable and began:
        why = "interrupted: the server died while it ran"
        rows.fail(job.id, why, told_failure("Interrupted", why))
