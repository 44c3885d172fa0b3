"""One run in a process of its own: forked from the test, so that it has the test's workflows."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from runner.child import _end_of
from runner.context import Run
from runner.testing.places import Disturbance
from runner.testing.trace import Trace, Traced
from runner.testing.watched import Tripwire, WatchedJob
from runner.testing.world import World


class Overrun(Exception):
    """A run did not end in time; it was killed."""


class RunProcess:
    """Runs one run at a time, to its end or its death. ``folder``: for what the run says, outside of its world."""

    def __init__(self, world: World, folder: Path, limit_seconds: float, *, by_commit: bool) -> None:
        self.log = folder / "log.txt"
        self._world, self._limit, self._by_commit = world, limit_seconds, by_commit
        self._trace = Trace(folder / "trace.jsonl")

    def run(self, run: Run, chosen: Disturbance | None) -> Traced:
        """Raises Overrun."""
        self._trace.begin()
        process = _fork(lambda: self._live(run, chosen))
        process.join(self._limit)
        overrun = process.exitcode is None
        if overrun:
            process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)  # and all that it left behind
        process.join()
        if overrun:
            raise Overrun
        traced = self._trace.read()
        traced.words = f"its process ended with exit code {process.exitcode}"
        self._world.passed = max(self._world.passed, traced.passed)
        return traced

    def _live(self, run: Run, chosen: Disturbance | None) -> None:
        """In the run's process, from its first line to its last."""
        os.setsid()
        gc.freeze()  # to collect what the test has left would copy all its memory
        _log_to(self.log)
        wire = Tripwire(self._world, run.job_id, self._trace, chosen, self._by_commit)
        job = WatchedJob(self._world, run, wire, self._trace)
        end = _end_of(job, self._world.settings)
        self._trace.write(after_stop=job.done_since_the_stop())
        self._trace.write(end=end)
        os._exit(0)  # what pytest would do at an exit is not this process's to do


def _fork(live: Callable[[], None]) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=live)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a test that has threads: none of them goes along
        process.start()
    return process


def _log_to(path: Path) -> None:
    """What is logged in the run, the trace of its failure too, is for the message, not for the test's own log."""
    logs = logging.getLogger()
    logs.handlers[:] = [logging.FileHandler(path)]
