"""Time as an argument: wall clock for what people read, monotonic for what is waited for."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def _boot_id() -> str:
    """The kernel's id of this boot; where there is none, one for this process (so deadlines are waited out whole)."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return str(uuid.uuid4())


def _boot_seconds() -> float:
    """Seconds since boot, suspend included where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class Clock:
    """``now_ms``: UTC milliseconds since 1970. ``boot_seconds``: seconds that no
    clock change moves, comparable within one ``boot_id``.
    """

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    boot_seconds: Callable[[], float] = _boot_seconds
    boot_id: str = field(default_factory=_boot_id)


@dataclass(frozen=True)
class Deadline:
    """A duration and the moment it began, kept so that it can be judged after a crash, a reboot or a clock change.

    Within the same boot the monotonic clock decides. After another boot the whole duration is waited from the
    first sight, never more (design, rules at the edges 11).
    """

    seconds: float
    began: float
    boot_id: str

    @classmethod
    def start(cls, clock: Clock, seconds: float) -> Deadline:
        return cls(seconds, clock.boot_seconds(), clock.boot_id)

    def remaining(self, clock: Clock, first_seen: float) -> float:
        """Seconds left. ``first_seen``: ``clock.boot_seconds()`` when this process first looked at the deadline."""
        began = self.began if self.boot_id == clock.boot_id else first_seen
        return min(self.seconds, max(0.0, began + self.seconds - clock.boot_seconds()))

    def as_json(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "began": self.began, "bootId": self.boot_id}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Deadline:
        return cls(float(data["seconds"]), float(data["began"]), str(data["bootId"]))


def iso(ms: int) -> str:
    """``YYYY-MM-DDTHH:MM:SS.mmmZ``, the contract's form of a time."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
