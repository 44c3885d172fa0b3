"""Opening a database, and its two kinds of transaction."""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.job import JsonDict
from runner.settings import sqlite_url
from runner.store import Transaction
from runner.stores.guard import FileGuard
from runner.stores.turns import Turns
from runner.stores.versions import Versions

LOCK_SECONDS = 5.0
"""How long a transaction waits for another's lock before it gives up."""

HELD_SECONDS = 2.0
"""So long a writer may do nothing in PostgreSQL before it ends the transaction: one that is frozen, or whose machine is
gone, would keep all others from writing."""

BROKEN_FILE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_READING, _WRITING = "BEGIN", "BEGIN IMMEDIATE"
_WRITE_LOCK = 0x72756E6E6572  # any number that nobody else asks PostgreSQL for


class SqlStore:
    """A ``Store`` on one database URL.

    ``pooled=False`` opens a connection for each transaction and lets it go: for job processes, of which there may
    be a thousand. ``pooled=True`` keeps some, for the server. ``marks``: of the server's store, in a job's process.
    """

    def __init__(
        self, url: str, clock: Clock | None = None, *, pooled: bool = True, marks: JsonDict | None = None
    ) -> None:
        self.url = url
        self.clock = clock or Clock()
        self._pooled = pooled
        self._patience = LOCK_SECONDS
        # SQLite's own waiting is unfair: with many writers the unluckiest starves. One queue per process is fair; and
        # who waits in it holds no connection, of which PostgreSQL's pool has few.
        self._writers = Turns() if pooled else None

        path = sqlite_path(url)
        self._versions = Versions(path) if pooled and path is not None else None
        self._guard = FileGuard(path, marks) if path is not None else None

    @cached_property
    def engine(self) -> Engine:
        """Made when first needed: a job that has committed nothing yet holds no database code of its own."""
        return _engine(self.url, self._pooled)

    def hasty(self, seconds: float) -> SqlStore:
        """The same store for one who must not wait: a transaction gives up so soon when the database is locked."""
        found = copy.copy(self)
        found.__dict__["engine"] = self.engine
        found._patience = seconds
        return found

    def guard(self, on_lost: Callable[[], object]) -> None:
        """For the server, once: see ``FileGuard``. Raises StoreUnavailable."""
        if self._guard is not None:
            try:
                self._guard.begin(on_lost)
            except sqlite3.Error as error:
                raise StoreUnavailable(str(error)) from error

    @property
    def marks(self) -> JsonDict | None:
        """What a job's process is given to know the file by."""
        return self._guard.marks if self._guard is not None else None

    def _check_file(self, connection: Connection | None = None) -> None:
        """Raises DatabaseLost. A job, which has opened the file anew, looks into it as well."""
        if self._guard is not None:
            self._guard.check()
            if connection is not None and not self._pooled:
                found: Any = connection.connection.dbapi_connection
                self._guard.check_number(found)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._transaction(_READING) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._turn(), self._transaction(_WRITING) as tx:
            yield tx

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One's turn in the queue; who waits behind others for a locked database gives up like the first of them."""
        if self._writers is None:
            yield
            return
        if not self._writers.take(self._patience):
            raise StoreUnavailable("others have waited for the write lock for too long")
        try:
            yield
        finally:
            self._writers.give_back()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        self._check_file()  # before it is opened: one that is gone would be made anew
        try:
            options: dict[str, Any] = {"begin": begin, "patience": self._patience}
            if self.engine.dialect.name == "postgresql":
                # A read is as of one moment, as in SQLite; a write as of the moment at which it has the lock.
                options["isolation_level"] = "REPEATABLE READ" if begin == _READING else "READ COMMITTED"
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                if begin == _WRITING and connection.dialect.name == "postgresql":
                    _lock_postgresql(connection, self._patience)
                self._check_file(connection)
                yield Transaction(connection, self.clock)
        except (DBAPIError, PoolTimeout) as error:
            if _is_mistake(error):
                raise
            raise StoreUnavailable(_plain(error)) from error

    def version(self) -> int | None:
        """See ``Store``; None for other databases and for job processes, which have no use for it."""
        self._check_file()
        return None if self._versions is None else self._versions.current()

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close()
        if self._versions is not None:
            self._versions.close()
        if "engine" in vars(self):
            self.engine.dispose()


