"""Ending what an earlier server left behind, before a new one begins."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

from runner.clock import Clock
from runner.job import Job, ProcessIdentity
from runner.proc import descendants, environment
from runner.tree import MARK, identify, is_alive, left_behind, send_signal

Survivors = dict[str, frozenset[ProcessIdentity]]
"""Job id -> those of its processes that would not die; a job that is not in it has none."""


def sweep(left: Sequence[Job], database: str, clock: Clock, seconds: float) -> Survivors:
    """Ends what is still there of these jobs: a process deep in C code does not notice that its server died.

    Waits so many seconds for them to be gone. Of whom it cannot be told whose it is, it is said of all these jobs.
    """
    mine = {job.id: _all_of(job, clock) for job in left}
    others = left_behind(database, list(mine), clock)
    everyone = others.union(*mine.values())
    for process in everyone:
        send_signal(process, signal.SIGKILL, clock.boot_id)
    living = _wait_until_gone(everyone, clock, seconds)
    if not living:
        return {}
    named = {process: _jobs_of(process, mine) for process in living}
    return {job_id: found for job_id in mine if (found := frozenset(p for p in living if job_id in named[p]))}


def _all_of(job: Job, clock: Clock) -> set[ProcessIdentity]:
    if job.process is None or not is_alive(job.process, clock.boot_id):
        return set()
    below = (identify(pid, clock.boot_id) for pid in descendants(job.process.pid))
    return {job.process} | {child for child in below if child is not None}


def _jobs_of(process: ProcessIdentity, mine: dict[str, set[ProcessIdentity]]) -> set[str]:
    marks = environment(process.pid)
    known = {job_id for job_id, found in mine.items() if process in found or f"{MARK}={job_id}".encode() in marks}
    return known or set(mine)


def _wait_until_gone(processes: set[ProcessIdentity], clock: Clock, seconds: float) -> set[ProcessIdentity]:
    """Returns who is still there after so many seconds."""
    deadline = clock.boot_seconds() + seconds
    pause = threading.Event()
    while living := {process for process in processes if is_alive(process, clock.boot_id)}:
        if clock.boot_seconds() > deadline:
            return living
        pause.wait(0.01)
    return set()
