"""The fork server: started with what jobs need, and started again when it has died.

When it dies, whatever it had started lives on. Nobody tells us any more when one of them ends, so (pid, start time) is
asked; and this server, as a child subreaper, becomes their parent: it collects them by pid, since others here have
children of their own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from runner.job import ProcessIdentity
from runner.proc import ON_LINUX, children, stat_of
from runner.tree import SERVER, become_subreaper, identify

PRELOAD_WORKFLOWS = "RUNNER_PRELOAD_WORKFLOWS"
"""The environment variable that tells the fork server which modules of workflows to load; never anything secret."""


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
    """Starts it with what jobs need; only from the main thread, before other threads block signals.

    ``mark``: ``server_mark`` of this server, by which a later one finds what this one leaves behind.
    """
    os.environ[SERVER] = mark
    os.environ[PRELOAD_WORKFLOWS] = ",".join(workflow_modules)
    context.set_forkserver_preload(["runner.preload"])
    become_subreaper()
    _ensure_running()


def start_born(process: BaseProcess, boot_id: str) -> ProcessIdentity | None:
    """Starts a process below the fork server, which is started anew if it has died; returns who the fork server is.

    From any thread. Raises whatever a fork server that dies meanwhile makes of it: OSError, EOFError and others.
    """
    _ensure_running()
    process.start()
    pid = fork_server_pid()
    return (identify(pid, boot_id) or ProcessIdentity(pid, -1, boot_id)) if pid else None


def fork_server_pid() -> int | None:
    """Of the one that was started last; it may be dead."""
    found: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    return found


def _ensure_running() -> None:
    """SIGINT is blocked meanwhile: a new one, born with that, is not interrupted before its preload ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def collect(process: ProcessIdentity) -> int | None:
    """The exit code of this very process, if it is dead and our own child; it is no zombie any more then. Else None."""
    stat = stat_of(process.pid) if ON_LINUX else None
    if stat is None or not stat.is_dead or stat.parent != os.getpid():
        return None
    return _wait(process.pid) if process.start_ticks in (stat.ticks, -1) else None


def collect_sessions(sessions: AbstractSet[int], but: AbstractSet[int]) -> None:
    """Collects our dead children that belong to these sessions of jobs, except those in ``but``."""
    for pid in children(os.getpid()) if ON_LINUX and sessions else []:
        stat = stat_of(pid) if pid not in but else None
        if stat is not None and stat.is_dead and stat.session in sessions:
            _wait(pid)


def _wait(pid: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    return None
