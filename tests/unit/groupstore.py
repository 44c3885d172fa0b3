"""A database with one empty group, for the tests of what is kept of groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.clock import Clock
from runner.groups.activity import ActivityRows
from runner.groups.group import Group, GroupRows
from runner.groups.member import Member, MemberEntry, MemberRows
from runner.store import Transaction
from runner.stores.database import SqlStore
from runner.stores.migrate import migrate

DAY = 86_400_000
NOW = 1_750_000_000_000
WA_ID = "120363403645737238@g.us"


class GroupStore:
    """``now`` may be set; every transaction is a writing one."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.now = NOW
        url = url or f"sqlite:///{folder / 'groups.db'}"
        migrate(url)
        self.store = SqlStore(url, Clock(lambda: self.now), pooled=False)
        with self.store.write() as tx:
            self.group: Group = GroupRows(tx).create(WA_ID)

    @contextmanager
    def tx(self) -> Iterator[Transaction]:
        with self.store.write() as tx:
            yield tx

    def put(self, entry: MemberEntry, at: int = NOW - 400 * DAY) -> int:
        with self.store.write() as tx:
            return MemberRows(tx).put(self.group, entry, at)

    def member(self, whatsapp_id: str) -> Member:
        with self.store.read() as tx:
            return MemberRows(tx).find(self.group, whatsapp_id, also_left=True)

    def members(self) -> list[Member]:
        with self.store.read() as tx:
            return list(MemberRows(tx).list(self.group))

    def observed(self, from_ms: int, to_ms: int, source: str = "a test") -> None:
        with self.store.write() as tx:
            ActivityRows(tx).observed(self.group, from_ms, to_ms, source)
