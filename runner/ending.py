"""What follows when a run has ended and its tree is proved empty: the end of the job, another run, or a settling.

One transaction decides, by the job's row and its ledger, never by an exit code alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from runner.config import is_masked
from runner.crashpoint import crashpoint
from runner.failure import told_failure
from runner.job import Job, JobStatus, JsonDict, Progress, StopReason
from runner.store import Transaction
from runner.stores.batches import BatchRows
from runner.stores.cancels import CancelRows
from runner.stores.jobs import JobRows
from runner.stores.pauses import PauseRows
from runner.stores.retries import RetryRows
from runner.stores.runs import RunRows
from runner.stores.secrets import SecretRows
from runner.stores.unready import UnreadyRows
from runner.unready import why_unready
from runner.workflow import Workflow, find_workflow

MOST_CRASHES = 3
"""So many runs in a row may die without a commit between them; then the job is failed. A commit starts the count
anew, since a job that gets on is not caught in a loop."""


class Next(StrEnum):
    """released: lock and slot are free. put_back: waits to be claimed, or is paused. again, settle: claimed, to be
    launched. kept: claimed, for the next start of the server. superseded: another run has it."""

    RELEASED = "released"
    PUT_BACK = "put_back"
    AGAIN = "again"
    SETTLE = "settle"
    KEPT = "kept"
    SUPERSEDED = "superseded"

    @property
    def mode(self) -> str | None:
        """The mode of the run that is to be launched; None where none is."""
        return {Next.AGAIN: "run", Next.SETTLE: "settle"}.get(self)


@dataclass(frozen=True)
class RunEnd:
    """How a run ended. ``ended``: what its process said last, None if it said nothing; ``words``: how it died.

    ``error``: of a job that failed while it was being stopped, and left its end to us; ``failure``: what else is known
    of that. ``progress``: how far it said it was, at last. ``limit``: which limit it went beyond, in words.
    ``forced``: signals ended it. ``server_died``: it ended because the server did, which is not held against the job.
    """

    job_id: str
    epoch: int
    node: str
    acknowledged: bool
    ended: str | None
    words: str
    containment: str
    mode: str = "run"
    error: str | None = None
    draining: bool = False
    server_died: bool = False
    limit: str | None = None
    forced: bool = False
    ran_ms: int = 0
    post_mortem: JsonDict | None = None
    failure: JsonDict | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Conclusion:
    """``job``: as it stands now; to be launched for ``again`` and ``settle``."""

    next: Next
    job: Job


def conclude(tx: Transaction, end: RunEnd) -> Conclusion:
    """Decides what follows, and writes it."""
    rows = JobRows(tx)
    job = rows.get(end.job_id, archived=True)
    if job.epoch != end.epoch or not job.is_claimed:
        return Conclusion(Next.SUPERSEDED, job)
    job = _keep(tx, job, end)
    workflow = find_workflow(job.type)
    if job.is_live and job.status is not JobStatus.PAUSED and end.mode != "settle":
        following = _go_on(tx, job, workflow, end)
        if following is not None:
            return following
        job = rows.get(end.job_id, archived=True)
    return _settle_or_release(tx, job, workflow, end)


def _keep(tx: Transaction, job: Job, end: RunEnd) -> Job:
    """What is worth knowing of a run whatever follows."""
    if job.cancellation is not None:
        CancelRows(tx).proved(job.id, job.epoch, end.containment)
    if job.timeout_ms is not None and end.ran_ms and end.mode != "settle":
        RunRows(tx).ran(job.id, job.epoch, end.ran_ms)
    if end.post_mortem is not None and end.mode != "settle":
        RunRows(tx).examined(job.id, job.epoch, end.post_mortem)
    return _with_last_progress(tx, job, end)


def _with_last_progress(tx: Transaction, job: Job, end: RunEnd) -> Job:
    """As it was last said, never less than committed, and without an end to expect: the next run begins anew."""
    said = job.progress if end.progress is None or job.status is JobStatus.COMPLETED else end.progress
    last = said.not_below(job.progress).of_no_run()
    if last == job.progress:
        return job
    RunRows(tx).keep_progress(job.id, job.epoch, last)
    return replace(job, progress=last)


def _go_on(tx: Transaction, job: Job, workflow: Workflow | None, end: RunEnd) -> Conclusion | None:
    """For a job without an end: another run, or (None) an end or a pause that is written now."""
    if job.stop_reason in (StopReason.TIMEOUT, StopReason.MEMORY):
        _fail(tx, job, "Timeout" if job.stop_reason is StopReason.TIMEOUT else "Memory", _beyond_its_limit(job, end))
        return None
    if end.error is not None:
        _fail(tx, job, "Error", end.error, end.failure)
        return None
    if job.stop_reason is StopReason.PAUSE:
        PauseRows(tx).paused(job.id, job.epoch)
        crashpoint("before_paused_commit")
        return None
    return _another_run(tx, job, workflow is not None and workflow.resumable, end)


def _another_run(tx: Transaction, job: Job, resumable: bool, end: RunEnd) -> Conclusion | None:
    """For a run that was stopped for a while, or died."""
    if end.server_died and (reason := why_unready(tx, job)) is not None:
        return _lay_aside(tx, job, reason)
    if end.draining or job.stop_reason in (StopReason.DRAIN, StopReason.RESUME):
        if end.acknowledged and not resumable:
            why = "its pause was taken back" if job.stop_reason is StopReason.RESUME else "the server went down"
            _fail(tx, job, "Interrupted", f"interrupted: {why} while it ran")
            return None
        return _put_back_or_again(tx, job, end)
    if not end.acknowledged or (end.server_died and resumable):
        return _again(tx, job, end, Next.AGAIN)
    if (error := _final_error(job, resumable, end)) is not None:
        _fail(tx, job, "Misused" if end.ended == "stopped" else "Crash", error)
        return None
    RunRows(tx).count_crash(job.id, job.epoch)
    return _again(tx, job, end, Next.AGAIN)


def _lay_aside(tx: Transaction, job: Job, reason: str) -> Conclusion:
    """It waits for a server that can run it; where something is open, with its lock."""
    UnreadyRows(tx).mark(job.id, reason)
    if BatchRows(tx, job.id).open_batches():
        return Conclusion(Next.KEPT, job)
    RunRows(tx).put_back(job.id, job.epoch)
    return Conclusion(Next.PUT_BACK, job)


def _beyond_its_limit(job: Job, end: RunEnd) -> str:
    """The first sentence of a failure by timeout or memory: the limit, and whether it had to be forced."""
    if job.stop_reason is StopReason.TIMEOUT:
        limit = end.limit or f"timed out: it ran longer than timeoutMs ({job.timeout_ms})"
    else:
        limit = end.limit or f"memory: it came close to maxMemoryMb ({job.max_memory_mb})"
    if end.ended in ("stopped", "failed"):
        meanwhile = f" ({end.error})" if end.error else ""
        return f"{limit}; it stopped at a checkpoint{meanwhile}, what was done is kept"
    if end.forced:
        where = (end.post_mortem or {}).get("summary")
        return f"{limit}, and did not stop{f': {where}' if where else ''}; it was ended by force, what was done is kept"
    return f"{limit}; {end.words}"


def _final_error(job: Job, resumable: bool, end: RunEnd) -> str | None:
    """Why the job cannot go on after a run that died; None if it can."""
    if end.ended == "stopped":
        return "the workflow raised JobStopped although nobody had asked the job to stop"
    if not resumable:
        return f"interrupted: {end.words}"
    if job.crashes + 1 >= MOST_CRASHES:
        return f"crashed {MOST_CRASHES} times without getting on; the last time {end.words}"
    return None


def _put_back_or_again(tx: Transaction, job: Job, end: RunEnd) -> Conclusion:
    """It waits to be claimed again, at its first age. Where something is open the lock is kept: by the next run, which
    begins with finding that out, or for the next start.
    """
    if end.server_died:  # this is the next start
        return _again(tx, job, end, Next.AGAIN)
    if BatchRows(tx, job.id).open_batches():
        return Conclusion(Next.KEPT, job) if end.draining else _again(tx, job, end, Next.AGAIN)
    RunRows(tx).put_back(job.id, job.epoch)
    return Conclusion(Next.PUT_BACK, job)


def _again(tx: Transaction, job: Job, end: RunEnd, following: Next) -> Conclusion:
    claimed = RunRows(tx).claim_again(job.id, job.epoch, end.node, to_settle=following is Next.SETTLE)
    return Conclusion(following, claimed) if claimed else Conclusion(Next.SUPERSEDED, job)


def _fail(tx: Transaction, job: Job, kind: str, error: str, failure: JsonDict | None = None) -> None:
    """``kind``: the type of an error of which nothing else is known."""
    known = failure or told_failure(kind, error)
    RunRows(tx).finish(job.id, job.epoch, JobStatus.FAILED, error=error, failure=known)


def _settle_or_release(tx: Transaction, job: Job, workflow: Workflow | None, end: RunEnd) -> Conclusion:
    """For a job that has ended or is paused: whatever is open is found out before the lock is free."""
    ledger = BatchRows(tx, job.id)
    left_open = ledger.open_batches()
    unready = why_unready(tx, job) if left_open and end.server_died else None
    if unready is not None and job.is_live:
        UnreadyRows(tx).mark(job.id, unready)
        return Conclusion(Next.KEPT, job)
    if left_open and workflow is not None and workflow.settle is not None and unready is None:
        if end.draining and not end.server_died:
            return Conclusion(Next.KEPT, job)
        return _again(tx, job, end, Next.SETTLE)
    for batch in left_open:
        ledger.give_up(batch)
    if job.status is JobStatus.PAUSED:
        PauseRows(tx).let_go(job.id, job.epoch)
        return Conclusion(Next.PUT_BACK, job)
    if job.is_live:  # resumed while what it had left open was found out
        RunRows(tx).put_back(job.id, job.epoch)
        return Conclusion(Next.PUT_BACK, job)
    RunRows(tx).release(job.id, job.epoch)
    RetryRows(tx).carry_over(job)
    _forget_secrets(tx, job)
    return Conclusion(Next.RELEASED, job)


def _forget_secrets(tx: Transaction, job: Job) -> None:
    """Who has completed can be retried no more, nor can the job with which another has gone on."""
    if not is_masked([job.config, job.options]):
        return
    if job.status is JobStatus.COMPLETED:
        SecretRows(tx).forget(job.id)
    if job.retry_of is not None:
        SecretRows(tx).forget(job.retry_of)
