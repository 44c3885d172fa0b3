"""Absence: that we are not in the group any more, said by a gateway; believed when it is said again after a wait.

Where we are not in the group, what is said there is not heard, and that is noted at once: also if we are back before
the next look. One answer does not suffice for it, since a gateway that has just begun may say so of any group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from runner.context import JobContext
from runner.errors import StoreUnavailable
from runner.gateway import GroupGone, NotConnected
from runner.groups.accounts import own_account
from runner.groups.group import Group
from runner.groups.hearing import HearingRows, Limits
from runner.groups.listing import WithoutUs
from runner.groups.pacing import TooSoon
from runner.groups.settling import ABSENCE_SECONDS

Said = TypeVar("Said")

_AGAIN_SECONDS = 900
"""What was said at a call earlier than that is no first time: of a gateway that begins anew every night it is none.
But the third without a call that succeeded between them is believed, however far apart they are."""


class NotYetBelieved(TooSoon):
    """Said for the first time, at a call: nothing was sent, and the list must be looked at before another."""

    nothing_sent = True


class Absence:
    """As one job sees it."""

    def __init__(self, job: JobContext, group: Group) -> None:
        self._job, self._group = job, group
        self._said: GroupGone | WithoutUs | None = None
        self._said_at_calls: list[float] = []

    def asking(self, ask: Callable[[], Said]) -> Said:
        """For a list. Who says that we are not in the group is asked again, after a visible wait that a stop ends."""
        while True:
            if self._said is not None:
                self._job.wait_visibly(ABSENCE_SECONDS * self._job.settings.retry_seconds, str(self._said))
            try:
                answer = ask()
            except (GroupGone, WithoutUs) as error:
                if self._said is not None:
                    self._job.patiently(self.note)
                    raise
                self._said = error
            except Exception:
                self._said = None
                raise
            else:
                self._said = None
                return answer

    def calling(self, call: Callable[[], Said]) -> Said:
        """Within a call's time, where there is none to wait. Raises NotYetBelieved the first time, then GroupGone."""
        try:
            answer = call()
        except GroupGone as error:
            now, before = self._job.clock.boot_seconds(), self._said_at_calls
            self._said_at_calls = [*before, now]
            if len(before) < 2 and not (before and now - before[-1] <= _AGAIN_SECONDS):
                self._said = error
                raise NotYetBelieved from error
            self._note_at_call()
            raise
        self._said_at_calls = []
        return answer

    def note(self) -> None:
        """From now on nothing is heard there. Raises StoreUnavailable."""
        if account := own_account(self._job.settings):
            with self._job.store.write() as tx:
                HearingRows(tx, Limits.of(self._job.settings)).over(self._group, account)

    def _note_at_call(self) -> None:
        try:
            self.note()
        except StoreUnavailable as error:
            raise NotConnected(str(error)) from error  # nobody was removed, since we are not in the group
