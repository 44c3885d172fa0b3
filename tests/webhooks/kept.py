"""A store to which webhooks come, in a time of the test's own."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from runner.groups.activity import ActivityRows, Watch
from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows, Limits, Line
from runner.groups.inbox import Inbox
from runner.groups.incoming import Incoming
from runner.groups.tallies import TallyRows
from runner.stores.group_schema import people
from runner.webhook import Notice
from runner.webhooks import evolution, waha
from tests.unit.groupstore import WA_ID, GroupStore

HOUR, MINUTE = 3_600_000, 60_000
LIMITS = Limits(silence_ms=12 * HOUR, reconnect_ms=10 * MINUTE)


class Kept(GroupStore):
    """``now`` is the receipt of whatever comes next."""

    def read(self, body: Any) -> Notice:
        raw = json.dumps(body).encode()
        return waha.read(raw, self.now) if "session" in body else evolution.read(raw, self.now)

    def receive(self, *bodies: Any, together: bool = False) -> None:
        """One after another, each in a transaction of its own, or all in one."""
        notices = [self.read(body) for body in bodies]
        if together:
            with self.store.write() as tx:
                Incoming(tx, LIMITS).take(notices)
        else:
            for notice in notices:
                Inbox(self.store, LIMITS).take(notice)

    def tallies(self) -> dict[tuple[str, str], int]:
        with self.store.read() as tx:
            return {(one.event, one.outcome): one.number for one in TallyRows(tx).list()}

    def line(self, account: str) -> Line | None:
        with self.store.read() as tx:
            return HearingRows(tx, LIMITS).find(account)

    def beat(self) -> list[str]:
        with self.store.write() as tx:
            return [line.account for line in HearingRows(tx, LIMITS).beat()]

    def beat_until(self, end: int, *, every: int) -> None:
        """In one transaction, for speed: each beat has its own time all the same."""
        with self.store.write() as tx:
            while self.now + every < end:
                self.now += every
                HearingRows(tx, LIMITS).beat()

    def look(self, account: str, is_open: bool) -> None:
        with self.store.write() as tx:
            HearingRows(tx, LIMITS).look(account, is_open)

    def watch(self, slack_ms: int = 24 * HOUR) -> Watch | None:
        with self.store.read() as tx:
            group = GroupRows(tx).get(WA_ID)
            return ActivityRows(tx).watched_since(group, self.now, slack_ms)

    def people(self) -> list[tuple[str | None, str | None, str | None]]:
        with self.store.read() as tx:
            rows = tx.connection.execute(select(people.c.lid, people.c.pn, people.c.name).order_by(people.c.id))
            return [(row.lid, row.pn, row.name) for row in rows]
