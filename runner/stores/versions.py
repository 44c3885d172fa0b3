"""Whether anything was committed to an SQLite file since one last looked: a twentieth of what a query takes."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from runner.errors import StoreUnavailable


class Versions:
    """Each thread looks through a connection of its own, for which SQLite counts the commits of all others.

    A number can be compared with earlier ones of the same thread alone. The connections stay open until ``close``:
    for the few threads of a server that live as long as it does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def current(self) -> int:
        """Raises StoreUnavailable."""
        try:
            connection = getattr(self._mine, "connection", None) or self._open()
            return int(connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        while self._opened:
            self._opened.pop().close()

    def _open(self) -> sqlite3.Connection:
        existing = f"{self._path.absolute().as_uri()}?mode=rw"  # a file that is gone must not be made anew, empty
        connection = sqlite3.connect(existing, uri=True, isolation_level=None, check_same_thread=False)
        self._opened.append(connection)
        self._mine.connection = connection
        return connection
