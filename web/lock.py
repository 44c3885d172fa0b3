"""One server for one home, and for one database: two would run each other's jobs."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sqlalchemy.engine import make_url

from runner.settings import Settings


class AlreadyRunning(Exception):
    def __init__(self, pid: str, path: Path) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"A server is running there already: {who} holds {path}. Stop it first, or give this one a home "
            "of its own with --home"
        )


class ServerLock:
    """Held as long as this process lives; the system frees it, however that ends."""

    def __init__(self, settings: Settings) -> None:
        self.paths = [settings.home / "run" / "server.lock", *_beside_database(settings)]
        self._files: list[int] = []

    def take(self) -> None:
        """Raises AlreadyRunning, naming the other's pid."""
        for path in self.paths:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._files.append(_take(path))


def is_served(settings: Settings) -> bool:
    """Whether a server of this machine holds this home, or this SQLite file.

    The lock is shared for a moment to find that out: a server that starts in this very moment is refused.
    """
    return any(_is_taken(path) for path in ServerLock(settings).paths)


def _is_taken(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _take(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(file, 20).decode("ascii", "replace").strip()
        os.close(file)
        raise AlreadyRunning(pid if pid.isdigit() else "", path) from None
    os.ftruncate(file, 0)
    os.write(file, f"{os.getpid()}\n".encode())
    return file


def _beside_database(settings: Settings) -> list[Path]:
    """By the file's real path: a server with another home may name it too, or name a link to it."""
    url = make_url(settings.url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return []
    database = Path(url.database).resolve()
    return [database.with_name(f"{database.name}.lock")]
