"""Ending with the server: a process started by it must not outlive it."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from multiprocessing import parent_process


def end_with_server(before: Callable[[], object] = lambda: None, meanwhile: Callable[[], bool] = lambda: True) -> None:
    """Starts a thread that waits for the server's end, calls ``before`` and kills this process.

    ``meanwhile``: called about once a second until it says that it is done.

    The parent death signal would not do: under a fork server the parent is the fork server, which lives on.
    """
    server = parent_process()
    if server is None:
        return
    thread = threading.Thread(
        target=_wait, args=(int(server.sentinel), before, meanwhile), name="server-watch", daemon=True
    )
    thread.start()


def leave_signals_to_main() -> None:
    """First line of a thread that the runner has in a job: what a signal writes of the stacks is safe only from the
    thread that runs, and that is as a rule the main one.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})


def _wait(sentinel: int, before: Callable[[], object], meanwhile: Callable[[], bool]) -> None:
    leave_signals_to_main()
    poller = select.poll()
    poller.register(sentinel, select.POLLIN)
    pause_ms = 500 + os.getpid() % 1000  # not all at the same time
    while not poller.poll(pause_ms):
        if meanwhile():
            break
    poller.poll()
    try:
        before()
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
