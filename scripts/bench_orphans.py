"""The bare limit of a crash: a program whose processes do nothing but end when it is gone."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.connection import wait
from multiprocessing.process import parent_process

import psutil

from scripts.bench_rows import NotMeasured
from scripts.bench_server import ROOT, wait_for_exits, with_us

CHILDREN = 3
_SETTLED_SECONDS = 0.3


def stay() -> None:
    """Until the program that started it is gone."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])


def main() -> None:
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload([__name__])
    for _ in range(CHILDREN):
        start.Process(target=stay).start()
    print("ready", flush=True)
    sys.stdin.read()


def bare_crash() -> float:
    """Milliseconds from SIGKILL of such a program until its processes, the fork server too, are gone."""
    command = [sys.executable, "-c", f"from {__name__} import main; main()"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=with_us)
    with process:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise NotMeasured("the bare program did not start")
        time.sleep(_SETTLED_SECONDS)  # its processes wait by then
        handles = [os.pidfd_open(child.pid) for child in psutil.Process(process.pid).children(recursive=True)]
        began = time.monotonic_ns()
        process.kill()
        process.wait()
        left = wait_for_exits(handles, 5.0)
        took = (time.monotonic_ns() - began) / 1e6
    for handle in handles:
        os.close(handle)
    if left:
        raise NotMeasured("the bare processes live on")
    return took
