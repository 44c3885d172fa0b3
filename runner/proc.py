"""What the system says of a process: when it started, who its children are, what it holds open.

By ``/proc`` on Linux, by psutil elsewhere. For a process that is gone, and for one of which nothing may be known, each
answers with nothing. Whatever else keeps it from telling, such as a lack of descriptors, goes up as OSError: it must
not be taken for nobody.
"""

from __future__ import annotations

import contextlib
import errno
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
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_EXITING = 0x4  # PF_EXITING of the kernel's sched.h


@contextlib.contextmanager
def _nobody() -> Iterator[None]:
    """What the system will not tell of a process is nothing: it is gone, somebody else's, or has made it untellable.
    A shortage is this server's own, and goes up.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _SHORTAGES:
            raise


class Stat(NamedTuple):
    """``session``: of which the process is; a zombie still says so. ``ticks``: when it started, since boot."""

    state: str
    parent: int
    session: int
    flags: int
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
    numbers = (int(after_name[field]) for field in (1, 3, 6, 17, 19))
    return Stat(after_name[0].decode(), *numbers)


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
    with _nobody():
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with _nobody():
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
    with _nobody():
        for entry in (PROC / str(pid) / "fd").iterdir():
            with _nobody():
                found.add(str(entry.readlink()))
    return found


def environment(pid: int) -> list[bytes]:
    """As it was when the process last began a program: what it has set since is not there.

    While it begins one, and while it exits, it seems to have none; so it is asked again until it has a command line.
    """
    with _nobody():
        for _ in range(_LOOKS):
            found = (PROC / str(pid) / "environ").read_bytes()
            if not found and (PROC / str(pid) / "cmdline").read_bytes():  # it has begun meanwhile, or truly has none
                found = (PROC / str(pid) / "environ").read_bytes() or b"\0"
            if found or not (PROC / str(pid) / "exe").exists():  # it exits, or is the kernel's own
                return found.split(b"\0")
    return []


def is_exiting(pid: int) -> bool:
    """It is on its way out, and not yet a zombie: then its children would be its parent's."""
    found = None
    with _nobody():
        found = stat_of(pid)
    return found is not None and not found.is_dead and bool(found.flags & _EXITING)


def name_of(pid: int) -> str:
    """The process's name, for people; "?" when it is gone. The kernel may have cut it in the middle of a character."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name().encode(errors="replace").decode()
    return "?"