def sqlite_path(url: str) -> Path | None:
    """The file behind an SQLite URL; None for other databases and for ones in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def sqlite_code(error: BaseException | None) -> int | None:
    """SQLite's word for what went wrong, without its finer shades; None for what is not of SQLite."""
    code = getattr(error.orig, "sqlite_errorcode", None) if isinstance(error, DBAPIError) else None
    return None if code is None else int(code) & 0xFF


def _is_mistake(error: Exception) -> bool:
    """A statement that SQLite cannot read, say a workflow's own: to ask again would be in vain, for ever.

    A connection that PostgreSQL ended is none, whatever it says of the reason.
    """
    cause = error.orig if isinstance(error, DBAPIError) else None
    code = sqlite_code(error)
    if code in BROKEN_FILE:
        return False
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError):
        return not error.connection_invalidated
    return code == sqlite3.SQLITE_ERROR and not str(cause).startswith("no such table")


def _plain(error: Exception) -> str:
    """The database's own words, without the statement and its parameters (they may hold people's data)."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).splitlines()[0][:200]


def _lock_postgresql(connection: Connection, seconds: float) -> None:
    """One writer at a time, as SQLite has it: let go when the transaction ends.

    With locks for rows alone two that insert the same person at once would fail, and what is read to be written back
    could be overwritten. Waiting for any other lock ends as soon, too.
    """
    limits = f"SET LOCAL lock_timeout = {max(1, int(seconds * 1000))}"
    held = f"SET LOCAL idle_in_transaction_session_timeout = {int(HELD_SECONDS * 1000)}"
    connection.exec_driver_sql(f"{limits}; {held}; SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


def _engine(url: str, pooled: bool) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        options: dict[str, Any] = {"pool_size": 16, "max_overflow": 16} if pooled else {"poolclass": NullPool}
        return create_engine(url, json_serializer=_strict_json, hide_parameters=True, **options)
    if pooled:
        return _sqlite_engine(url, pool_size=20, max_overflow=60, pool_use_lifo=True)  # the one last used is warm
    return _engine_of_jobs(str(sqlite_path(url) or ":memory:"))


def _engine_of_jobs(path: str) -> Engine:
    """The one engine of this process, pointed at ``path``.

    It is made and used before its database is known (``warm_up``, in the fork server), so that every job inherits
    the statements it has compiled: a first commit costs 3 ms instead of 30.
    """
    other = _database_of_jobs["path"]
    if other not in (":memory:", path) and Path(other).exists():
        return _sqlite_engine(sqlite_url(Path(path)), poolclass=NullPool)  # the shared one has its database: leave it
    _database_of_jobs["path"] = path
    return _shared_engine()


@cache
def _shared_engine() -> Engine:
    engine = _sqlite_engine("sqlite://", poolclass=NullPool)
    event.listen(engine, "do_connect", _point_at_database)
    return engine


def _point_at_database(_dialect: object, _record: object, arguments: list[Any], _options: object) -> None:
    arguments[:] = [_database_of_jobs["path"]]


_strict_json = partial(json.dumps, allow_nan=False)  # NaN is no JSON: nobody could read the answer it is part of
_database_of_jobs = {"path": ":memory:"}
_SQLITE_ARGUMENTS: dict[str, Any] = {"timeout": LOCK_SECONDS, "check_same_thread": False}


def _sqlite_engine(url: str, **options: Any) -> Engine:
    options |= {"connect_args": _SQLITE_ARGUMENTS, "json_serializer": _strict_json}
    engine = create_engine(url, hide_parameters=True, **options)  # they are people's data, and no error needs them
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """Past SQLAlchemy, which takes as long for a BEGIN as for a query."""
    options = connection.get_execution_options()
    patience, begin = options.get("patience", LOCK_SECONDS), options.get("begin", "BEGIN")
    database: Any = connection.connection.dbapi_connection
    try:
        if connection.info.get("patience", LOCK_SECONDS) != patience:
            database.execute(f"PRAGMA busy_timeout={int(patience * 1000)}").close()
            connection.info["patience"] = patience
        database.execute(begin).close()
    except sqlite3.Error as error:
        raise DBAPIError.instance(begin, None, error, sqlite3.Error, dialect=connection.dialect) from error
