"""Opening a database, and its two kinds of transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.store import Transaction

LOCK_SECONDS = 5.0
"""How long a transaction waits for another's lock before it gives up."""


class SqlStore:
    """A ``Store`` on one database URL.

    ``pooled=False`` opens a connection for each transaction and lets it go: for job processes, of which there may
    be a thousand. ``pooled=True`` keeps some, for the server.
    """

    def __init__(self, url: str, clock: Clock | None = None, *, pooled: bool = True) -> None:
        self.url = url
        self.clock = clock or Clock()
        self._pooled = pooled
        # SQLite's own waiting is unfair: with many writers the unluckiest starves. One queue per process is fair.
        self._writers: Any = threading.Lock() if pooled and url.startswith("sqlite") else nullcontext()

    @cached_property
    def engine(self) -> Engine:
        """Made when first needed: a job that has committed nothing yet holds no database code of its own."""
        return _engine(self.url, self._pooled)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._transaction("BEGIN") as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._writers, self._transaction("BEGIN IMMEDIATE") as tx:
            yield tx

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        try:
            with self.engine.connect().execution_options(begin=begin) as connection, connection.begin():
                yield Transaction(connection, self.clock)
        except (OperationalError, PoolTimeout) as error:
            raise StoreUnavailable(_plain(error)) from error

    def close(self) -> None:
        if "engine" in vars(self):
            self.engine.dispose()


def sqlite_path(url: str) -> Path | None:
    """The file behind an SQLite URL; None for other databases and for ones in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def _plain(error: Exception) -> str:
    """The database's own words, without the statement and its parameters (they may hold people's data)."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).splitlines()[0][:200]


def _engine(url: str, pooled: bool) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_size=16, max_overflow=16) if pooled else create_engine(url, poolclass=NullPool)
    options: dict[str, Any] = {"connect_args": {"timeout": LOCK_SECONDS, "check_same_thread": False}}
    if pooled:
        options |= {"pool_size": 20, "max_overflow": 60}
    else:
        options |= {"poolclass": NullPool}
    engine = create_engine(url, **options)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
