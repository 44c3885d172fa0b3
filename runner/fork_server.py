"""The fork server: started with what jobs need, and started again when it has died.

When it dies, whatever it had started lives on. Nobody tells us any more when one of them ends, so (pid, start time) is
asked; and this server, as a child subreaper, becomes their parent: it collects them by pid, since others here have
children of their own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from multiprocessing import forkserver, util
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess, current_process
from pathlib import Path

from runner.births import BIRTHS
from runner.clock import Clock
from runner.job import ProcessIdentity
from runner.output import Output
from runner.proc import ON_LINUX, children, start_ticks, stat_of
from runner.sockets import make_folder
from runner.tree import SERVER, become_subreaper, identify, send_signal

log = logging.getLogger(__name__)

PRELOAD_WORKFLOWS = "RUNNER_PRELOAD_WORKFLOWS"
"""The environment variable that tells the fork server which modules of workflows to load; never anything secret."""

_END_SECONDS = 1.0
_PRELOAD = "runner.preload"
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from multiprocessing.forkserver import main; main({listener}, {alive}, {load!r})"
)
"""With this process's path, so that a module means the same in a job; -c alone looks in the current folder first."""


class _Launched:
    """How a fork server is started, and the last one that was. multiprocessing is told of it in ``_launch`` alone."""

    marks: dict[str, str]
    folder: Path | None = None
    program: subprocess.Popen[bytes] | None = None
    identity: ProcessIdentity | None = None
    output: Output | None = None

    def __init__(self) -> None:
        self.marks = {}
        self.lock = threading.Lock()

    def is_running(self) -> bool:
        """Whether it lives, and can be reached: a socket that is gone never comes back."""
        if self.program is None or self.program.poll() is not None or start_ticks(self.program.pid) is None:
            return False
        address: str | None = getattr(forkserver._forkserver, "_forkserver_address", None)
        return address is not None and os.path.exists(address)  # noqa: PTH110 - asked for at each birth

    def end(self) -> None:
        """By pid and start time; what it has started lives on. Collects it, unless the system cannot end it now."""
        if self.identity is not None and self.program is not None:
            send_signal(self.identity, signal.SIGKILL, self.identity.boot_id)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.program.wait(_END_SECONDS)


_server = _Launched()


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


def start_fork_server(
    context: ForkServerContext, workflow_modules: Sequence[str], mark: str, folder: Path | None = None
) -> None:
    """Starts it with what jobs need; only from the main thread, before other threads block signals.

    ``mark``: ``server_mark`` of this server, by which a later one finds what this one leaves behind. ``folder``: for
    its sockets and for those that jobs make by multiprocessing. Whoever starts a process below the fork server from
    here on, and finds it dead, starts the next one with the same.
    """
    _server.marks.update({SERVER: mark, PRELOAD_WORKFLOWS: ",".join(workflow_modules)})
    if folder is not None:
        _server.folder = folder
        current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
    context.set_forkserver_preload([_PRELOAD])
    forkserver._forkserver.ensure_running = _ensure_running  # type: ignore[method-assign]
    become_subreaper()
    _ensure_running()


def start_born(process: BaseProcess, boot_id: str) -> ProcessIdentity | None:
    """Starts a process below the fork server, which is started anew if it has died; returns who the fork server is.

    From any thread. Raises whatever a fork server that dies meanwhile makes of it: OSError, EOFError and others.
    """
    with BIRTHS.attempt():
        _stand_somewhere()
        _ensure_running()
        process.start()
    pid = fork_server_pid()
    return (identify(pid, boot_id) or ProcessIdentity(pid, -1, boot_id)) if pid else None


def fork_server_pid() -> int | None:
    """Of the one that was started last; it may be dead."""
    return _server.program.pid if _server.program is not None else None


def replace_fork_server(why: str) -> None:
    """Ends the one that was started last, since it bears nobody: the next birth, or the one that waits for it, starts
    another.
    """
    log.error("The fork server (process %s) %s; another one takes its place", fork_server_pid(), why)
    _server.end()


def _stand_somewhere() -> None:
    """A process is born in the current folder of this one: where that is gone, both go on in the one of the sockets."""
    try:
        os.chdir(os.getcwd())  # noqa: PTH109
    except OSError:
        folder = _server.folder or Path("/")
        log.warning("The current folder is gone; the server and its jobs go on in %s", folder)
        os.chdir(folder)


def _ensure_running() -> None:
    with _server.lock:
        if _server.is_running():
            return
        _server.end()
        _launch()


def _launch() -> None:
    """What multiprocessing does there; but its socket lies in our folder, its path is ours, its marks are in its
    environment alone, and what it says goes the way of the jobs' output.

    SIGINT is blocked meanwhile: one that is born with that is not interrupted before its preload ignores it.
    """
    folder = _server.folder or Path(util.get_temp_dir())
    make_folder(folder)
    known = forkserver._forkserver
    address = str(folder / f"fork-{secrets.token_hex(3)}")
    with contextlib.ExitStack() as undo, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        undo.callback(os.unlink, address)
        listener.listen()
        alive_out, alive_in = os.pipe()
        undo.callback(os.close, alive_in)
        output, into_output = os.pipe()
        undo.callback(os.close, output)
        try:
            program = _begin(listener.fileno(), alive_out, into_output)
        finally:
            os.close(alive_out)
            os.close(into_output)
        undo.pop_all()
    _forget_former(known)
    known._forkserver_address = address  # type: ignore[attr-defined]
    known._forkserver_alive_fd = alive_in  # type: ignore[attr-defined]
    known._forkserver_pid = program.pid  # type: ignore[attr-defined]
    _server.program, _server.identity = program, identify(program.pid, Clock().boot_id)
    _server.output = Output(output, program.pid)


def _begin(listener: int, alive: int, output: int) -> subprocess.Popen[bytes]:
    program = _PROGRAM.format(
        path=[name or os.curdir for name in sys.path], listener=listener, alive=alive, load=[_PRELOAD]
    )
    flags: list[str] = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            [sys.executable, *flags, *([] if "-P" in flags or "-I" in flags else ["-P"]), "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(listener, alive),
            env=os.environ | _server.marks,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget_former(known: object) -> None:
    """Its pipe is closed, by which it would end if it still lived, once nobody it has started lives."""
    alive: int | None = getattr(known, "_forkserver_alive_fd", None)
    if alive is not None:
        os.close(alive)
    if _server.output is not None:
        _server.output.close()
        _server.output = None
    address = getattr(known, "_forkserver_address", None)
    if address:
        with contextlib.suppress(OSError):
            os.unlink(address)  # noqa: PTH108


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
