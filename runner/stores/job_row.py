"""A job, read from its row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from runner.job import LIVE, Cancellation, Job, JobStatus, Pause, Phase, ProcessIdentity, Progress, StopReason
from runner.waits import WaitKind, wait_of


def job_of(row: Row[Any], **known: Any) -> Job:
    """``known``: what is not to be read from the row."""
    if row.unready is not None and row.status in LIVE:
        known = {"waiting": wait_of(WaitKind.TYPE, row.unready)} | known
    return Job(
        status=JobStatus(row.status),
        process=None if row.pid is None else ProcessIdentity(row.pid, row.start_ticks, row.boot_id),
        stop_reason=None if row.stop_reason is None else StopReason(row.stop_reason),
        progress=Progress.from_json(row.progress),
        result=row.result or {},
        survivors=tuple(row.survivors or ()),
        cancellation=_cancellation(row),
        pause=_pause(row),
        **{name: getattr(row, name) for name in _SAME_NAME if name not in known},
        **known,
    )


_SAME_NAME = (
    *("id", "type", "config", "options", "lock_key", "created_at", "created_by", "epoch", "attempt", "crashes"),
    *("revision", "ledger_version", "started_at", "completed_at", "claimed_at", "released_at", "position"),
    *("error", "waiting", "archived_at", "stop_requested_at", "retry_of", "timeout_ms", "max_memory_mb", "ran_ms"),
    *("containment", "post_mortem", "failure"),
)


def _cancellation(row: Row[Any]) -> Cancellation | None:
    if row.cancel_requested_at is None:
        return None
    return Cancellation(
        requested_at=row.cancel_requested_at,
        requested_by=row.cancel_requested_by,
        reason=row.cancel_reason,
        phase=Phase(row.cancel_phase),
        deadline_at=row.cancel_deadline_at,
        seen_at=row.cancel_seen_at,
        stopped_at=row.cancel_stopped_at,
        signals=tuple(row.signals or ()),
        containment=row.containment,
        survivors=tuple(row.survivors or ()),
    )


def _pause(row: Row[Any]) -> Pause | None:
    if row.pause_requested_at is None:
        return None
    return Pause(row.pause_requested_at, row.pause_requested_by, row.resumed_at, row.resumed_by)
