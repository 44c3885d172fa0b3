"""What the system says of a process: when it started, who its children are, what it holds open.

By ``/proc`` on Linux, by psutil elsewhere. For a process that is gone, and for one of which nothing may be known, each
answers with nothing. Whatever else keeps it from telling, such as a lack of descriptors, goes up as OSError: it must
not be taken for nobody.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

PROC = Path("/proc")
ON_LINUX = sys.platform.startswith("linux")
_MOST_READ = 65_536
_DEAD = frozenset("ZXx")
_LOOKS = 50
_NOBODY = (FileNotFoundError, ProcessLookupError, PermissionError)
"""Gone, or somebody else's."""


class Stat(NamedTuple):
    """``session``: of which the process is; a zombie still says so. ``ticks``: when it started, since boot."""

    state: str
    parent: int
    session: int
    threads: int
    ticks: int

    @property
    def is_dead(self) -> bool:
        """It is a zombie as soon as its first thread has ended; while another is still ending, its children are its."""
        return self.state in _DEAD and self.threads <= 1


def stat_of(pid: int) -> Stat | None:
    """Linux only; None for nobody."""
    try:
        after_name = _read(pid, "stat").rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Stat(
        after_name[0].decode(), int(after_name[1]), int(after_name[3]), int(after_name[17]), int(after_name[19])
    )


def _read(pid: int, name: str) -> bytes:
    """A whole file. Asked for several times at each end of a job, and ``Path`` takes three times as long."""
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    try:
        parts = [os.read(descriptor, _MOST_READ)]
        while parts[-1]:
            parts.append(os.read(descriptor, _MOST_READ))
    finally:
        os.close(descriptor)
    return b"".join(parts)


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


def children(pid: int) -> list[int]:
    """Linux only."""
    found: list[int] = []
    with contextlib.suppress(*_NOBODY):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(*_NOBODY):
                found += map(int, _read(pid, f"task/{thread}/children").split())
    return found


def descendants(pid: int, *, by_psutil: bool = not ON_LINUX) -> Iterator[int]:
    """All below ``pid``, the deepest first. A loop: calls within calls end at a thousand, processes do not."""
    if by_psutil:
        with contextlib.suppress(psutil.Error):
            yield from reversed([child.pid for child in psutil.Process(pid).children(recursive=True)])
        return
    way = [(pid, iter(children(pid)))]
    while way:
        above, below = way[-1]
        child = next(below, None)
        if child is not None:
            way.append((child, iter(children(child))))
            continue
        way.pop()
        if way:
            yield above


def open_files(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(*_NOBODY):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(*_NOBODY):
                found.add(str(entry.readlink()))
    return found


def environment(pid: int) -> list[bytes]:
    """As it was when the process last began a program: what it has set since is not there.

    While it begins one, and while it exits, it seems to have none; so it is asked again until it has a command line.
    """
    with contextlib.suppress(*_NOBODY):
        for _ in range(_LOOKS):
            found = (PROC / str(pid) / "environ").read_bytes()
            if not found and (PROC / str(pid) / "cmdline").read_bytes():  # it has begun meanwhile, or truly has none
                found = (PROC / str(pid) / "environ").read_bytes() or b"\0"
            if found or not (PROC / str(pid) / "exe").exists():  # it exits, or is the kernel's own
                return found.split(b"\0")
    return []


def is_exiting(pid: int) -> bool:
    """It has given back its memory, and is not yet a zombie: then its children would be its parent's."""
    with contextlib.suppress(*_NOBODY):
        return not _read(pid, "cmdline") and start_ticks(pid) is not None
    return False


def name_of(pid: int) -> str:
    """The process's name, for people; "?" when it is gone."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name()
    return "?"
