"""The workflows that scripts/bench runs. What they say they write on a named pipe, which costs the server nothing."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from pydantic import Field

from runner.context import JobContext
from runner.workflow import JobConfig, JobStopped, workflow

_AN_HOUR = 3600.0


class SaidConfig(JobConfig):
    """``said``: the named pipe to write on; nothing is written without one."""

    said: str = ""


def say(path: str, number: int) -> None:
    """One line, in one piece."""
    if path:
        descriptor = os.open(path, os.O_WRONLY)
        os.write(descriptor, b"%d\n" % number)
        os.close(descriptor)


def hold(path: str) -> None:
    """Opens the pipe for good, so that all processes born from here on hold it, and says the pid."""
    descriptor = os.open(path, os.O_WRONLY)
    os.set_inheritable(descriptor, True)
    os.write(descriptor, b"%d\n" % os.getpid())


@workflow("bench_first_line", config=SaidConfig)
def first_line(_job: JobContext, config: SaidConfig) -> None:
    """Says when its first line ran, on the clock that all processes of the machine share."""
    say(config.said, time.monotonic_ns())


@workflow("bench_idle", config=SaidConfig, resumable=True)
def idle(job: JobContext, config: SaidConfig) -> None:
    """Says its pid, and sleeps; has written nothing into the store."""
    if config.said:
        hold(config.said)
    job.sleep(_AN_HOUR)


@workflow("bench_parent", config=SaidConfig)
def parent(job: JobContext, config: SaidConfig) -> None:
    """Has started a program that outlives it if nobody ends it, and sleeps."""
    hold(config.said)
    subprocess.Popen(["sleep", "3600"], close_fds=False)
    say(config.said, 0)
    job.sleep(_AN_HOUR)


@workflow("bench_delay", config=SaidConfig)
def delay(job: JobContext, config: SaidConfig) -> None:
    """Sleeps the ten seconds between two batches; says its pid before it does, and then when it saw the stop."""
    try:
        for batch in job.batches(range(1000), size=1, delay_ms=10_000):
            batch.commit()
            say(config.said, os.getpid())
    except JobStopped:
        say(config.said, time.monotonic_ns())
        raise


class CountConfig(SaidConfig):
    """``log``: a file that gets a line with each batch that was committed: batch, time, attempt."""

    log: str
    total: int = Field(ge=1)
    delay_ms: int = Field(ge=0)


@workflow("bench_count", config=CountConfig, resumable=True)
def count(job: JobContext, config: CountConfig) -> None:
    with Path(config.log).open("a", buffering=1) as log:
        for batch in job.batches(range(config.total), size=1, delay_ms=config.delay_ms):
            batch.commit()
            log.write(f"{batch.items[0]} {time.monotonic_ns()} {job.attempt}\n")


@workflow("bench_loop", config=SaidConfig)
def loop(_job: JobContext, config: SaidConfig) -> None:
    """Computes in Python, and never looks at the flag."""
    hold(config.said)
    number = 0
    while True:
        number += 1


@workflow("bench_match", config=SaidConfig)
def match(_job: JobContext, config: SaidConfig) -> None:
    """Sits in C code that keeps the interpreter's lock, for longer than anybody would wait."""
    hold(config.said)
    re.match(r"(a+)+$", "a" * 64 + "b")
