"""A file of lines that a crash, also of the machine, does not take back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NO_SUCH_SYNC = (errno.EINVAL, errno.EBADF)
"""What a file system says that cannot sync a directory."""


class LineFile:
    """One thread at a time. Every method raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: str) -> None:
        """On disk before it returns, and so is the file's name: else the first line may be gone with it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # a torn line before it stays by itself
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(self.path.parent)

    def lines(self) -> list[str] | None:
        """Those that are not empty; bytes that are not UTF-8 are replaced in them. None: there is no such file."""
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            return None
        return [line.decode(errors="replace") for line in found.splitlines() if line]

    def remove(self) -> None:
        """Nothing, where there is none."""
        self.path.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in _NO_SUCH_SYNC:
            raise
    finally:
        os.close(directory)
