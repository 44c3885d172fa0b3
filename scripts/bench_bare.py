"""The bare limits: what the operating system and Python take for the same, with no store and no API."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

EMPTY_SERVER = (
    "import sys; from waitress import serve; "
    "app = lambda e, s: (s('202 Accepted', [('Content-Length', '0')]), [b''])[1]; "
    "serve(app, host='127.0.0.1', port=int(sys.argv[1]), threads=16, asyncore_use_poll=True)"
)


def stand_by(pipe: Connection) -> None:
    """A process that stands by, gets its job and says when."""
    pipe.send_bytes(b"ready")
    pipe.recv_bytes()
    pipe.send(time.monotonic_ns())


def nothing() -> None:
    """A job that does nothing."""


def context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["runner.preload"])
    return found


def hand_over(start: ForkServerContext, count: int) -> list[float]:
    """Milliseconds from the hand-over of a job to the first line, a standby process each."""
    times = []
    for _ in range(count):
        ours, theirs = start.Pipe()
        process = start.Process(target=stand_by, args=(theirs,))
        process.start()
        ours.recv_bytes()
        began = time.monotonic_ns()
        ours.send_bytes(b"job")
        times.append((ours.recv() - began) / 1e6)
        process.join()
    return times


def processes_a_second(start: ForkServerContext, count: int, at_once: int = 8) -> float:
    began = time.monotonic()
    running = []
    for _ in range(count):
        process = start.Process(target=nothing)
        process.start()
        running.append(process)
        if len(running) >= at_once:
            running.pop(0).join()
    for process in running:
        process.join()
    return count / (time.monotonic() - began)


def kill_to_gone(start: ForkServerContext, count: int) -> list[float]:
    """Milliseconds from SIGKILL to the end of a sleeping process."""
    times = []
    for _ in range(count):
        process = start.Process(target=time.sleep, args=(3600,))
        process.start()
        began = time.monotonic_ns()
        process.kill()
        process.join()
        times.append((time.monotonic_ns() - began) / 1e6)
    return times


def empty_post(port: int, count: int, wait_until: Callable[[Callable[[], bool]], None]) -> list[float]:
    """Milliseconds of a POST that does nothing, answered by waitress."""
    server = subprocess.Popen([sys.executable, "-c", EMPTY_SERVER, str(port)])
    try:
        wait_until(lambda: _answers(port))
        return [_post(port) for _ in range(count)]
    finally:
        server.kill()
        server.wait()


def fsync(folder: Path, count: int) -> list[float]:
    """Milliseconds of a write that is on disk."""
    times = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(count):
            began = time.monotonic_ns()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append((time.monotonic_ns() - began) / 1e6)
    return times


def _answers(port: int) -> bool:
    try:
        _post(port)
    except OSError:
        return False
    return True


def _post(port: int) -> float:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.connect()
        began = time.monotonic_ns()
        connection.request("POST", "/", body=b"{}")
        connection.getresponse().read()
        return (time.monotonic_ns() - began) / 1e6
