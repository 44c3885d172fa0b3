"""What a job's process has to speak by beside its control pipe: its output, and a file for its Python stacks.

The stacks are written by ``faulthandler`` alone, which needs neither the interpreter's lock nor memory. They go to a
file that has no name: a pipe that is full would cut them, and the main thread comes last.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.reduction import DupFd
from typing import Any, TextIO

_ON_LINUX = sys.platform.startswith("linux")

STACKS_SIGNAL = signal.SIGQUIT
"""Kept for the runner: it asks a job's process for its stacks, and changes nothing in it."""


class Outlets:
    """The process's end; goes to it at its birth."""

    def __init__(self, output: int, stacks: int) -> None:
        self._output, self._stacks = output, stacks

    def __reduce__(self) -> tuple[Any, tuple[Any, Any]]:
        return _received, (DupFd(self._output), DupFd(self._stacks))

    def take(self) -> None:
        """The process's own first act: all it prints, and all that those below it print, goes to the server.

        SIGTERM writes the stacks too before it ends the process as ever: one that was suspended gets it together with
        the question, and would be gone before it has answered.
        """
        for target in (1, 2):
            os.dup2(self._output, target)
        if self._output > 2:
            os.close(self._output)
        sys.stdout, sys.stderr = _by_lines(sys.stdout, 1), _by_lines(sys.stderr, 2)
        faulthandler.enable(file=self._stacks)
        faulthandler.register(STACKS_SIGNAL, file=self._stacks)
        faulthandler.register(signal.SIGTERM, file=self._stacks, chain=True)
        os.register_at_fork(after_in_child=_silence_of(self._stacks))

    def close(self) -> None:
        """The server's copies, once the process has its own."""
        os.close(self._output)
        os.close(self._stacks)


def open_outlets() -> tuple[int, int, Outlets]:
    """The server's ends, of the output and of the file for stacks, and the process's."""
    with contextlib.ExitStack() as undo:
        output, into_output = os.pipe()
        undo.callback(os.close, output)
        undo.callback(os.close, into_output)
        stacks = _file_without_name()
        undo.callback(os.close, stacks)
        outlets = Outlets(into_output, os.dup(stacks))
        undo.pop_all()
        return output, stacks, outlets


def _file_without_name() -> int:
    """A file that is gone when the last process that holds it is."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stacks")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _received(output: Any, stacks: Any) -> Outlets:
    return Outlets(output.detach(), stacks.detach())


def _by_lines(stream: Any, descriptor: int) -> TextIO:
    """Line by line, so that what was printed is out before a kill. A server started without streams has none."""
    if stream is None:
        return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    with contextlib.suppress(AttributeError, ValueError):  # a workflow's module has replaced or closed it
        stream.reconfigure(line_buffering=True)
    found: TextIO = stream
    return found


def _silence_of(stacks: int) -> Callable[[], None]:
    """For a process forked by the job, which is not the job: its stacks must not be taken for the job's.

    They go nowhere, and nothing else changes: to unregister would take the job's own way with SIGTERM from it.
    """
    nowhere, file = os.open(os.devnull, os.O_WRONLY), os.fstat(stacks)

    def fall_silent() -> None:
        with contextlib.suppress(OSError):  # the job has closed it; or has something else of its own there
            if os.path.samestat(os.fstat(stacks), file):
                os.dup2(nowhere, stacks, inheritable=False)

    return fall_silent
