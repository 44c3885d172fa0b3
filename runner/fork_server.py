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
import threading
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from runner.job import ProcessIdentity
from runner.proc import ON_LINUX, children, start_ticks, stat_of
from runner.tree import SERVER, become_subreaper, identify

PRELOAD_WORKFLOWS = "RUNNER_PRELOAD_WORKFLOWS"
"""The environment variable that tells the fork server which modules of workflows to load; never anything secret."""

_marks: dict[str, str] = {}
_launch = threading.Lock()


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

    ``mark``: ``server_mark`` of this server, by which a later one finds what this one leaves behind. Whoever starts a
    process below the fork server from here on, and finds it dead, starts the next one with the same.
    """
    _marks.update({SERVER: mark, PRELOAD_WORKFLOWS: ",".join(workflow_modules)})
    context.set_forkserver_preload(["runner.preload"])
    forkserver._forkserver.ensure_running = _ensure_running  # type: ignore[method-assign]
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
    with _launch:
        if _is_running():
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _marked():
                forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_running() -> bool:
    pid = fork_server_pid()
    return pid is not None and start_ticks(pid) is not None


@contextlib.contextmanager
def _marked() -> Iterator[None]:
    """Only while a fork server is launched: what else this process starts is not the runner's, and not its to end."""
    before = {name: os.environ.get(name) for name in _marks}
    os.environ.update(_marks)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def collect(process: ProcessIdentity) -> int | None:
    """The exit code of this very process, if it is dead and our own child; it is no zombie any more then. Else None."""
    stat = stat_of(process.pid) if ON_LINUX else None
    if stat is None or not stat.is_dead or stat.parent != os.getpid():
        return None
    return _wait(process.pid) if process.start_ticks in (stat.ticks, -1) else None


def collect_sessions(sessions: AbstractSet[int], but: AbstractSet[int]) -> None:
    """Collects our dead children that belong to these sessions of jobs, except those in ``but``.

    Out of descriptors, none: they wait for the next time.
    """
    with contextlib.suppress(OSError):
        for pid in children(os.getpid()) if ON_LINUX and sessions else []:
            stat = stat_of(pid) if pid not in but else None
            if stat is not None and stat.is_dead and stat.session in sessions:
                _wait(pid)


def _wait(pid: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    return None
