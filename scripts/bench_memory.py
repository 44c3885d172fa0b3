"""Memory: what an idle job costs, and what a removal job costs in its delay."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from runner.demo.people import GROUP
from scripts.bench_bare import available, idle_processes, own_pages
from scripts.bench_pipe import pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, NotMeasured, Row, at_most
from scripts.bench_server import Server, serving, wait_until

CHILD = "a process of a fork server that waits on a pipe"
OWN = Figure("idle running job before its first commit, own pages (USS)", "MB", (), CHILD)
KERNEL = Figure("... with its page tables and kernel stack", "MB", (at_most(3.5),), CHILD)
LESS = Figure("... what MemAvailable fell by", "MB", (at_most(3.5),), CHILD)
REMOVAL = Figure("removal job in its delay after 3 commits (USS, tables, stack)", "MB", (at_most(9),), CHILD)
FIGURES = (OWN, KERNEL, LESS, REMOVAL)

_ROUNDS = 3
_KERNEL_STACK_MB = 0.016
_SETTLED_SECONDS = 0.5
_WINDOW_MS = 2_592_000_000


def measure(place: Place) -> Iterator[Row]:
    """Others on the machine move MemAvailable too: the median of the rounds is told, and each round in the note."""
    place.say(f"memory of {place.idle} idle jobs and of as many bare processes, {_ROUNDS} rounds of each")
    ours, bare = [], []
    with serving(place.fresh("memory")) as server:
        for _ in range(_ROUNDS):
            bare.append(_of_bare(place, place.idle))
            ours.append(_of_idle_jobs(place, server, place.idle))
    for figure, here, limit in zip(FIGURES, zip(*ours, strict=True), zip(*bare, strict=True), strict=False):
        rounds = " ".join(f"{one:.1f}" for one in here)
        yield figure.row(statistics.median(here), statistics.median(limit), note=f"rounds of {place.idle}: {rounds}")
    place.say("a removal job, until its third batch")
    with idle_processes(place.start, 1) as pids:
        bare_whole = _whole(pids[0])
    yield REMOVAL.row(_of_removal(place), bare_whole, note="one job, on the group of the demo")


def _of_bare(place: Place, count: int) -> tuple[float, float, float]:
    """MB each: own pages, with what the kernel has for it, and what the machine has less of."""
    before = available()
    with idle_processes(place.start, count) as pids:
        return _each(pids, before)


def _of_idle_jobs(place: Place, server: Server, count: int) -> tuple[float, float, float]:
    """As ``_of_bare``; those that stand by are as many before as after."""
    client, family = server.client(), len(server.family())
    with pipe(place.folder) as said:
        before = available()
        ids = [client.start(type="bench_idle", said=said.path) for _ in range(count)]
        pids = said.numbers(count)
        wait_until(lambda: len(server.family()) >= family + count, "as many stand by as before", pause=0.05)
        found = _each(pids, before)
        for job_id in ids:
            client.cancel(job_id)
        for job_id in ids:
            client.wait_stopped(job_id, pause=0.02)
    wait_until(lambda: len(server.family()) <= family, "the processes of cancelled jobs are gone", pause=0.05)
    return found


def _of_removal(place: Place) -> float:
    """MB of one ``removal_queue`` job."""
    with serving(place.fresh("removal"), "--demo") as server:
        client = server.client()
        client.call("POST", "/admin/removalQueue/sync", {"groupWaId": GROUP, "inactivityWindowMs": _WINDOW_MS})
        job_id = client.start(type="removal_queue", groupWaId=GROUP, batchSize=1, delayMs=2000, dryRun=False)
        client.wait(job_id, lambda job: job["progress"]["currentBatch"] >= 3, "has done three batches", pause=0.05)
        time.sleep(_SETTLED_SECONDS)
        whole = _whole(server.select(f"pid FROM jobs WHERE id = '{job_id}'"))
        if client.job(job_id)["progress"]["currentBatch"] != 3:
            raise NotMeasured("it was not asleep after its third batch when it was measured")
        return whole


def _each(pids: list[int], before: float) -> tuple[float, float, float]:
    time.sleep(_SETTLED_SECONDS)
    less = (before - available()) / len(pids)
    return statistics.median(map(own_pages, pids)), statistics.median(map(_whole, pids)), less


def _whole(pid: int) -> float:
    """MB: own pages, page tables and kernel stack; for a single process MemAvailable is too coarse."""
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    tables = next(float(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmPTE"))
    return own_pages(pid) + tables + _KERNEL_STACK_MB
