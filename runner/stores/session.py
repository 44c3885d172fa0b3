"""The session that marks a PostgreSQL database as served: one server holds it, and no call begins while nobody does.

It is an advisory lock of the session's own connection, so it ends with the server however that ends. It needs a direct
connection: a pooler that hands connections from one client to the next would hand the lock on with them.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from runner.errors import RunnerError, StoreUnavailable

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""So long the database is waited for at the start, and a session that has ended is tried to be had again."""

LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 0.25
_SILENT_SECONDS = 5.0
_LOCK = 0x72756E6E6573  # any number that nobody else asks PostgreSQL for
_NAME = re.compile(r"runner (\d+)@(.*) #[0-9a-f]{8}")
_DIRECT = {  # a server whose machine is gone without a word must not hold the database for hours
    "connect_timeout": 5,
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,
}
_HOLDER = text(
    """
    SELECT held.pid, coalesce(who.application_name, '') AS name
    FROM pg_locks held LEFT JOIN pg_stat_activity who USING (pid)
    WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND held.classid::bigint = :high AND held.objid::bigint = :low
    """
).bindparams(high=_LOCK >> 32, low=_LOCK & 0xFFFFFFFF)


class ServedAlready(RunnerError):
    """Another server works on this database: two would run each other's jobs."""

    def __init__(self, who: str) -> None:
        super().__init__(
            f"A server works on this database already: {who}. Stop it first, or name another database with "
            "RUNNER_DATABASE_URL"
        )


def demand_server(connection: Connection) -> None:
    """Raises StoreUnavailable while no server holds a PostgreSQL database: nobody would see a call through.

    Of SQLite nothing is asked: its server's lock is a file's, which cannot be lost while the server lives.
    """
    if connection.dialect.name == "postgresql" and connection.execute(_HOLDER).first() is None:
        raise StoreUnavailable("no server holds the database: its session has ended, and is being taken again")


class DatabaseSession:
    """One server's hold on one database. For any other database than PostgreSQL it does nothing."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._is_needed = parsed.get_backend_name() == "postgresql"
        self._name = f"runner {os.getpid()}@{socket.gethostname()[:30]} #{secrets.token_hex(4)}"
        self._engine = _engine(url, self._name)
        self._connection: Connection | None = None
        self._seen_at = time.monotonic()
        self._closed = threading.Event()

    def take(self) -> None:
        """Raises ServedAlready, naming the other; StoreUnavailable when the database cannot be had for a minute."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._is_needed and self._connection is None:
            try:
                self._take()
            except DBAPIError as error:
                if time.monotonic() > until:
                    raise StoreUnavailable(_plain(error)) from error
                time.sleep(_AGAIN_SECONDS)

    def watch(self, lost: Callable[[str], None]) -> None:
        """Looks each second whether the session lives, and takes it again. ``lost``: what to do when that is in vain.

        Called once, by a thread, with a sentence: another server holds the database, or a minute was not enough.
        """
        if self._is_needed:
            threading.Thread(target=self._watch, args=(lost,), name="database session", daemon=True).start()

    def state(self) -> str:
        """ "ok", or what is wrong."""
        silent = time.monotonic() - self._seen_at
        return "ok" if not self._is_needed or silent < _SILENT_SECONDS else f"the session is lost for {silent:.0f} s"

    def close(self) -> None:
        """Gives the database back."""
        self._closed.set()
        if self._connection is not None:
            self._connection.close()

    def _watch(self, lost: Callable[[str], None]) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            if self._lives():
                continue
            log.warning("The database ended this server's session: it is taken again, and no call begins meanwhile")
            in_vain = self._take_again()
            if in_vain is not None:
                lost(in_vain)
                return
            log.info("This server holds the database again")

    def _lives(self) -> bool:
        try:
            if self._connection is None:
                return False
            self._connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            return self._closed.is_set()
        self._seen_at = time.monotonic()
        return True

    def _take_again(self) -> str | None:
        """None once it is had; else why it cannot be."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._closed.wait(_AGAIN_SECONDS):
            try:
                self._take()
            except ServedAlready as error:
                return str(error)
            except DBAPIError as error:
                if time.monotonic() > until:
                    return f"The database cannot be had for a minute: {_plain(error)}"
            else:
                return None
        return None

    def _take(self) -> None:
        connection = self._engine.connect()
        try:
            while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                self._look_who(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._seen_at = connection, time.monotonic()

    def _look_who(self, connection: Connection) -> None:
        """Raises ServedAlready, unless it is an earlier session of our own that the database has not seen end."""
        holder = connection.execute(_HOLDER).first()
        if holder is None:
            return
        if holder.name != self._name:
            raise ServedAlready(_in_words(holder))
        connection.scalar(text("SELECT pg_terminate_backend(:pid)"), {"pid": holder.pid})
        time.sleep(_AGAIN_SECONDS)


def _in_words(holder: Any) -> str:
    found = _NAME.fullmatch(holder.name)
    return f"process {found[1]} on {found[2]}" if found else f"the database's session {holder.pid}"


def _engine(url: str, name: str) -> Engine:
    arguments = _DIRECT | {"application_name": name}
    return create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=arguments
    )


def _plain(error: DBAPIError) -> str:
    return str(error.orig).splitlines()[0][:200]
