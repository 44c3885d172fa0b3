"""``JobProcess``: the server's end of one job's process."""

from __future__ import annotations

import contextlib
import json
import multiprocessing.process
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from runner import child
from runner.abort import AbortBell
from runner.clock import Clock
from runner.context import Run
from runner.job import JsonDict, ProcessIdentity
from runner.tree import SERVER, JobTree, identify, is_alive

PRELOAD_WORKFLOWS = "RUNNER_PRELOAD_WORKFLOWS"
"""The environment variable that tells the fork server which modules of workflows to load; never anything secret."""


_ours: set[int] = set()
"""The pids of all processes started here and not yet collected."""


class JobProcess:
    """One ``multiprocessing.Process``, its abort flag and its control pipe. Given at most one job.

    Born idle: the flag goes to a process only at its birth, the job comes later by the control pipe.
    """

    def __init__(self, context: ForkServerContext, shared: Any, clock: Clock) -> None:
        self._clock = clock
        self.bell = AbortBell(context)
        self.control, theirs = context.Pipe(duplex=True)
        arguments = (theirs, self.bell.flag, shared)
        self._process = context.Process(target=child.main, args=arguments, name="job", daemon=False)
        self._process.start()
        _leave_to_us(self._process)
        theirs.close()
        self.bell.forget_child_end()
        self.adopter: int | None = None
        self.preloaded: bool | None = None
        self.hung_up = False
        pid = int(self._process.pid or 0)
        _ours.add(pid)
        self.identity = identify(pid, clock.boot_id) or ProcessIdentity(pid, -1, clock.boot_id)

    @property
    def sentinel(self) -> int:
        return self._process.sentinel

    def hand_over(self, run: Run, settings: JsonDict) -> None:
        """Gives the process its job. OSError when it is gone: another process can have the job."""
        self.control.send_bytes(json.dumps({"run": vars(run), "settings": settings}).encode())

    def messages(self) -> Iterator[JsonDict]:
        """What the process has said since last asked. ``hung_up`` is set once it has closed its end."""
        try:
            while not self.hung_up and self.control.poll():
                yield self._noted(json.loads(self.control.recv_bytes()))
        except (EOFError, OSError):
            self.hung_up = True

    def _noted(self, message: JsonDict) -> JsonDict:
        self.preloaded = message.get("ready", self.preloaded)
        self.adopter = message.get("parent", self.adopter)
        return message

    def is_alive(self) -> bool:
        """By pid and start time; a fork server that died makes sentinels lie."""
        return is_alive(self.identity, self._clock.boot_id)

    def exit_code(self) -> int | None:
        """Negative: the number of the signal that ended it. None while unknown."""
        return self._process.exitcode

    def in_words(self) -> str:
        """How the process ended, for people."""
        code = self.exit_code()
        if code is None or code == 255:
            return "its process is gone"
        if code < 0:
            return f"its process was killed by {_signal_name(-code)}"
        return f"its process exited with code {code} without an end"

    def tree(self, job_id: str) -> JobTree:
        return JobTree(self.identity, job_id, self.bell.marker, self.adopter, _ours)

    def send_away(self) -> None:
        """Tells a process that there will be no job. Its pipe stays open: the loop still listens to it."""
        with contextlib.suppress(OSError):
            self.control.send_bytes(b"null")

    def dismiss(self) -> None:
        """Ends a process that has no job and is not watched: it exits when its control pipe closes."""
        self.control.close()
        self.bell.close()

    def close(self) -> None:
        """Collects a process that is gone and gives back its file descriptors."""
        for end in (self.control, self.bell):
            with contextlib.suppress(OSError):
                end.close()
        self._process.join(timeout=0)
        _ours.discard(self.identity.pid)
        with contextlib.suppress(ValueError):
            self._process.close()


def also_ours(pid: int | None) -> None:
    """A child of the fork server that is no job's orphan."""
    if pid is not None:
        _ours.add(pid)


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


def raise_file_limit() -> int:
    """Raises this process's soft limit of open files to the hard one; returns it. Before the fork server starts.

    At its limit the fork server dies, and every running job would look dead while it lives.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def start_fork_server(context: ForkServerContext, workflow_modules: Sequence[str], mark: str) -> None:
    """Starts the fork server with what jobs need; only from the main thread, before other threads block signals.

    ``mark``: ``server_mark`` of this server, by which a later one finds what this one leaves behind.
    """
    os.environ[SERVER] = mark
    os.environ[PRELOAD_WORKFLOWS] = ",".join(workflow_modules)
    context.set_forkserver_preload(["runner.preload"])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
