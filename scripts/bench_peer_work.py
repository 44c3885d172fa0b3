"""The work that peers are given: what scripts/bench_workflows.py does, in plain functions."""

from __future__ import annotations

import os
import subprocess
import time

_AN_HOUR = 3600.0


def first_line(path: str) -> None:
    """Says when its first line ran."""
    now = time.monotonic_ns()
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, b"%d\n" % now)
    os.close(descriptor)


def idle(path: str) -> None:
    """Says its pid and sleeps; holds the pipe."""
    _hold(path)
    time.sleep(_AN_HOUR)


def parent(path: str) -> None:
    """As ``idle``, and has started a program that outlives it if nobody ends it."""
    descriptor = _hold(path)
    subprocess.Popen(["sleep", "3600"], close_fds=False)
    os.write(descriptor, b"0\n")
    time.sleep(_AN_HOUR)


def _hold(path: str) -> int:
    descriptor = os.open(path, os.O_WRONLY)
    os.set_inheritable(descriptor, True)
    os.write(descriptor, b"%d\n" % os.getpid())
    return descriptor


WORK = {"first_line": first_line, "idle": idle, "parent": parent}
