"""Latecomers: events of an outage that a gateway has still to send again, and nobody is removed before they are there.

So long nobody knows who has spoken meanwhile: seven minutes after the end of it for Evolution, one for WAHA
(``line.LATE_MS``). An outage is a server that was away or a connection that was down, however short, as far as it is no
gap: over a gap nobody is silent anyway. Whoever was put in the queue by hand is not there for their silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.context import JobContext
from runner.groups.group import Group
from runner.groups.hearing import HearingRows, Limits
from runner.groups.pacing import TooSoon
from runner.groups.queue import QueueEntry
from runner.waits import WaitKind

_WHY = "events of a time when this server was away or the gateway not connected may still come"


class MoreToCome(TooSoon):
    """Seen right before a call: nothing was sent, and the job must wait again."""

    nothing_sent = True


class Latecomers:
    """Those that matter to one job on one group."""

    def __init__(self, job: JobContext, group: Group) -> None:
        self._job, self._group = job, group
        self._limits = Limits.of(job.settings)

    def wait(self, entries: Iterable[QueueEntry]) -> None:
        """Until none are expected, visibly."""
        if not _rest_on_silence(entries):
            return
        while (until := self._job.patiently(self._until)) is not None:
            self._job.wait_visibly((until - self._job.clock.now_ms()) / 1000, _WHY, WaitKind.EVENTS)

    def check(self, entries: Iterable[QueueEntry]) -> None:
        """Raises MoreToCome, StoreUnavailable."""
        if _rest_on_silence(entries) and self._until() is not None:
            raise MoreToCome

    def _until(self) -> int | None:
        with self._job.store.read() as tx:
            return HearingRows(tx, self._limits).late_until(self._group)


def _rest_on_silence(entries: Iterable[QueueEntry]) -> bool:
    return any(entry.window_ms is not None for entry in entries)
