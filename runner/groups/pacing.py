"""Keeping a job to its pace: what was asked for lately is read from the ledger, so all jobs count, and restarts too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, or_, select

from runner.context import JobContext
from runner.errors import RunnerError
from runner.groups.group import Group, lock_key
from runner.groups.pace import ACCOUNT, DAY_MS, GROUP, Asked, Pace, pace_of
from runner.store import Transaction
from runner.stores.schema import batches, jobs
from runner.waits import WaitKind

_OF_ANY_GROUP = lock_key("") + "%"
_AT = func.coalesce(batches.c.called_at, batches.c.intended_at)


class TooSoon(RunnerError):
    """Another job has asked for people since this one looked: it must wait again."""

    def __init__(self) -> None:
        super().__init__("the pace does not allow it yet")


class StopFirst(TooSoon):
    """Seen right before a call: a stop was asked for, and nothing was sent."""

    nothing_sent = True


class JudgedAnew(TooSoon):
    """Seen right before a call: what was written down is not as it is now. Nothing was sent, and it is written anew."""

    nothing_sent = True


class Pacing:
    """One job's, within one run; does nothing where no pace is set, nor in a dry run, which asks for nobody."""

    def __init__(self, job: JobContext, group: Group, *, dry_run: bool, ms_each: float) -> None:
        self._job, self._group = job, group
        whole = pace_of(job.settings)
        self.pace = Pace(whole.jitter) if dry_run else whole
        self._ms_each = ms_each * (1 + whole.jitter / 2)
        self._asked: Mapping[str, Asked] = {GROUP: (), ACCOUNT: ()}

    def size(self, wanted: int) -> int:
        """A batch as large as every cap allows at once."""
        cap = self.pace.smallest
        return wanted if cap is None else min(wanted, cap.people)

    def wait(self, people: int) -> None:
        """Until so many may be asked for, visibly."""
        while self.pace.holds_up:
            now = self._job.clock.now_ms()
            self._asked = self._job.patiently(self._read)
            due = self.pace.due(now, people, self._asked)
            if due is None:
                return
            self._job.wait_visibly((due[0] - now) / 1000, due[1], WaitKind.PACE)

    def check(self, tx: Transaction, people: int) -> None:
        """In the transaction that writes the intent: several jobs at once keep the caps together. Raises TooSoon."""
        if not self.pace.holds_up:
            return
        lately = asked_lately(tx, self._group)
        if self.pace.due(tx.now, people, lately):
            raise TooSoon
        self._asked = {scope: [*asked, (tx.now, people)] for scope, asked in lately.items()}

    def ends_at(self, people: int, now: int) -> int | None:
        """When so many more will have been asked for; None where there is nothing to add to the job's own estimate."""
        return self.pace.ends_at(now, people, self._asked, self._ms_each) if self.pace.holds_up else None

    def _read(self) -> Mapping[str, Asked]:
        with self._job.store.read() as tx:
            return asked_lately(tx, self._group)


def asked_lately(tx: Transaction, group: Group) -> Mapping[str, Asked]:
    """The removals asked for within a day, whatever became of them: in this group, and in all of them.

    A job in the archive for longer than a day has asked for nobody since; so only few jobs are looked at.
    """
    since = tx.now - DAY_MS
    lately = or_(jobs.c.archived_at.is_(None), jobs.c.archived_at > since)
    joined = jobs.join(batches, batches.c.job_id == jobs.c.id)
    query = select(_AT, batches.c["items"], jobs.c.lock_key).select_from(joined)
    query = query.where(lately, jobs.c.lock_key.like(_OF_ANY_GROUP), since < _AT).order_by(_AT)
    rows: list[Any] = list(tx.connection.execute(query))
    mine = [(at, count) for at, count, key in rows if key == lock_key(group.wa_id)]
    return {GROUP: mine, ACCOUNT: [(at, count) for at, count, _ in rows]}
