"""``JobProcess``: the server's end of one job's process."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing.process
import os
import signal
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from runner import child
from runner.abort import AbortBell
from runner.clock import Clock
from runner.containment import Containment, Place
from runner.context import Run
from runner.control import ControlPipe
from runner.fork_server import collect, collect_sessions, fork_server_pid, start_born
from runner.job import JsonDict, ProcessIdentity
from runner.outlets import open_outlets
from runner.output import Output
from runner.postmortem import PostMortem
from runner.proc import descendants
from runner.tree import JobTree, carries_mark, containment, identify, is_alive

log = logging.getLogger(__name__)
LOG_LINES = 200
"""How much of what a job printed stands in its post-mortem."""

_ours: set[int] = set()
"""The pids of all processes started here and not yet collected."""

_dismissed: list[ProcessIdentity] = []
"""Who was told to end, and is watched by nobody."""

_left_sessions: deque[int] = deque(maxlen=100)
"""The last sessions of jobs whose fork server had died: who was exiting when his job was proved gone is dead later."""


class JobProcess:
    """One ``multiprocessing.Process``, its abort flag and its control pipe. Given at most one job.

    Born idle: the flag goes to a process only at its birth, the job comes later by the control pipe.
    """

    preloaded: bool | None = None
    _told_rung: str | None = None
    _code: int | None = None
    _is_closed = False

    def __init__(
        self, context: ForkServerContext, shared: Any, clock: Clock, held_by: Containment | None = None
    ) -> None:
        _collect_dismissed()
        self._clock, self._held_by = clock, held_by
        self.bell = AbortBell(context)
        ours, theirs = context.Pipe(duplex=True)
        self.control = ControlPipe(ours)
        output, stacks, outlets = open_outlets()
        self._place = held_by.place() if held_by is not None else Place(containment())  # nothing fails unseen after it
        arguments = (theirs, self.bell.flag, shared, self._place, outlets)
        self._process = context.Process(target=child.main, args=arguments, name="job", daemon=False)
        try:
            self._adopter = start_born(self._process, clock.boot_id)
        except BaseException:
            self._give_up_birth(theirs, output, stacks)
            raise
        finally:
            outlets.close()
        _leave_to_us(self._process)
        theirs.close()
        self.bell.forget_child_end()
        self._sessions: set[int] = set()
        pid = int(self._process.pid or 0)
        _ours.add(pid)
        self.identity = _identity_of(pid, clock.boot_id)
        self._output = Output(output, pid)
        self._post_mortem = PostMortem(stacks, self.identity, self._adopter.pid if self._adopter else None, clock)

    @property
    def sentinel(self) -> int:
        return self._process.sentinel

    def hand_over(self, run: Run, settings: JsonDict) -> None:
        """Gives the process its job. OSError when it is gone: another process can have the job."""
        self._output.belongs_to(run.job_id)
        self.control.send(json.dumps({"run": vars(run), "settings": settings}).encode())

    def messages(self, *, to_the_last: bool = False) -> Iterator[JsonDict]:
        """What the process has said since last asked; of one that is gone, all."""
        now = self._clock.boot_seconds()
        found = self.control.receive_rest(now) if to_the_last else self.control.receive(now)
        return map(self._noted, found)

    @property
    def hung_up(self) -> bool:
        """It has closed its end, or was hung up on."""
        return self.control.hung_up

    @property
    def fault(self) -> str | None:
        """Why it was hung up on, in words."""
        return self.control.fault

    @property
    def overdue_at(self) -> float | None:
        """When half a message that it has sent should be whole, in boot seconds."""
        return self.control.overdue_at

    def _noted(self, message: JsonDict) -> JsonDict:
        self.preloaded = message.get("ready", self.preloaded)
        self._told_rung = message.get("held", self._told_rung)
        return message

    @property
    def containment(self) -> str:
        """How it is held: cgroup, subreaper or psutil. Before it has said so, what it has for certain."""
        return self._told_rung or ("psutil" if self._place.rung == "psutil" else containment())

    def is_alive(self) -> bool:
        """By pid and start time; a fork server that died makes sentinels lie."""
        return is_alive(self.identity, self._clock.boot_id)

    def exit_code(self) -> int | None:
        """Negative: the number of the signal that ended it. None while unknown."""
        code = self._code if self._is_closed else self._process.exitcode
        if code in (None, 255) and self._code is None:
            self._code = collect(self.identity)  # it had come to us when the fork server died
        return code if self._code is None else self._code

    def in_words(self) -> str:
        """How the process ended, for people."""
        code = self.exit_code()
        if code is None or code == 255:
            return "its process is gone"
        if code < 0:
            return f"its process was killed by {_signal_name(-code)}"
        return f"its process exited with code {code} without an end"

    def tree(self, job_id: str) -> JobTree:
        collect_sessions(self._sessions, but=_ours)
        return JobTree(
            self.identity,
            job_id,
            self.bell.marker,
            self._adopter,
            _ours,
            by_psutil=self.containment == "psutil",
            cgroup=self._place.cgroup if self.containment == "cgroup" else None,
            sessions=self._sessions,
        )

    def examine(self) -> None:
        """Looks at the process and asks it for its Python stacks, some time before it is ended. Never blocks."""
        self._post_mortem.examine()

    def post_mortem(self) -> JsonDict | None:
        """All that is known by now; None unless it was examined or died of a fatal signal. Also after ``close``.

        Never raises: no job stays claimed because of what is said of it.
        """
        try:
            return self._post_mortem.known(self.exit_code(), self.log_tail)
        except Exception:
            log.exception("What is known of process %d could not be put together", self.identity.pid)
            return self._post_mortem.least(self.log_tail)

    def log_tail(self, lines: int = LOG_LINES) -> list[str]:
        """The last lines that it and all below it have printed. Also after ``close``."""
        return self._output.tail(lines)

    def _give_up_birth(self, theirs: Connection, *files: int) -> None:
        """The fork server died meanwhile. It may have forked before that: who has our pipe is told to end.

        The files go first: without a free descriptor nobody could be looked for.
        """
        for file in files:
            os.close(file)
        try:
            for pid in descendants(os.getpid()):
                found = identify(pid, self._clock.boot_id) if carries_mark(pid, "", self.bell.marker) else None
                if found is not None and pid != fork_server_pid():
                    _ours.add(pid)
                    _dismissed.append(found)
        finally:
            for end in (theirs, self.bell, self.control):
                end.close()
            self.bell.forget_child_end()
            if self._held_by is not None:
                self._held_by.leave(self._place)

    def send_away(self) -> None:
        """Tells a process that there will be no job. Its pipe stays open: the loop still listens to it."""
        with contextlib.suppress(OSError):
            self.control.send(b"null")

    def dismiss(self) -> None:
        """Ends a process that is not watched any more: it exits when its control pipe closes, unless it has a job."""
        self.control.close()
        self.bell.close()
        self._output.close()
        self._post_mortem.close()
        _dismissed.append(self.identity)
        _left_sessions.extend(self._sessions)
        if self._held_by is not None:
            self._held_by.leave(self._place)

    def close(self) -> None:
        """Collects a process that is gone and gives back its file descriptors."""
        for end in (self.control, self.bell, self._output, self._post_mortem):
            with contextlib.suppress(OSError):
                end.close()
        self._process.join(timeout=0)
        self._code, self._is_closed = self.exit_code(), True
        collect_sessions(self._sessions, but=_ours)
        _left_sessions.extend(self._sessions)
        _ours.discard(self.identity.pid)
        if self._held_by is not None:
            self._held_by.leave(self._place)
        with contextlib.suppress(ValueError):
            self._process.close()


def _identity_of(pid: int, boot_id: str) -> ProcessIdentity:
    """Of a process just born. One that is gone, or cannot be looked at now, counts as gone: with its pipe it ends."""
    with contextlib.suppress(OSError):
        if (found := identify(pid, boot_id)) is not None:
            return found
    return ProcessIdentity(pid, -1, boot_id)


def also_ours(pid: int) -> None:
    """A child of the fork server that is no job's orphan."""
    _ours.add(pid)


def ours_no_more(pid: int) -> None:
    """It is gone, or about to be: an orphan may have its pid next."""
    dying = identify(pid, Clock().boot_id)
    if dying is not None:
        _dismissed.append(dying)
        return
    collect(ProcessIdentity(pid, -1, ""))
    _ours.discard(pid)


def _collect_dismissed() -> None:
    """The fork server collects its own; those of one that died have come to us."""
    for process in tuple(_dismissed):
        if not is_alive(process, process.boot_id):
            collect(process)
            _ours.discard(process.pid)
            _dismissed.remove(process)
    collect_sessions(set(_left_sessions), but=_ours)


def _leave_to_us(process: BaseProcess) -> None:
    """Takes it off multiprocessing's own list.

    Each start polls whatever is on that list, from the thread that starts. Two threads that poll one process at the
    same time lose its exit code, or read from a descriptor that is something else by now. And at its exit the server
    would wait for every job on it.
    """
    getattr(multiprocessing.process, "_children", set()).discard(process)


def _signal_name(number: int) -> str:
    """Real-time signals have no names of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
