"""A job as the client sees it: camelCase, absent values absent, times in UTC. The seed's own keys come first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runner.clock import iso
from runner.job import Cancellation, Job, JobStatus, JsonDict, Pause, StopReason
from runner.results import Brief

_ETA_STEPS = ((60, 1), (600, 5), (3600, 30))
"""(below so many seconds, say it to so many): an estimate is not exact, and need not change with each second."""
_LONG_ETA_STEP = 60
_LIMITS = (StopReason.TIMEOUT, StopReason.MEMORY)


def job_on_wire(job: Job, result: JsonDict | None, now_ms: int, *, whole: bool = True) -> JsonDict:
    """The job; ``result`` as the manager puts it together, ``now_ms`` for what is left of the time.

    whole: with stacks and lines of a post-mortem; a list of a thousand jobs has only its sentence.
    """
    return _present(
        id=job.id,
        type=job.type,
        status=job.status.value,
        config=job.config,
        progress=_progress(job, now_ms),
        result=result,
        error=_error(job, whole),
        createdAt=iso(job.created_at),
        startedAt=_time(job.started_at),
        completedAt=_time(job.completed_at),
        attempt=job.attempt,
        createdBy=job.created_by,
        cancellation=_cancellation(job.cancellation),
        pause=_pause(job.pause),
        waitingFor=job.waiting_for,
        waiting=_waiting(job.waiting),
        pausing=job.is_pausing or None,
        retryOf=job.retry_of,
        reviewed=job.options.get("reviewed"),
        timeoutMs=job.timeout_ms,
        maxMemoryMb=job.max_memory_mb,
        beyondLimit=job.stop_reason.value if job.stop_reason in _LIMITS else None,
        containment=job.containment,
        survivors=None if job.cancellation else list(job.survivors) or None,
        postMortem=_post_mortem(job.post_mortem, whole),
        archivedAt=_time(job.archived_at),
    )


def job_in_list(job: Job, brief: Brief, now_ms: int) -> JsonDict:
    """The job without a long result, a stack or a line of a log; ``brief``: its result as lists have it."""
    shown = job_on_wire(job, brief.result, now_ms, whole=False)
    return shown | _present(resultBytes=brief.size, resultSummary=brief.summary)


def _progress(job: Job, now_ms: int) -> JsonDict:
    """``etaSeconds`` is absent when unknown: of a job that does not run or is being stopped, and once it has passed."""
    progress = job.progress
    is_going = job.status is JobStatus.RUNNING and job.stop_reason is None
    left_ms = (progress.done_at_ms or 0) - now_ms if is_going else 0
    return _present(
        processed=progress.shown,
        total=progress.total,
        currentBatch=progress.current_batch,
        message=progress.message,
        percent=progress.percent,
        etaSeconds=eta_seconds(left_ms) if left_ms > 0 else None,
    )


def _error(job: Job, whole: bool) -> JsonDict | None:
    """Of a failed job; an earlier version kept its words alone."""
    if job.error is None:
        return None
    known = {"type": "Error", "message": job.error} | (job.failure if isinstance(job.failure, dict) else {})
    told = ("type", "message", "file", "line", *(("traceback",) if whole else ()))
    return {name: known[name] for name in told if name in known}


def eta_seconds(left_ms: int) -> int:
    """Whole seconds, never negative, rounded up to steps that grow with the distance; so an ``ETag`` stays a while."""
    seconds = max(0, math.ceil(left_ms / 1000))
    step = next((step for below, step in _ETA_STEPS if seconds < below), _LONG_ETA_STEP)
    return math.ceil(seconds / step) * step


def _cancellation(cancellation: Cancellation | None) -> JsonDict | None:
    if cancellation is None:
        return None
    return _present(
        requestedAt=iso(cancellation.requested_at),
        requestedBy=cancellation.requested_by,
        reason=cancellation.reason,
        phase=cancellation.phase.value,
        deadlineAt=iso(cancellation.deadline_at),
        seenAt=_time(cancellation.seen_at),
        stoppedAt=_time(cancellation.stopped_at),
        signals=[_with_times(signal, "at") for signal in cancellation.signals],
        containment=cancellation.containment,
        survivors=[dict(survivor) for survivor in cancellation.survivors] or None,
    )


def _pause(pause: Pause | None) -> JsonDict | None:
    if pause is None:
        return None
    return _present(
        requestedAt=iso(pause.requested_at),
        requestedBy=pause.requested_by,
        resumedAt=_time(pause.resumed_at),
        resumedBy=pause.resumed_by,
    )


def _waiting(waiting: JsonDict | None) -> JsonDict | None:
    return None if waiting is None else _with_times(waiting, "until")


def _post_mortem(found: JsonDict | None, whole: bool) -> JsonDict | None:
    if found is None:
        return None
    shown: JsonDict = found if whole else {name: found[name] for name in ("at", "summary") if name in found}
    return _with_times(shown, "at")


def _with_times(entry: Mapping[str, Any], *names: str) -> JsonDict:
    return {name: iso(value) if name in names and isinstance(value, int) else value for name, value in entry.items()}


def _time(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


def _present(**entries: Any) -> JsonDict:
    return {name: value for name, value in entries.items() if value is not None}
