"""The process tree of one job: find it, stop it, kill it, prove that it is empty.

On Linux each job, and the fork server above it, is a *child subreaper*: what a job leaves behind lands below the job
while it lives and below the fork server after it. Whose it is, is told by a mark that every process of the job
inherits: the abort flag's pipe (kept by a plain fork) or an environment variable (kept by an exec). Elsewhere psutil
finds what hangs together by parentage; what a job moved out of its tree there is not found.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import psutil

from runner.clock import Clock
from runner.job import ProcessIdentity

MARK = "RUNNER_JOB"
"""The environment variable that names the job in each process that its processes start."""

SERVER = "RUNNER_SERVER"
"""The environment variable that names the server in each process that comes of it."""

_PROC = Path("/proc")
_ON_LINUX = sys.platform.startswith("linux")
_PR_SET_CHILD_SUBREAPER = 36
_DEAD = frozenset("ZXx")
_PASSES = 200


def become_subreaper() -> bool:
    """Orphans among this process's descendants become its children. False where the system has no such thing."""
    if not _ON_LINUX:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def containment() -> str:
    """How a job's tree is held together here."""
    return "subreaper" if _ON_LINUX else "psutil"


def identify(pid: int, boot_id: str) -> ProcessIdentity | None:
    """The living process with this pid; None when there is none (a zombie is not living)."""
    ticks = _start_ticks(pid)
    return None if ticks is None else ProcessIdentity(pid, ticks, boot_id)


def is_alive(process: ProcessIdentity, boot_id: str) -> bool:
    """Whether this very process lives: not a later one with its pid, not a zombie, not of another boot."""
    return process.boot_id == boot_id and _start_ticks(process.pid) == process.start_ticks


def send_signal(process: ProcessIdentity, number: int, boot_id: str) -> bool:
    """Signals this very process, never a later one with its pid; False when it is gone or not ours to signal."""
    if not _ON_LINUX:
        return is_alive(process, boot_id) and _kill(process.pid, number)
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not is_alive(process, boot_id):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except (ProcessLookupError, PermissionError):  # gone; or somebody else's, as sudo makes them: it survives
        return False
    finally:
        os.close(handle)


@dataclass(frozen=True)
class JobTree:
    """All processes of one job. ``marker``: the flag's pipe; ``adopter``: the fork server, or None.

    ``known``: the processes of jobs and standbys; any other child of the fork server is somebody's orphan.
    """

    root: ProcessIdentity
    job_id: str
    marker: str
    adopter: int | None
    known: AbstractSet[int] = frozenset()

    def members(self) -> list[ProcessIdentity]:
        """Everyone of the job who lives now, the root last."""
        boot_id = self.root.boot_id
        roots = [self.root.pid] if is_alive(self.root, boot_id) else []
        found: dict[int, ProcessIdentity] = {}
        for pid in [*self._orphans(), *roots]:
            for member in [*descendants(pid), pid]:
                identity = identify(member, boot_id)
                if identity is not None:
                    found.pop(member, None)
                    found[member] = identity
        return list(found.values())

    def is_empty(self) -> bool:
        """Whether nobody of the job lives.

        A process that forks its successor and exits can slip through a look: while it exits it carries no mark any
        more, and its child is still its own. So a look counts only if nobody is exiting, and nobody came or went
        meanwhile, among those who could be the job's.
        """
        for _ in range(_PASSES):
            before = self._strangers()
            if self.members():
                return False
            if not any(map(_is_exiting, before)) and self._strangers() == before:
                return True
        return False

    def signal_all(self, number: int) -> list[int]:
        """Signals every member once; returns the pids that got it."""
        return [member.pid for member in self.members() if send_signal(member, number, self.root.boot_id)]

    def kill(self) -> list[int]:
        """SIGKILL to all: first everyone is stopped, again and again until nobody new appears, then all are killed.

        A stopped process cannot start another, so nobody is born between the look and the kill.
        """
        boot_id = self.root.boot_id
        stopped: set[ProcessIdentity] = set()
        for _ in range(_PASSES):
            fresh = [member for member in self.members() if member not in stopped]
            if not fresh:
                break
            for member in fresh:
                send_signal(member, signal.SIGSTOP, boot_id)
            stopped.update(fresh)
        members = self.members()
        return [member.pid for member in members if send_signal(member, signal.SIGKILL, boot_id)]

    def _orphans(self) -> Iterator[int]:
        """Children of the fork server that carry this job's mark."""
        for pid in self._strangers():
            if carries_mark(pid, self.job_id, self.marker):
                yield pid

    def _strangers(self) -> set[int]:
        """Children of the fork server that were not started for a job."""
        if self.adopter is None or not _ON_LINUX:
            return set()
        return set(_children(self.adopter)) - self.known - {self.root.pid}


def descendants(pid: int) -> Iterator[int]:
    """All below ``pid``, the deepest first."""
    for child in _children(pid):
        yield from descendants(child)
        yield child


def carries_mark(pid: int, job_id: str, marker: str) -> bool:
    """Whether the process inherited the job's flag pipe or its environment variable."""
    return marker in _open_files(pid) or f"{MARK}={job_id}".encode() in _environment(pid)


def server_mark(database: str, clock: Clock) -> str:
    """What all that comes of this server carries as ``SERVER``, by plain forks too: its database, and who it is."""
    me = identify(os.getpid(), clock.boot_id)
    return f"{_name_of_database(database)}:{os.getpid()}:{me.start_ticks if me else 0}"


def left_behind(database: str, job_ids: Iterable[str], clock: Clock) -> set[ProcessIdentity]:
    """Every process on the machine that comes of a dead server of this database, or carries the mark of these jobs."""
    jobs = {f"{MARK}={job_id}".encode() for job_id in job_ids}
    servers = f"{SERVER}={_name_of_database(database)}:".encode()
    found = set()
    for pid in psutil.pids() if _ON_LINUX else []:
        marks = [entry for entry in _environment(pid) if entry.startswith(servers) or entry in jobs]
        identity = identify(pid, clock.boot_id) if marks and pid != os.getpid() else None
        if identity is not None and not any(_is_of_the_living(mark, clock) for mark in marks):
            found.add(identity)
    return found


def _name_of_database(database: str) -> str:
    return hashlib.sha256(database.encode()).hexdigest()[:16]


def _is_of_the_living(mark: bytes, clock: Clock) -> bool:
    """Whether a server's mark is that of a server that lives; a job's mark says nothing of that."""
    if not mark.startswith(SERVER.encode()):
        return False
    _, pid, ticks = mark.decode().split(":")
    return is_alive(ProcessIdentity(int(pid), int(ticks), clock.boot_id), clock.boot_id)


def _is_exiting(pid: int) -> bool:
    """It has given back its memory, and is not yet a zombie: then its children would be its parent's."""
    with contextlib.suppress(OSError):
        return not (_PROC / str(pid) / "cmdline").read_bytes() and _start_ticks(pid) is not None
    return False


def name_of(pid: int) -> str:
    """The process's name, for people; "?" when it is gone."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name()
    return "?"


def _start_ticks(pid: int) -> int | None:
    """When it started; None for nobody, and for a zombie."""
    if not _ON_LINUX:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                return int(process.create_time() * 100)
        return None
    try:
        after_name = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0].decode() in _DEAD else int(after_name[19])


def _children(pid: int) -> list[int]:
    if not _ON_LINUX:
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_bytes().split())
    return found


def _open_files(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(entry.readlink()))
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
