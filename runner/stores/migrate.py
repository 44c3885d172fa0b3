"""Bringing a database up to date, when the server starts and before anything reads it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from runner.errors import RunnerError, StoreUnavailable
from runner.stores.database import BROKEN_FILE, SqlStore, sqlite_code, sqlite_path

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
_PATIENCE_SECONDS = 60.0
_SHORT_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_LOCKED = frozenset({None, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
"""What passes; None: another database, which may be starting."""


class DatabaseTooNew(RunnerError):
    """A newer version has been at work on this database; an older one must not touch it."""

    def __init__(self, revision: str, newest: str) -> None:
        super().__init__(
            f"The database was made by a newer version (it stands at {revision}, this version knows {newest}): "
            "install that version again, or go back to a backup from before the upgrade"
        )


def newest_revision() -> str:
    """What this version brings a database to: the last of the files in ``migrations/versions``."""
    return max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(url: str) -> None:
    """Brings the database up to date, in one transaction: all of it, or nothing. Waits where another start is at it.

    Raises DatabaseTooNew; sqlalchemy's DatabaseError for a file that is no database, or cannot be used;
    StoreUnavailable when the database cannot be had for a minute.
    """
    path = sqlite_path(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    store = SqlStore(url, pooled=False)
    try:
        _insist(store)
    finally:
        store.close()


def _insist(store: SqlStore) -> None:
    began = time.monotonic()
    while True:
        try:
            with store.write() as tx:
                return _upgrade(tx.connection)
        except StoreUnavailable as error:
            code = sqlite_code(error.__cause__)
            if time.monotonic() - began > _patience(code):
                raise (error if code in _LOCKED else error.__cause__ or error) from None
            time.sleep(_PAUSE_SECONDS)


def _patience(code: int | None) -> float:
    """A file that cannot be opened will not be by itself; two starts may be in each other's way for a moment."""
    if code in BROKEN_FILE:
        return 0.0
    return _PATIENCE_SECONDS if code in _LOCKED else _SHORT_PATIENCE_SECONDS


def _upgrade(connection: Connection) -> None:
    revision, newest = current_revision(connection), newest_revision()
    if revision == newest:
        return
    if revision is not None and revision > newest:
        raise DatabaseTooNew(revision, newest)
    from alembic import command  # here: a fifth of a second, for nothing where all is up to date

    command.upgrade(alembic_config(connection), newest)


def current_revision(connection: Connection) -> str | None:
    """Where the database stands; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration without a file: where the migrations are, and the connection to use."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
