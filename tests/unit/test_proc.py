"""What the system says of processes in the moments in which it is easy to be wrong."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from runner.clock import Clock
from runner.proc import ON_LINUX, children, descendants, environment, is_exiting, name_of, open_files, stat_of
from runner.tree import identify
from tests.waiting import wait_for


@pytest.fixture
def bear() -> Iterator[Callable[[Callable[[], object]], int]]:
    born: list[int] = []

    def bear_one(act: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                act()
                signal.pause()
            finally:
                os._exit(1)
        born.append(pid)
        return pid

    yield bear_one
    for pid in born:
        for member in [*descendants(pid), pid]:
            os.kill(member, signal.SIGKILL)
        os.waitpid(pid, 0)


def end_the_first_thread() -> None:
    threading.Thread(target=signal.pause).start()
    ctypes.CDLL(None).pthread_exit(None)


def test_a_process_whose_first_thread_has_ended_lives(bear: Callable[[Callable[[], object]], int]) -> None:
    """It is shown as a zombie, but what is below it has not gone to anybody else yet."""
    pid = bear(end_the_first_thread)
    wait_for(lambda: (found := stat_of(pid)) and found.state == "Z", "its first thread has ended")
    assert identify(pid, Clock().boot_id) is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: identify(pid, Clock().boot_id) is None, "the other has ended too")


def test_a_zombie_is_dead_and_still_has_its_session(bear: Callable[[Callable[[], object]], int]) -> None:
    def leave() -> None:
        os.setsid()
        os._exit(0)

    pid = bear(leave)
    wait_for(lambda: identify(pid, Clock().boot_id) is None, "it has ended")
    found = stat_of(pid)
    assert found is not None
    assert (found.is_dead, found.parent, found.session) == (True, os.getpid(), pid)


@pytest.mark.parametrize("by_psutil", [False, True])
def test_all_below_the_deepest_first(bear: Callable[[Callable[[], object]], int], by_psutil: bool) -> None:
    pid = bear(lambda: os.fork() or os.fork())
    found = wait_for(lambda: len(below := list(descendants(pid, by_psutil=by_psutil))) == 2 and below, "both are born")
    stat = stat_of(found[0])
    assert stat is not None
    assert stat.parent == found[1]


@contextmanager
def few_calls_left(count: int) -> Iterator[None]:
    """So many may be made within one another."""
    before, depth = sys.getrecursionlimit(), 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + count)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextmanager
def out_of_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def nest(depth: int) -> None:
    """Each starts the next and lives on."""
    for _ in range(depth):
        if os.fork() != 0:
            break


@pytest.mark.parametrize("by_psutil", [False, True])
def test_however_deep(bear: Callable[[Callable[[], object]], int], by_psutil: bool) -> None:
    """More processes below one another than calls within one another."""
    pid = bear(partial(nest, 120))

    def found() -> list[int]:
        with few_calls_left(80):
            return list(descendants(pid, by_psutil=by_psutil))

    below = wait_for(lambda: len(seen := found()) == 120 and seen, "all are born")
    parents = [stat.parent for stat in map(stat_of, below) if stat is not None]
    assert parents == [*below[1:], pid], "the deepest first"


def all_below(pid: int) -> list[int]:
    return list(descendants(pid))


def all_below_by_psutil(pid: int) -> list[int]:
    return list(descendants(pid, by_psutil=True))


@pytest.mark.parametrize("ask", [children, open_files, environment, is_exiting, all_below, all_below_by_psutil])
def test_out_of_descriptors_nobody_is_taken_for_gone(
    bear: Callable[[Callable[[], object]], int], ask: Callable[[int], object]
) -> None:
    bear(signal.pause)
    with out_of_descriptors(), pytest.raises(OSError, match="Too many open files"):
        ask(os.getpid())


@pytest.mark.parametrize("by_psutil", [False, True])
def test_of_nobody_nothing_is_told(by_psutil: bool) -> None:
    nobody = 1 << 30
    assert (children(nobody), open_files(nobody), environment(nobody), is_exiting(nobody)) == ([], set(), [], False)
    assert list(descendants(nobody, by_psutil=by_psutil)) == []


def test_an_environment_is_that_of_the_program() -> None:
    command = [sys.executable, "-c", "input()"]
    for given, expected in (({"ONE": "1"}, [b"ONE=1", b""]), ({}, [b"", b""])):
        with subprocess.Popen(command, env=given, stdin=subprocess.PIPE) as process:
            pid = process.pid  # it may just be on its way into its program, and have none for a moment
            wait_for(lambda pid=pid, expected=expected: environment(pid) == expected, "it has that environment")  # type: ignore[misc]
    assert environment(1 << 30) == [], "nobody"


@pytest.mark.skipif(not ON_LINUX, reason="the kernel's names of 15 bytes")
def test_a_name_that_is_cut_in_the_middle_of_a_character_can_be_told(tmp_path: Path) -> None:
    program = tmp_path / "отчётсборка.sh"
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(0o700)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        wait_for(lambda: name_of(process.pid).startswith("отч"), "it has begun its program")
        name_of(process.pid).encode()
