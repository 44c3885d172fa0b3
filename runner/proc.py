"""What the system says of a process: when it started, who its children are, what it holds open.

By ``/proc`` on Linux, by psutil elsewhere. Each answers for a process that is gone with nothing, never with an error.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

PROC = Path("/proc")
ON_LINUX = sys.platform.startswith("linux")
_DEAD = frozenset("ZXx")


class Stat(NamedTuple):
    """``session``: of which the process is; a zombie still says so. ``ticks``: when it started, since boot."""

    state: str
    parent: int
    session: int
    ticks: int

    @property
    def is_dead(self) -> bool:
        return self.state in _DEAD


def stat_of(pid: int) -> Stat | None:
    """Linux only; None for nobody."""
    try:
        after_name = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Stat(after_name[0].decode(), int(after_name[1]), int(after_name[3]), int(after_name[19]))


def start_ticks(pid: int) -> int | None:
    """When it started; None for nobody, and for a zombie."""
    if not ON_LINUX:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                return int(process.create_time() * 100)
        return None
    found = stat_of(pid)
    return None if found is None or found.is_dead else found.ticks


def children(pid: int, *, by_psutil: bool = not ON_LINUX) -> list[int]:
    if by_psutil:
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_bytes().split())
    return found


def descendants(pid: int, *, by_psutil: bool = not ON_LINUX) -> Iterator[int]:
    """All below ``pid``, the deepest first."""
    for child in children(pid, by_psutil=by_psutil):
        yield from descendants(child, by_psutil=by_psutil)
        yield child


def open_files(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(entry.readlink()))
    return found


def environment(pid: int) -> list[bytes]:
    """As it was when the process last began a program: what it has set since is not there."""
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def is_exiting(pid: int) -> bool:
    """It has given back its memory, and is not yet a zombie: then its children would be its parent's."""
    with contextlib.suppress(OSError):
        return not (PROC / str(pid) / "cmdline").read_bytes() and start_ticks(pid) is not None
    return False


def name_of(pid: int) -> str:
    """The process's name, for people; "?" when it is gone."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name()
    return "?"
