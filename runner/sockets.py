"""The folder in which the sockets of the fork server and of the Manager lie: ours alone, and nobody cleans it.

A temporary directory is cleaned by age on many machines, and who loses a socket there can start nobody any more.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

from runner.errors import RunnerError

_PROBE = "longest-name-xxx"
"""No socket of ours has a longer name."""

_OLD_PREFIX, _OLD_SIGN = "pymp-", "lines-"
_OLD_SECONDS = 60.0


class NoPlaceForSockets(RunnerError):
    """``whys``: for each folder that was tried, what was wrong with it."""

    def __init__(self, whys: dict[Path, str]) -> None:
        tried = "; ".join(f"{folder}: {why}" for folder, why in whys.items())
        super().__init__(
            f"No folder can hold the server's sockets ({tried}). Set RUNNER_HOME to a short path on a local disk, "
            "or XDG_RUNTIME_DIR to a folder of this user"
        )


def socket_folder(home: Path, runtime: str | None) -> Path:
    """The one of this home, made where it is not there: below it, else below ``runtime`` (XDG_RUNTIME_DIR).

    Raises NoPlaceForSockets where neither can hold a socket.
    """
    home = home.absolute()
    tried = [home / "run" / "ipc"]
    if runtime and Path(runtime).is_absolute():
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
        tried.append(Path(runtime) / f"runner-{name}")
    whys: dict[Path, str] = {}
    for folder in tried:
        try:
            make_folder(folder)
            _try_out(folder)
        except OSError as error:
            whys[folder] = error.strerror or str(error)
        else:
            return folder
    raise NoPlaceForSockets(whys)


def make_folder(folder: Path) -> None:
    """Makes it, or sees that it is ours alone. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "it is no folder of this user")
    folder.chmod(0o1700)  # the sticky bit tells those who clean XDG_RUNTIME_DIR to leave it


def clear(folder: Path) -> None:
    """Removes what an earlier server, and its jobs, left there. Only for who holds the lock of the home."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)  # noqa: PTH108


def sweep_old_folders(temporary: Path | None = None) -> None:
    """Removes the folders that servers of earlier versions left in the temporary directory, if they are surely dead.

    Only ours: of this user, with nothing but sockets in it, one of them named as a Manager's, and nobody listens.
    """
    with contextlib.suppress(OSError):
        for entry in os.scandir(temporary or tempfile.gettempdir()):
            with contextlib.suppress(OSError):
                if entry.name.startswith(_OLD_PREFIX) and _is_left_behind(Path(entry.path)):
                    shutil.rmtree(entry.path)


def _is_left_behind(folder: Path) -> bool:
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or time.time() - found.st_mtime < _OLD_SECONDS:  # one is just being made
        return False
    entries = list(folder.iterdir())
    has_sign = any(entry.name.startswith(_OLD_SIGN) for entry in entries)
    return has_sign and all(stat.S_ISSOCK(entry.lstat().st_mode) and _is_deaf(entry) for entry in entries)


def _is_deaf(path: Path) -> bool:
    """Whether nobody listens there: what a server that is stopped, or busy, never says."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        return caller.connect_ex(os.fspath(path)) == errno.ECONNREFUSED


def _try_out(folder: Path) -> None:
    """Raises OSError: the path may be too long, or the folder on a disk that holds no sockets."""
    probe = folder / (_PROBE[:-8] + secrets.token_hex(4))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(probe))
        probe.unlink()
