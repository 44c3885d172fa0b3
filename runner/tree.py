"""The process tree of one job: find it, stop it, kill it, prove that it is empty.

On Linux each job, the fork server above it and the server itself are *child subreapers*: what a job leaves behind
lands below the job while it lives and below the fork server after it, or below the server when that is dead too.
Whose it is, is told by a mark that every process of the job inherits: the abort flag's pipe (kept by a plain fork) or
an environment variable (kept by an exec). Where a cgroup can be had, it holds them as well, also without a mark, and
kills them at once; but who may write to another cgroup can move there, so it proves nothing alone. Elsewhere psutil
finds what hangs together by parentage; what a job moved out of its tree there is not found.

None of it takes an error for nobody: what cannot be told goes up as OSError, and whoever asked asks again.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import psutil
from sqlalchemy import make_url

from runner.cgroup import Cgroup
from runner.clock import Clock
from runner.job import ProcessIdentity
from runner.proc import ON_LINUX, children, descendants, environment, is_exiting, open_files, start_ticks, stat_of

MARK = "RUNNER_JOB"
"""The environment variable that names the job in each process that its processes start."""

SERVER = "RUNNER_SERVER"
"""The environment variable that names the server in each process that comes of it."""

_OF_SERVER = re.compile(SERVER.encode() + rb"=(?P<database>[0-9a-f]{16}):(?P<pid>[0-9]{1,20}):(?P<ticks>[0-9]{1,20})")
_SECRETS = ("password", "sslpassword")
_PR_SET_CHILD_SUBREAPER = 36
_PASSES = 200


def become_subreaper() -> bool:
    """Orphans among this process's descendants become its children. False where the system has no such thing."""
    if not ON_LINUX:
        return False
    return bool(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


@functools.cache
def _libc() -> ctypes.CDLL:
    """Made in the fork server, so that each job has it for nothing: it takes a third of a megabyte."""
    return ctypes.CDLL(None, use_errno=True)


def containment() -> str:
    """How a job's tree is held together here."""
    return "subreaper" if ON_LINUX else "psutil"


def identify(pid: int, boot_id: str) -> ProcessIdentity | None:
    """The living process with this pid; None when there is none (a zombie is not living)."""
    ticks = start_ticks(pid)
    return None if ticks is None else ProcessIdentity(pid, ticks, boot_id)


def is_alive(process: ProcessIdentity, boot_id: str) -> bool:
    """Whether this very process lives: not a later one with its pid, not a zombie, not of another boot."""
    return process.boot_id == boot_id and start_ticks(process.pid) == process.start_ticks


def send_signal(process: ProcessIdentity, number: int, boot_id: str) -> bool:
    """Signals this very process, never a later one with its pid; False when it is gone or not ours to signal."""
    if not ON_LINUX:
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
    """All processes of one job. ``marker``: the flag's pipe; ``adopter``: the fork server it was born of, or None.

    ``known``: the processes of jobs and standbys; any other child of an adopter is somebody's orphan. ``cgroup``: only
    one that the root has joined. ``sessions``: where those of the members are noted once the fork server is dead.
    """

    root: ProcessIdentity
    job_id: str
    marker: str
    adopter: ProcessIdentity | None
    known: AbstractSet[int] = frozenset()
    by_psutil: bool = not ON_LINUX
    cgroup: Cgroup | None = None
    sessions: set[int] = field(default_factory=set)

    def members(self) -> list[ProcessIdentity]:
        """Everyone of the job who lives now, the root last."""
        return self._members_among(self._strangers()[1])

    def _members_among(self, strangers: Iterable[int]) -> list[ProcessIdentity]:
        boot_id = self.root.boot_id
        roots = [self.root.pid] if is_alive(self.root, boot_id) else []
        found: dict[int, ProcessIdentity] = {}
        for pid in [*self._held(), *self._walk([*self._orphans(strangers), *roots])]:
            identity = identify(pid, boot_id)
            if identity is not None:
                found.pop(pid, None)
                found[pid] = identity
        self._note_sessions(found)
        return list(found.values())

    def is_empty(self) -> bool:
        """Whether nobody of the job lives.

        A process that forks its successor and exits can slip through a look: while it exits it carries no mark any
        more, and its child is still its own. So a look counts only if nobody is exiting, and nobody came or went
        meanwhile, among those who could be the job's. A cgroup says besides, by itself, whether anyone is in it, on
        his way or not, marked or not; whoever has moved to another one is found by the look alone.
        """
        for _ in range(_PASSES):
            before = self._strangers()
            if self._members_among(before[1]):
                return False
            is_still = not any(map(is_exiting, before[1])) and self._strangers() == before
            if is_still and not (self.cgroup is not None and self.cgroup.is_populated()):
                return True
        return False

    def signal_all(self, number: int) -> list[int]:
        """Signals every member once; returns the pids that got it."""
        return [member.pid for member in self.members() if send_signal(member, number, self.root.boot_id)]

    def kill(self) -> list[int]:
        """SIGKILL to all; returns the pids that got it. Nobody is born between the look and the kill."""
        killed = self._kill_cgroup()
        return [member.pid for member in [*killed, *self._kill_stopped(killed)]]

    def _kill_cgroup(self) -> list[ProcessIdentity]:
        """All in the cgroup at once. Where somebody comes or goes it is frozen for the look, so that they are those who
        are killed; else it is not: a server that dies meanwhile would leave them frozen until the next start.

        The kernel passes over a process whose first thread has ended while another lives on; by its pid it dies too.
        """
        if self.cgroup is None or not self.cgroup.is_populated():
            return []
        try:
            members = self._members_to_kill(self.cgroup)
            killed = members if self.cgroup.kill() else []
            for member in killed:
                send_signal(member, signal.SIGKILL, self.root.boot_id)
        finally:
            self.cgroup.thaw()
        return killed

    def _members_to_kill(self, cgroup: Cgroup) -> list[ProcessIdentity]:
        try:
            members, is_still = self._look_into(cgroup)
            if not is_still:
                cgroup.freeze()
                members, _ = self._look_into(cgroup)
        except OSError:  # it can be killed all the same, without receipts
            return []
        return members

    def _look_into(self, cgroup: Cgroup) -> tuple[list[ProcessIdentity], bool]:
        """Who is in it, and whether nobody came or went meanwhile."""
        held = set(cgroup.pids())
        members = [member for member in self.members() if member.pid in held]
        return members, {member.pid for member in members} == held == set(cgroup.pids())

    def _kill_stopped(self, killed: Sequence[ProcessIdentity]) -> list[ProcessIdentity]:
        """The others, one by one. First everyone is stopped, again and again until nobody new appears, then all are
        killed: a stopped process cannot start another.
        """
        boot_id = self.root.boot_id
        stopped = set(killed)
        for _ in range(_PASSES):
            fresh = [member for member in self.members() if member not in stopped]
            if not fresh:
                break
            for member in fresh:
                send_signal(member, signal.SIGSTOP, boot_id)
            stopped.update(fresh)
        left = [member for member in self.members() if member not in killed]
        return [member for member in left if send_signal(member, signal.SIGKILL, boot_id)]

    def _held(self) -> list[int]:
        return self.cgroup.pids() if self.cgroup is not None else []

    def _walk(self, tops: Iterable[int]) -> Iterator[int]:
        for pid in tops:
            yield from descendants(pid, by_psutil=self.by_psutil)
            yield pid

    def _orphans(self, strangers: Iterable[int]) -> Iterator[int]:
        """Those of the strangers that carry this job's mark."""
        return (pid for pid in strangers if carries_mark(pid, self.job_id, self.marker))

    def _strangers(self) -> tuple[int, set[int]]:
        """To whom the job's orphans come, and its children that were not started for a job.

        The kernel leaves one out when another is collected in the middle of the list, so it is asked until it says the
        same twice.
        """
        if self.adopter is None or self.by_psutil:
            return 0, set()
        adopter = os.getpid() if self._is_fallen() else self.adopter.pid
        found = set(children(adopter))
        for _ in range(_PASSES):
            before, found = found, set(children(adopter))
            if before == found:
                break
        return adopter, found - self.known - {self.root.pid}

    def _is_fallen(self) -> bool:
        """The fork server is dead, and what was below it has come to this server."""
        return self.adopter is not None and not is_alive(self.adopter, self.root.boot_id)

    def _note_sessions(self, members: Iterable[int]) -> None:
        """A zombie has no mark any more, but it still has its session: by that it is known as the job's."""
        if not self.by_psutil and self._is_fallen():
            stats = filter(None, map(stat_of, members))
            self.sessions.update({self.root.pid, *(stat.session for stat in stats)} - {os.getsid(0)})


def carries_mark(pid: int, job_id: str, marker: str) -> bool:
    """Whether the process inherited the job's flag pipe or its environment variable."""
    return marker in open_files(pid) or f"{MARK}={job_id}".encode() in environment(pid)


def server_mark(database: str, clock: Clock) -> str:
    """What all that comes of this server carries as ``SERVER``, by plain forks too: its database, and who it is."""
    me = identify(os.getpid(), clock.boot_id)
    return f"{name_of_database(database)}:{os.getpid()}:{me.start_ticks if me else 0}"


def left_behind(database: str, job_ids: Iterable[str], clock: Clock) -> set[ProcessIdentity]:
    """Every process on the machine that comes of a dead server of this database, or carries the mark of these jobs."""
    jobs = {f"{MARK}={job_id}".encode() for job_id in job_ids}
    name = name_of_database(database)
    found = set()
    for pid in psutil.pids() if ON_LINUX else []:
        entries = environment(pid)
        servers = _servers_in(entries, name, clock)
        if pid == os.getpid() or not (servers or jobs.intersection(entries)):
            continue
        identity = identify(pid, clock.boot_id)
        if identity is not None and not any(is_alive(server, clock.boot_id) for server in servers):
            found.add(identity)
    return found


def _servers_in(entries: Iterable[bytes], database: str, clock: Clock) -> list[ProcessIdentity]:
    """The servers of this database that an environment names. What is no such mark says nothing: anybody can set it."""
    marks = filter(None, map(_OF_SERVER.fullmatch, entries))
    return [
        ProcessIdentity(int(mark["pid"]), int(mark["ticks"]), clock.boot_id)
        for mark in marks
        if mark["database"].decode() == database
    ]


def name_of_database(database: str) -> str:
    """Tells one database from another. Without its password: the name is for all to see, who could try words on it."""
    url = make_url(database).difference_update_query(_SECRETS)._replace(password=None)
    return hashlib.sha256(url.render_as_string(hide_password=False).encode()).hexdigest()[:16]


def _kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
