"""The shipped store with a seam around each transaction, on one database file that each run begins anew."""

from __future__ import annotations

import atexit
import copy
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.store import Transaction
from runner.stores.database import LOCK_SECONDS, SqlStore
from runner.stores.migrate import migrate
from tests.simulation.turns import Turns, Unwound

GROUPS = ("120363000000000001@g.us", "120363000000000002@g.us")
QUEUED, KEPT = 20, 8
_DAY_MS = 86_400_000


def lid(group: int, number: int) -> str:
    return f"{group + 1}{number:03d}@lid"


class Database:
    """One file in memory. Its engines outlive a run: they keep the statements they have compiled."""

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        self.home = Path(tempfile.mkdtemp(prefix="simulation-", dir=shared if shared.is_dir() else None))
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        self.path, self._template = self.home / "runner.db", self.home / "template.db"
        self.url = f"sqlite:///{self.path}"
        self._fill()
        self.of_server = self._engine(pooled=True)
        self.of_jobs = self._engine(pooled=False)

    def begin(self) -> None:
        """As at the start of each run: two groups with a queue, no job."""
        for engine in (self.of_server, self.of_jobs):
            engine.dispose()
        for name in ("runner.db-wal", "runner.db-shm", "cancels.journal"):
            (self.home / name).unlink(missing_ok=True)
        shutil.copyfile(self._template, self.path)

    def look(self) -> sqlite3.Connection:
        """A connection that sees each commit, for the oracle."""
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)

    def _engine(self, *, pooled: bool) -> Engine:
        engine = SqlStore(self.url, pooled=pooled).engine
        event.listen(engine, "connect", _without_sync)
        return engine

    def _fill(self) -> None:
        url = f"sqlite:///{self._template}"
        migrate(url)
        store = SqlStore(url, Clock(now_ms=lambda: 1_740_000_000_000), pooled=True)
        with store.write() as tx:
            for number, wa_id in enumerate(GROUPS):
                _fill_group(tx, number, wa_id)
        store.close()
        with sqlite3.connect(self._template) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        connection.close()


def _fill_group(tx: Transaction, number: int, wa_id: str) -> None:
    group = GroupRows(tx).create(wa_id, f"group {number}")
    entries = [MemberEntry(lid=lid(number, one), name=f"M{one}") for one in range(QUEUED + KEPT)]
    MemberRows(tx).put_all(group, entries, tx.now - 400 * _DAY_MS)
    people = [MemberRows(tx).find(group, lid(number, one)).person_id for one in range(QUEUED)]
    QueueRows(tx).add(group, people, "asked for by hand")


def _without_sync(connection: Any, _record: object) -> None:
    """A killed process loses nothing that the system has; only a machine that loses power would need the sync."""
    connection.execute("PRAGMA synchronous=OFF").close()


@cache
def database() -> Database:
    return Database()


class SimStore:
    """A ``Store`` whose every transaction is one step: others get their turn before it and after it, never within.

    With one writer at a time a change of turns inside a transaction would stop everybody. A death inside of it is
    its rollback: ``dies`` is asked before each commit.
    """

    def __init__(
        self,
        turns: Turns,
        clock: Clock,
        engine: Engine,
        *,
        committed: Callable[[], None],
        is_out: Callable[[bool], bool],
        dies: Callable[[], bool] = lambda: False,
        gateway: Callable[[], Any] = lambda: None,
    ) -> None:
        self._turns, self._committed, self._is_out, self._dies = turns, committed, is_out, dies
        self.gateway = gateway
        self._patience = LOCK_SECONDS
        self._store = SqlStore(str(engine.url), clock, pooled=True)
        self._store.engine = engine

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self._turns.pause("read")
        self._wait_for_lock(writing=False)
        with self._store.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self._turns.pause("write")
        self._wait_for_lock(writing=True)
        with self._store.write() as tx:
            yield tx
            self._turns.check()
            if self._dies():
                raise Unwound
        self._committed()
        self._turns.pause("committed")

    def hasty(self, seconds: float) -> SimStore:
        """As ``SqlStore.hasty``, over the shipped one."""
        found = copy.copy(self)
        found._store, found._patience = self._store.hasty(seconds), seconds
        return found

    def version(self) -> int | None:
        """Nobody in the simulation asks."""
        return None

    def close(self) -> None:
        """The engine is for the next run."""

    def _wait_for_lock(self, *, writing: bool) -> None:
        """While the store does not answer: as long as a lock is waited for, and then the error."""
        if self._is_out(writing):
            self._turns.pause("locked", until=self._turns.now + self._patience, ready=lambda: not self._is_out(writing))
            if self._is_out(writing):
                raise StoreUnavailable("database is locked")
