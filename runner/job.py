"""A job: one requested run of a type, and everything that may be said about it.

``Job`` is what the store holds; nothing here touches a process or a database. Times are UTC milliseconds.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

JsonDict = dict[str, Any]


class JobStatus(StrEnum):
    """pending: accepted, on disk. running: its process has acknowledged. paused: has no process, until it is resumed.
    The other three are final.
    """

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


LIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING, JobStatus.PAUSED})
TERMINAL = frozenset(JobStatus) - LIVE

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.PAUSED}) | TERMINAL,
    JobStatus.RUNNING: frozenset({JobStatus.PENDING, JobStatus.PAUSED}) | TERMINAL,
    JobStatus.PAUSED: frozenset({JobStatus.PENDING, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.FAILED: frozenset(),
}
"""Which status may follow which. ``running -> pending``: drained, or a pause that was taken back."""


class Phase(StrEnum):
    """How far a cancel has come; only ever moves down this list."""

    REQUESTED = "requested"
    FINISHING_BATCH = "finishing_batch"
    TERMINATING = "terminating"
    KILLING = "killing"
    UNCONFIRMED = "unconfirmed"
    STOPPED = "stopped"


class StopReason(StrEnum):
    """Why a run was asked to stop, the strongest reason first: a stronger one takes the place of a weaker.

    resume: a pause that was taken back; the run ends at its checkpoint all the same, and another begins.
    """

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"


@dataclass(frozen=True)
class Progress:
    """``processed`` of ``total`` items; ``done_at_ms`` is when the run expects to be through, None while unknown.

    ``reported``: what was said to be processed inside a batch that is not committed. It is shown and not counted on.
    """

    processed: int = 0
    total: int | None = None
    current_batch: int = 0
    message: str | None = None
    done_at_ms: int | None = None
    reported: int | None = None

    @property
    def shown(self) -> int:
        """How many are said to be processed."""
        return self.processed if self.reported is None else self.reported

    def not_below(self, committed: Progress) -> Progress:
        """This one, unless it is from before a commit, or was set back: what was committed is done."""
        is_before = (self.processed, self.current_batch) < (committed.processed, committed.current_batch)
        return committed if is_before else self

    def of_no_run(self) -> Progress:
        """As it stands when no run is at it: with no end to expect."""
        return replace(self, done_at_ms=None)

    @property
    def percent(self) -> float | None:
        """0 to 100 with one decimal; None while the total is unknown. Nothing to do counts as done."""
        if self.total is None:
            return None
        return 100.0 if self.total == 0 else round(min(1.0, self.shown / self.total) * 100, 1)

    def advanced(self, processed: int, batch: int, *, now_ms: int, seconds: float, since: int) -> Progress:
        """The progress ``processed`` items further on, with an estimate of the end from this run's pace.

        ``seconds``: how long this run has been at it; ``since``: what was processed when it began.
        """
        done = self.processed + processed
        total = None if self.total is None else max(self.total, done)
        pace = seconds / (done - since) if done > since else None
        left = None if total is None or pace is None else (total - done) * pace
        ends = None if left is None else now_ms + int(left * 1000)
        in_hand = max(batch, self.current_batch)
        return replace(self, processed=done, total=total, current_batch=in_hand, done_at_ms=ends, reported=None)

    def as_json(self) -> JsonDict:
        return {name: value for name, value in self.__dict__.items() if value is not None}

    @classmethod
    def from_json(cls, data: JsonDict | None) -> Progress:
        """What of it is what it should be: one odd row must not cost the list of all."""
        found: JsonDict = data if isinstance(data, dict) else {}
        counts = {name: found.get(name) for name in ("processed", "total", "current_batch", "done_at_ms", "reported")}
        kept: JsonDict = {name: value for name, value in counts.items() if type(value) is int and value >= 0}
        message = found.get("message")
        return cls(**kept, message=message if isinstance(message, str) else None)


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, told apart from a later one with its pid. ``start_ticks``: clock ticks from boot to its start."""

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True)
class Cancellation:
    """What a cancel has come to. ``deadline_at``: by then the tree is gone, or ``phase`` says ``unconfirmed``."""

    requested_at: int
    requested_by: str
    phase: Phase
    deadline_at: int
    reason: str | None = None
    seen_at: int | None = None
    stopped_at: int | None = None
    signals: tuple[JsonDict, ...] = ()
    containment: str | None = None
    survivors: tuple[JsonDict, ...] = ()


@dataclass(frozen=True)
class Pause:
    """The last pause that was asked for, and who let the job go on; None while nobody has."""

    requested_at: int
    requested_by: str
    resumed_at: int | None = None
    resumed_by: str | None = None


@dataclass(frozen=True)
class Job:
    """A job as the store holds it. ``epoch`` counts claims; ``attempt`` counts starts that were acknowledged.

    ``revision`` grows with every change of the row, ``ledger_version`` with every change of its batches. ``ran_ms``:
    how long its ended runs took, kept for jobs with a timeout. ``retry_of``: the job it goes on with. ``survivors``:
    who would not die when it was stopped, for whatever reason. ``result_bytes``: how large its result is, where a list
    has left it out. ``error``: why it failed, in words; ``failure``: type, message, and where it was.
    """

    id: str
    type: str
    status: JobStatus
    config: JsonDict
    options: JsonDict
    lock_key: str | None
    created_at: int
    created_by: str
    epoch: int = 0
    attempt: int = 0
    crashes: int = 0
    revision: int = 0
    ledger_version: int = 0
    started_at: int | None = None
    completed_at: int | None = None
    claimed_at: int | None = None
    released_at: int | None = None
    process: ProcessIdentity | None = None
    stop_reason: StopReason | None = None
    stop_requested_at: int | None = None
    retry_of: str | None = None
    timeout_ms: int | None = None
    max_memory_mb: int | None = None
    ran_ms: int = 0
    containment: str | None = None
    survivors: tuple[JsonDict, ...] = ()
    post_mortem: JsonDict | None = None
    progress: Progress = field(default_factory=Progress)
    result: JsonDict = field(default_factory=dict)
    result_bytes: int | None = None
    position: Any = None
    error: str | None = None
    failure: JsonDict | None = None
    cancellation: Cancellation | None = None
    pause: Pause | None = None
    waiting: JsonDict | None = None
    waiting_for: str | None = None
    archived_at: int | None = None

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def is_pausing(self) -> bool:
        """A pause was asked for, and its run has not ended yet."""
        return self.is_live and self.is_claimed and self.stop_reason is StopReason.PAUSE

    @property
    def is_waiting(self) -> bool:
        """Whether it may be claimed, as soon as a slot and its lock are free."""
        return self.status is JobStatus.PENDING and self.claimed_at is None

    @property
    def is_claimed(self) -> bool:
        """Whether it holds its lock and its slot: from the claim until its tree was proved empty."""
        return self.claimed_at is not None and self.released_at is None


_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_DRAWN_AT_ONCE = tuple((length, range(len(_ALPHABET) ** length)) for length in (5, 4, 4))  # 36**13 > 2**67


def new_job_id(now_ms: int) -> str:
    """``job_<13-digit ms>_<67 random bits>``; opaque to clients."""
    drawn = ""
    for length, numbers in _DRAWN_AT_ONCE:
        left = secrets.choice(numbers)
        for _ in range(length):
            left, digit = divmod(left, len(_ALPHABET))
            drawn += _ALPHABET[digit]
    return f"job_{now_ms:013d}_{drawn}"
