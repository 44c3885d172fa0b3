"""The removal types: ``removal_queue`` works the queue off, ``removal_workflow`` first fills it with the inactive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.batch import Batch
from runner.context import JobContext
from runner.groups.group import GroupRows, lock_key
from runner.groups.queue import QueueEntry, QueueRows
from runner.groups.removal import Answer, Removal
from runner.groups.review import admit_removal
from runner.groups.summary import removal_result, summary_of
from runner.groups.walk import Preview, QueueWalk, Walk
from runner.opening import call_seconds
from runner.settings import Settings
from runner.store import Transaction
from runner.workflow import workflow
from runner.workflows.removal_config import QueueConfig, RemovalOptions, WorkflowConfig, check_delay

_GRACE_BEYOND_CALL = 15


def by_group(config: QueueConfig) -> str:
    return lock_key(config.group_wa_id)


def by_dry_run(config: QueueConfig) -> bool:
    """Its list may be given as ``reviewed``, so it must name everybody."""
    return config.dry_run


def grace(_config: QueueConfig, settings: Settings) -> float:
    """An ordinary cancel never cuts a call."""
    return call_seconds(settings) + _GRACE_BEYOND_CALL


def admit(tx: Transaction, job_id: str, config: QueueConfig, options: RemovalOptions | None) -> None:
    """Raises GroupNotFound, UnmatchedAuthors or InvalidFields."""
    options = options or RemovalOptions()
    admit_removal(
        tx,
        job_id,
        GroupRows(tx).get(config.group_wa_id),
        dry_run=config.dry_run,
        reviewed=options.reviewed,
        ignore_unmatched=options.ignore_unmatched,
    )


def settle(job: JobContext, batch: Batch[Any], config: QueueConfig) -> None:
    """Finds out by a listing what became of a call that nobody answered; never by another call."""
    removal = Removal(job, config)
    left_open = removal.left_open(batch.open)
    job.wait_until_over(batch)
    listed = removal.listing(known for one in left_open for known in one.ids)
    batch.commit(lambda tx: removal.book_settled(tx, left_open, listed))


_SAME = {
    "options": RemovalOptions,
    "lock": by_group,
    "grace_seconds": grace,
    "resumable": True,
    "retries_anew": by_dry_run,
    "settle": settle,
    "result": removal_result,
    "check": check_delay,
    "admit": admit,
}


@workflow("removal_workflow", config=WorkflowConfig, **_SAME)
def removal_workflow(job: JobContext, config: WorkflowConfig) -> None:
    job.checkpoint("looking for inactive members")
    removal = Removal(job, config)
    sync(job, removal, config.inactivity_window_ms, dry_run=config.dry_run)
    job.checkpoint(job.result["watched"])
    remove(job, removal, config, config.inactivity_window_ms)


@workflow("removal_queue", config=QueueConfig, **_SAME)
def removal_queue(job: JobContext, config: QueueConfig) -> None:
    job.checkpoint()
    remove(job, Removal(job, config), config, None)


def sync(job: JobContext, removal: Removal, window_ms: int, *, dry_run: bool) -> None:
    """Once a job, in one transaction; a dry run only notes what it would have found at this moment."""
    if "sync" in job.result:
        return

    def book(tx: Transaction) -> None:
        now = tx.now
        said = summary_of(tx, removal.group, window_ms, now, removal.slack_ms)
        if not dry_run:
            said["sync"]["queued"] = QueueRows(tx).sync(removal.group, window_ms, now, removal.slack_ms)
        job.result.update(said)

    job.commit(book)


def remove(job: JobContext, removal: Removal, config: QueueConfig, window_ms: int | None) -> None:
    """Batch by batch: each person is looked at again, asked for and booked. A dry run goes the same way and notes."""
    job.result["via"] = removal.gateway.via
    walk = _walk(job, removal, config, window_ms)

    def fetch(key: Any, size: int) -> Sequence[QueueEntry]:
        with job.store.read() as tx:
            return walk.after(tx, key, size)

    def count() -> int:
        with job.store.read() as tx:
            return walk.remaining(tx, job.position)

    total = job.patiently(count)
    for batch in job.batches(fetch, size=config.batch_size, delay_ms=config.delay_ms, total=total):
        if config.dry_run:
            note(batch, removal)
        else:
            deal_with(batch, removal)


def note(batch: Batch[QueueEntry], removal: Removal) -> None:
    findings = removal.judge(batch.items)
    batch.commit(lambda tx: removal.book(tx, findings, {}))


def deal_with(batch: Batch[QueueEntry], removal: Removal) -> None:
    removal.slow_down()
    findings = removal.judge(batch.items)
    going = [finding for finding in findings if finding.outcome is None]
    answers: dict[str, Answer] = {}
    if going:
        intended = [finding.entry.ledger_item(id=finding.id) for finding in going]
        batch.intend(intended, deadline_seconds=removal.gateway.call_seconds)
        answers = batch.call(lambda seconds_left: removal.remove(going, seconds_left))
    else:
        batch.skip_delay()
    batch.commit(lambda tx: removal.book(tx, findings, answers))


def _walk(job: JobContext, removal: Removal, config: QueueConfig, window_ms: int | None) -> Walk:
    if not config.dry_run:
        return QueueWalk(removal.group, removal.listed)
    now = int(job.result["sync"]["atMs"]) if window_ms is not None else 0
    return Preview(removal.group, window_ms, now, removal.slack_ms, removal.listed)
