"""Cancels that the store could not record: kept in a file until it can.

Read before anything else when the server starts, so that a job whose cancel was answered is never resumed.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.linefile import LineFile


@dataclass(frozen=True)
class JournalledCancel:
    """A cancel as it was asked for. ``at``: UTC milliseconds. ``force``: also of a job cancelled before."""

    job_id: str
    by: str
    reason: str | None
    stop_ms: int
    at: int
    force: bool = False


class CancelJournal:
    """One JSON object a line, on disk before ``add`` returns."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self._lock = threading.Lock()
        self._pending = self._read()

    def add(self, cancel: JournalledCancel) -> bool:
        """False when not even this could be written; the cancel is remembered in memory all the same."""
        with self._lock:
            self._pending.append(cancel)
            try:
                self._file.append(json.dumps(asdict(cancel)))
            except OSError:
                return False
            return True

    def pending(self) -> list[JournalledCancel]:
        with self._lock:
            return list(self._pending)

    def recorded(self, cancels: list[JournalledCancel]) -> None:
        """These are in the store now."""
        with self._lock:
            self._pending = [cancel for cancel in self._pending if cancel not in cancels]
            if not self._pending:
                self._file.remove()

    def _read(self) -> list[JournalledCancel]:
        found = []
        for line in self._file.lines() or ():
            try:
                found.append(JournalledCancel(**json.loads(line)))
            except (ValueError, TypeError):  # a line torn by a crash was never answered
                continue
        return found
