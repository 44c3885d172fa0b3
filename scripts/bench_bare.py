"""The bare limits: what the operating system and Python take for the same, with no store and no API.

All processes are of one fork server that has loaded what a server's has, and none runs the main module again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

import psutil

from runner.fork_server import PRELOAD_WORKFLOWS, raise_file_limit
from scripts.bench_pipe import Pipe
from scripts.bench_rows import MB, NotMeasured
from scripts.bench_server import wait_for_exit
from scripts.bench_workflows import hold

WORKFLOWS = "scripts.bench_workflows,scripts.bench_shapes"


def context() -> ForkServerContext:
    """Starts the fork server. From the main thread, first of all."""
    raise_file_limit()
    if getattr(sys.modules["__main__"], "__spec__", None) is not None:
        raise NotMeasured("each process would run the main module again, and bare would look slow: use scripts/bench")
    os.environ[PRELOAD_WORKFLOWS] = WORKFLOWS
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__, "runner.preload"])  # else each process would import what it is to do
    forkserver.ensure_running()
    return found


# -- what runs in the processes ------------------------------------------------------------------------------------


def nothing() -> None:
    """A job that does nothing."""


def stand_by(pipe: Connection) -> None:
    """Gets its job and says when."""
    pipe.send_bytes(b"ready")
    pipe.recv_bytes()
    pipe.send(time.monotonic_ns())


def sleep_on(path: str, pipe: Connection) -> None:
    """Sleeps on a named pipe; says at each byte when it woke."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    pipe.send(0)
    while poller.poll():
        woke = time.monotonic_ns()
        if not os.read(descriptor, 1):
            return
        pipe.send(woke)


def wait_for_byte(pipe: Connection) -> None:
    """What an idle job is at the least: a process that waits on a pipe."""
    pipe.send_bytes(b"ready")
    with contextlib.suppress(EOFError):
        pipe.recv_bytes()


def loop() -> None:
    while True:
        pass


# -- the limits ----------------------------------------------------------------------------------------------------


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
    running: list[BaseProcess] = []
    for _ in range(count):
        process = start.Process(target=nothing)
        process.start()
        running.append(process)
        if len(running) >= at_once:
            running.pop(0).join()
    for still in running:
        still.join()
    return count / (time.monotonic() - began)


def wake_to_gone(start: ForkServerContext, count: int) -> list[float]:
    """Milliseconds from a byte on the pipe of a sleeping process to its end by itself, collected."""
    return [_end(start, wait_for_byte, lambda pipe, _: pipe.send_bytes(b"stop")) for _ in range(count)]


def kill_to_gone(start: ForkServerContext, count: int) -> list[float]:
    """Milliseconds from SIGKILL to the end, collected, of a process that computes."""
    times = []
    for _ in range(count):
        process = start.Process(target=loop)
        process.start()
        time.sleep(0.02)  # it computes by then
        began = time.monotonic_ns()
        process.kill()
        process.join()
        times.append((time.monotonic_ns() - began) / 1e6)
    return times


def kill_group(count: int, lifeline: Pipe) -> float:
    """Milliseconds from SIGKILL to a process group of plain forks until nobody holds the pipe any more."""
    leader = os.fork()
    if leader == 0:
        _stay_with(count, lifeline.path)
    lifeline.read(count)
    began = time.monotonic_ns()
    os.killpg(leader, signal.SIGKILL)
    if not lifeline.wait_let_go(10.0):
        raise NotMeasured("a killed process group lived on for 10 s")
    took = (time.monotonic_ns() - began) / 1e6
    os.waitpid(leader, 0)
    return took


def _stay_with(count: int, path: str) -> NoReturn:
    try:
        os.setsid()
        for _ in range(count - 1):
            if os.fork() == 0:
                break
        hold(path)
        while True:
            signal.pause()
    finally:
        os._exit(0)


@contextmanager
def idle_processes(start: ForkServerContext, count: int) -> Iterator[list[int]]:
    """The pids of so many processes that wait on a pipe; in the end they go, and are collected."""
    born: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(count):
            ours, theirs = start.Pipe()
            process = start.Process(target=wait_for_byte, args=(theirs,))
            process.start()
            theirs.close()
            born.append((process, ours))
        for _, pipe in born:
            pipe.recv_bytes()
        yield [int(process.pid or 0) for process, _ in born]
    finally:
        for _, pipe in born:
            pipe.close()
        for one, _ in born:
            one.join()


def own_pages(pid: int) -> float:
    """MB that the process shares with nobody (USS)."""
    return float(psutil.Process(pid).memory_full_info().uss) / MB


def shared_pages(pid: int) -> float:
    """MB, shared pages by the share (PSS)."""
    return float(psutil.Process(pid).memory_full_info().pss) / MB


def available() -> float:
    """MB."""
    return float(psutil.virtual_memory().available) / MB


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


def _end(
    start: ForkServerContext, target: Callable[[Connection], None], act: Callable[[Connection, BaseProcess], None]
) -> float:
    ours, theirs = start.Pipe()
    process = start.Process(target=target, args=(theirs,))
    process.start()
    ours.recv_bytes()
    handle = os.pidfd_open(int(process.pid or 0))
    began = time.monotonic_ns()
    act(ours, process)
    took = (wait_for_exit(handle) - began) / 1e6
    os.close(handle)
    process.join()
    return took
