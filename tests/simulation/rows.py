"""A job as the oracle reads it: straight from the database, through none of the runner's code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from runner.job import TERMINAL, JobStatus, Phase

JOBS = (
    "SELECT id, status, epoch, claimed_at, released_at, lock_key, stop_reason, cancel_requested_at, cancel_phase,"
    " cancel_stopped_at, cancel_deadline_at, completed_at, error, progress, retry_of, type, result, config FROM jobs"
)
_STATUSES = frozenset(map(str, JobStatus))
_PHASES = [str(phase) for phase in Phase]


@dataclass(frozen=True)
class Row:
    """A job as it stands in the database."""

    id: str
    status: str
    epoch: int
    claimed_at: int | None
    released_at: int | None
    lock_key: str | None
    stop_reason: str | None
    cancel_requested_at: int | None
    cancel_phase: str | None
    cancel_stopped_at: int | None
    cancel_deadline_at: int | None
    completed_at: int | None
    error: str | None
    progress: str | None
    retry_of: str | None
    type: str
    result: str | None
    config: str

    @property
    def is_claimed(self) -> bool:
        return self.claimed_at is not None and self.released_at is None

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_stopping(self) -> bool:
        return self.stop_reason is not None or self.is_over

    @property
    def processed(self) -> int:
        return int(json.loads(self.progress).get("processed", 0)) if self.progress else 0


def how_far(phase: str | None) -> int:
    return _PHASES.index(phase) if phase else -1


def status_by(kinds: Sequence[str]) -> str | None:
    """What the event log says of a job's status. Resumed: it waits again, unless its run had not yet ended."""
    status = None
    for kind in kinds:
        if kind in _STATUSES:
            status = kind
        elif kind == "resumed" and status == "paused":
            status = "pending"
    return status


def last_wish(kinds: Sequence[str]) -> str | None:
    """What the event log says last of pausing."""
    return next((kind for kind in reversed(kinds) if kind in ("pausing", "paused", "resumed")), None)
