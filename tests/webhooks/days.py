"""An account that is heard for days on end, in a time of the test's own."""

from __future__ import annotations

from typing import Any

from runner.groups.group import GroupRows
from runner.groups.queue import QueueRows
from tests.unit.groupstore import DAY, WA_ID
from tests.webhooks import samples
from tests.webhooks.kept import HOUR, MINUTE, Kept

SILENT, ANA = "100000000000005@lid", "100000000000002@lid"
WINDOW = 2 * DAY


class Days:
    """An account that is heard for days on end."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self._number = 0

    def message(self, *, group: str = WA_ID) -> None:
        self._number += 1
        self.kept.receive(samples.message(f"m{self._number}", ANA, self.kept.now // 1000, group=group))

    def hear_until(self, end: int, every: int = 6 * HOUR, *, group: str = WA_ID) -> None:
        """A message, and between two of them the beats of a server that is there."""
        while self.kept.now < end:
            self.message(group=group)
            self.pass_quietly(min(every, end - self.kept.now))
        self.message(group=group)

    def pass_quietly(self, span: int, *, server: bool = True) -> None:
        end = self.kept.now + span
        if server:
            self.kept.beat_until(end, every=8 * MINUTE)
        self.kept.now = end

    def queued(self) -> int:
        with self.kept.tx() as tx:
            return QueueRows(tx).sync(GroupRows(tx).get(WA_ID), WINDOW, self.kept.now, DAY)

    def hear_only(self, body: Any, end: int, every: int = HOUR) -> None:
        """The same event again and again, and no message of a group."""
        while self.kept.now < end:
            self.kept.receive(body)
            self.pass_quietly(every)

    def restart(self) -> None:
        self.kept.beat()
