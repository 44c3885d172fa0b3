"""Workflows that are stuck, each in another way, and those that print."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from runner.context import JobContext
from runner.workflow import JobConfig, workflow

log = logging.getLogger(__name__)


class StuckConfig(JobConfig):
    way: str


def _spin() -> None:
    number = 0
    while True:
        number += 1


def _scrypt() -> None:
    hashlib.scrypt(b"never", salt=b"enough", n=1 << 14, r=8, p=4096, maxmem=(1 << 31) - 1)


def _match() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def _lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # here


def _event() -> None:
    threading.Event().wait(3600)


def _receive() -> None:
    ours, _theirs = socket.socketpair()
    ours.recv(1)


def _suspend() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    _event()


def _threads() -> None:
    for _ in range(30):
        threading.Thread(target=_event, daemon=True).start()
    _event()


def _deep(depth: int = 0) -> None:
    if depth == 80:
        _event()
    _deep(depth + 1)


def _children() -> None:
    """One forked, one that is another program."""
    subprocess.Popen(["sleep", "3600"])
    if os.fork() == 0:
        while True:
            signal.pause()
    _event()


def _ignore() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _event()


def _fatal_below() -> None:
    if os.fork() == 0:
        ctypes.string_at(0)
    os.wait()
    _event()


def _crowd() -> None:
    """So many threads that the main one is not told of."""
    for _ in range(150):
        threading.Thread(target=_event, daemon=True).start()
    _receive()


def _own_way_with_sigterm() -> None:
    """The job has one, and so has what it forks; neither is told of, whatever comes."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGSEGV):
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), number)
            os._exit(8)
        print(f"{number.name}: {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
    _event()


def _fatal_in_thread() -> None:
    threading.Thread(target=ctypes.string_at, args=(0,), daemon=True).start()
    _event()


def _flood() -> None:
    block = b"".join(b"line %06d\n" % number for number in range(5000))
    for _ in range(1000):
        os.write(1, block)
    print("the flood is over")
    _event()


_WAYS: dict[str, Callable[[], object]] = {
    "spin": _spin,
    "scrypt": _scrypt,
    "match": _match,
    "lock": _lock,
    "event": _event,
    "receive": _receive,
    "suspend": _suspend,
    "threads": _threads,
    "deep": _deep,
    "children": _children,
    "ignore": _ignore,
    "segfault": lambda: ctypes.string_at(0),
    "fatal_below": _fatal_below,
    "fatal_in_thread": _fatal_in_thread,
    "crowd": _crowd,
    "own_way": _own_way_with_sigterm,
    "flood": _flood,
}


@workflow("stuck", config=StuckConfig)
def stuck(job: JobContext, config: StuckConfig) -> None:
    print("stuck now")
    if config.way == "sleep":
        job.sleep(3600)
    elif config.way == "abort":
        os.abort()
    _WAYS[config.way]()


class PrintConfig(JobConfig):
    way: str


@workflow("prints", config=PrintConfig)
def prints(_: JobContext, config: PrintConfig) -> None:
    """Says something in one way, and is gone without further ado."""
    if config.way == "print":
        print("printed")
    elif config.way == "error":
        print("printed", file=sys.stderr)
    elif config.way == "log":
        log.warning("printed")
    elif config.way == "program":
        subprocess.run(["echo", "printed"], check=True)
    elif config.way == "bytes":
        os.write(1, b"\xff\x1b[31m printed\n")
    os._exit(7)
