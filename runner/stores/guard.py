"""Whether an SQLite database is still the file that the server opened: in another nothing may be written.

Else a server writes on into a file that nobody can find again, and a job begins a new one, or goes on in an old copy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from runner.errors import DatabaseLost
from runner.job import JsonDict

log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_SMALLEST = 512  # bytes of the smallest page
_numbers: dict[tuple[int, int], int] = {}  # one for each file that this process has marked
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class FileGuard:
    """Knows the file by device and inode, its log (-wal) likewise, and a number that the server has written into it.

    The log stays the same file for as long as somebody has the database open: the server has.
    ``marks``: what the server has found, in a job's process.
    """

    def __init__(self, path: Path, marks: JsonDict | None = None) -> None:
        self._path, self._log = os.fspath(path), f"{os.fspath(path)}-wal"
        self.marks = marks
        self._keeper: sqlite3.Connection | None = None
        self._inside: str | None = None
        self._size = 0
        self._over = threading.Event()

    def begin(self, on_lost: Callable[[], object]) -> None:
        """For the server, once: marks the file, and looks every second from a thread of its own.

        ``on_lost``: called from there as long as it is lost. Raises sqlite3.Error.
        """
        file = _identity(self._path)
        number = _numbers.setdefault((file[0], file[1]), secrets.randbelow(2**31 - 1) + 1)
        self._keeper = self._connect()
        self._keeper.execute(f"PRAGMA user_version={number}").close()
        self._keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._size = os.stat(self._path).st_size  # noqa: PTH116
        self.marks = {"file": file, "log": self._identity_of_log(), "number": number}
        threading.Thread(target=self._watch_on, args=(on_lost,), name="database", daemon=True).start()

    def check(self) -> None:
        """Some microseconds, for each transaction. Raises DatabaseLost."""
        if self.marks is not None and (why := self._inside or self._outside(self.marks)) is not None:
            raise DatabaseLost(self._path, why)

    def check_number(self, connection: sqlite3.Connection) -> None:
        """Whether this connection has what the server marked, and no copy of before. Raises DatabaseLost."""
        if self.marks is not None:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found != self.marks["number"]:
                raise DatabaseLost(self._path, "another was copied over it")

    def close(self) -> None:
        self._over.set()
        if self._keeper is not None:
            self._keeper.close()

    def _outside(self, marks: JsonDict) -> str | None:
        try:
            if os.stat(self._path).st_size < _SMALLEST:  # noqa: PTH116
                return "it was emptied"
            if _identity(self._path) != marks["file"]:
                return "another file is in its place"
            if marks["log"] is not None and _identity(self._log) != marks["log"]:
                return "another log (-wal) is in its place"
        except FileNotFoundError as error:
            return "it is gone" if error.filename == self._path else "its log (-wal) is gone"
        except OSError as error:
            return f"it cannot be looked at: {error.strerror}"
        return None

    def _identity_of_log(self) -> list[int] | None:
        """None where the disk is none for a log of this kind."""
        try:
            return _identity(self._log)
        except FileNotFoundError:
            return None

    def _watch_on(self, on_lost: Callable[[], object]) -> None:
        was_lost = False
        while not self._over.wait(_LOOK_SECONDS):
            try:
                is_lost = self._look(was_lost)
                if is_lost:
                    on_lost()
                elif was_lost:
                    log.warning("The database is there again; restart the server to be sure of it")
                was_lost = is_lost
            except Exception:
                log.exception("The database file could not be looked at; trying again")

    def _look(self, was_lost: bool) -> bool:
        if self.marks is None or (why := self._outside(self.marks)) is None:
            why = self._inside = self._look_inside()
        if why is not None and not was_lost:
            log.critical("%s", DatabaseLost(self._path, why))
        return why is not None

    def _look_inside(self) -> str | None:
        """By a connection of its own: another has pages of the file in its memory."""
        try:
            size = os.stat(self._path).st_size  # noqa: PTH116
            with contextlib.closing(self._connect()) as connection:
                self.check_number(connection)
                if size < self._size and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    return "it was cut"
            self._size = size
        except DatabaseLost as error:
            return error.why
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0)
            broken = code & 0xFF in _BROKEN or code == sqlite3.SQLITE_IOERR_SHORT_READ
            return f"it is broken: {error}" if broken else None
        return None

    def _connect(self) -> sqlite3.Connection:
        existing = f"{Path(self._path).absolute().as_uri()}?mode=rw"
        return sqlite3.connect(existing, uri=True, isolation_level=None, check_same_thread=False)


def _identity(path: str) -> list[int]:
    found = os.stat(path)  # noqa: PTH116 - several for each transaction
    return [found.st_dev, found.st_ino]
