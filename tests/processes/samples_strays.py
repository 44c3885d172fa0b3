"""Workflows whose process is killed while a child of theirs goes on, of a kind that is hard to look at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from runner.context import JobContext
from runner.store import Transaction
from runner.stores.batches import LedgerItem
from runner.workflow import JobConfig, workflow

_DEEP = """
import os, signal, sys
for _ in range(25):
    os.mkdir("x" * 200)
    os.chdir("x" * 200)
os.open("file", os.O_CREAT | os.O_RDWR)
print("here", flush=True)
signal.pause()
"""
"""Holds a file whose path is longer than the system tells."""

_MUTE = """
import ctypes, os, signal
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
first, last = int(fields[45]) & ~4095, (int(fields[48]) + 4095) & ~4095
unmap = ctypes.CDLL(None).munmap
unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
unmap(first, last - first)
os.write(1, b"here\\n")
signal.pause()
"""
"""Has given back the pages with its arguments and its environment: it has no command line, and lives."""


class StrayConfig(JobConfig):
    """``folder``: where the child works, and where ``pid`` says who it is."""

    folder: str
    kind: str


@workflow("strays", config=StrayConfig)
def strays(_job: JobContext, config: StrayConfig) -> None:
    program = {"deep": _DEEP, "mute": _MUTE}[config.kind]
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=config.folder, env={"A": "x" * 9000}, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    (Path(config.folder) / "pid").write_text(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)


@workflow("freezes_in_a_commit", config=JobConfig, resumable=True)
def freezes_in_a_commit(job: JobContext, _config: JobConfig) -> None:
    """Is suspended, the first time, while it holds the database's lock on writing; so its start may go unrecorded."""
    if job.run.epoch == 1:
        job.commit(_suspend)


def _suspend(_: Transaction) -> Iterable[LedgerItem]:
    os.kill(os.getpid(), signal.SIGSTOP)
    return ()
