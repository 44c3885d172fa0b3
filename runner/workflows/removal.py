"""The removal types: ``removal_queue`` works the queue off, ``removal_workflow`` first fills it with the inactive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.batch import Batch
from runner.context import JobContext
from runner.groups.booking import Answer
from runner.groups.gaps import gaps_told
from runner.groups.group import GroupRows, lock_key
from runner.groups.halt import halting
from runner.groups.judgement import Finding
from runner.groups.pace import Pace, about, pace_of
from runner.groups.pacing import Pacing, TooSoon, asked_lately
from runner.groups.queue import QueueEntry, QueueRows
from runner.groups.removal import Removal
from runner.groups.review import admit_removal
from runner.groups.summary import doubts_about, removal_result, summary_of
from runner.groups.voting import Voting
from runner.groups.walk import Preview, QueueWalk, Walk
from runner.job import JsonDict
from runner.opening import call_seconds
from runner.settings import Settings
from runner.store import Transaction
from runner.workflow import workflow
from runner.workflows.removal_config import QueueConfig, RemovalOptions, WorkflowConfig, check_pace

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
    """Raises GroupNotFound, UnmatchedAuthors, VotesUnseen or InvalidFields."""
    options = options or RemovalOptions()
    admit_removal(
        tx,
        job_id,
        GroupRows(tx).get(config.group_wa_id),
        dry_run=config.dry_run,
        reviewed=options.reviewed,
        ignore_unmatched=options.ignore_unmatched,
        ignore_votes=options.ignore_votes,
        window_ms=window_of(config),
    )


def window_of(config: QueueConfig) -> int | None:
    return config.inactivity_window_ms if isinstance(config, WorkflowConfig) else None


def settle(job: JobContext, batch: Batch[Any], config: QueueConfig) -> None:
    """A call that nobody answered: see ``Removal.settle``."""
    Removal(job, config).settle(batch)


def foretell(tx: Transaction, settings: Settings, config: QueueConfig, options: RemovalOptions | None) -> JsonDict:
    """Where a pace is set: what is on, and how long it will take at that; about, and of whom is known now."""
    pace = pace_of(settings)
    if not pace.is_on:
        return {}
    window = window_of(config)
    group, reviewed = GroupRows(tx).get(config.group_wa_id), options.reviewed if options else None
    slack_ms = int(settings.observation_slack_hours * 3_600_000)
    people = Preview(group, window, tx.now, slack_ms, reviewed).remaining(tx, None)
    ms_each = config.delay_ms / config.batch_size * (1 + pace.jitter / 2)
    ends = pace.ends_at(tx.now, people, asked_lately(tx, group), ms_each)
    words = f"{people} {'person' if people == 1 else 'people'}, at this pace {about(ends - tx.now)}"
    return {"pacing": pace.on_wire(), "estimate": {"seconds": round((ends - tx.now) / 1000), "words": words}}


_SAME: dict[str, Any] = {
    "options": RemovalOptions,
    "lock": by_group,
    "grace_seconds": grace,
    "resumable": True,
    "retries_anew": by_dry_run,
    "settle": settle,
    "result": removal_result,
    "check": check_pace,
    "foretell": foretell,
    "admit": admit,
}


@workflow("removal_workflow", config=WorkflowConfig, **_SAME)
def removal_workflow(job: JobContext, config: WorkflowConfig) -> None:
    job.checkpoint("looking for inactive members")
    with halting():
        removal = Removal(job, config)
        removal.prepare(by_silence=True)
        voting = voting_of(job, removal, config)
        sync(job, removal, config.inactivity_window_ms, dry_run=config.dry_run)
        job.checkpoint(job.result["watched"])
        remove(job, removal, config, voting)


@workflow("removal_queue", config=QueueConfig, **_SAME)
def removal_queue(job: JobContext, config: QueueConfig) -> None:
    job.checkpoint("asking who is in the group")
    with halting():
        removal = Removal(job, config)
        removal.prepare()
        voting = voting_of(job, removal, config)
        tell_gaps(job, removal)
        job.checkpoint()
        remove(job, removal, config, voting)


def voting_of(job: JobContext, removal: Removal, config: QueueConfig) -> Voting:
    """Asked and checked before anybody is queued. Raises VotesUnseen for a real run."""
    voting = Voting(job, removal.gateway, removal.group, window_of(config), dry_run=config.dry_run)
    voting.ask()
    voting.check()
    return voting


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
        add_warnings(job, gaps_told(tx, removal.group, window_ms, now, removal.slack_ms))

    job.commit(book)


def tell_gaps(job: JobContext, removal: Removal) -> None:
    """Once a job, where people in the queue are there for their silence: of the longest of their windows."""
    if job.position is not None:
        return

    def look() -> list[str]:
        with job.store.read() as tx:
            window_ms = QueueRows(tx).longest_window(removal.group)
            return [] if window_ms is None else gaps_told(tx, removal.group, window_ms, tx.now, removal.slack_ms)

    add_warnings(job, job.patiently(look))


def remove(job: JobContext, removal: Removal, config: QueueConfig, voting: Voting) -> None:
    """Batch by batch: each person is looked at again, asked for and booked. A dry run goes the same way and notes."""
    job.result["via"] = removal.gateway.via
    walk = _walk(job, removal, config, window_of(config))

    def fetch(key: Any, size: int) -> Sequence[QueueEntry]:
        with job.store.read() as tx:
            return walk.after(tx, key, size)

    def count() -> int:
        with job.store.read() as tx:
            return walk.remaining(tx, job.position)

    pacing = Pacing(job, removal.group, dry_run=config.dry_run, ms_each=config.delay_ms / config.batch_size)
    note_pace(job, pacing.pace)
    for batch in job.batches(
        fetch,
        size=pacing.size(config.batch_size),
        delay_ms=config.delay_ms,
        total=job.patiently(count),
        jitter=pacing.pace.jitter,
        ends_at=pacing.ends_at,
    ):
        if config.dry_run:
            note(batch, removal)
        else:
            voting.check()
            deal_with(job, batch, removal, pacing)
    if config.dry_run:
        warn(job, removal, window_of(config), voting)


def warn(job: JobContext, removal: Removal, window_ms: int | None, voting: Voting) -> None:
    """At the end of a dry run, when its list is whole; what its gateway has said before stays."""

    since = None if window_ms is None else int(job.result["sync"]["atMs"]) - window_ms

    def book(tx: Transaction) -> None:
        doubts = doubts_about(tx, removal.group, job.id, removal.seen, since)
        add_warnings(job, [*doubts, *voting.doubts(tx)])

    job.commit(book)


def add_warnings(job: JobContext, more: Sequence[str]) -> None:
    """Each once, in the order in which they were given."""
    warnings = list(dict.fromkeys([*job.result.get("warnings", []), *more]))
    if warnings:
        job.result["warnings"] = warnings


def note(batch: Batch[QueueEntry], removal: Removal) -> None:
    findings = removal.judge(batch.items)
    batch.commit(lambda tx: removal.book(tx, findings, {}))


def deal_with(job: JobContext, batch: Batch[QueueEntry], removal: Removal, pacing: Pacing) -> None:
    while not dealt_with(batch, removal, pacing):
        job.checkpoint()


def dealt_with(batch: Batch[QueueEntry], removal: Removal, pacing: Pacing) -> bool:
    """Waits for the pace, then looks at each again, asks and books. False: it was too soon even so, a stop was asked
    for, somebody is found otherwise than before, or the call said that we are not in the group, which the next look
    has to say too. Nothing was sent then.
    """
    removal.put_off.wait()
    pacing.wait(len(batch.items))
    findings = removal.judge(batch.items)
    try:
        answers = ask(batch, removal, findings, pacing)
    except TooSoon:
        return False
    batch.commit(lambda tx: removal.book(tx, findings, answers))
    return True


def ask(batch: Batch[QueueEntry], removal: Removal, findings: Sequence[Finding], pacing: Pacing) -> dict[str, Answer]:
    going = [finding for finding in findings if finding.outcome is None]
    if not going:
        batch.skip_delay()
        return {}
    intended = [finding.entry.ledger_item(id=finding.id) for finding in going]
    seconds = removal.gateway.call_seconds
    batch.intend(intended, deadline_seconds=seconds, check=lambda tx: pacing.check(tx, len(going)))
    return batch.call(lambda seconds_left: removal.remove(going, seconds_left))


def note_pace(job: JobContext, pace: Pace) -> None:
    """As it is in this run; what was foreseen at the start stays."""
    job.result.pop("pacing", None)
    if pace.is_on:
        job.result["pacing"] = pace.on_wire()


def _walk(job: JobContext, removal: Removal, config: QueueConfig, window_ms: int | None) -> Walk:
    if not config.dry_run:
        return QueueWalk(removal.group, removal.listed)
    now = int(job.result["sync"]["atMs"]) if window_ms is not None else 0
    return Preview(removal.group, window_ms, now, removal.slack_ms, removal.listed)
