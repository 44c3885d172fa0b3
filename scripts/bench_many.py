"""A great many jobs running at once: memory, starting and cancelling all of them, and what the server keeps open."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psutil

from scripts.bench_bare import available, idle_processes, own_pages
from scripts.bench_memory import CHILD
from scripts.bench_pipe import pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, Limit, Row, at_most
from scripts.bench_server import Client, Server, serving, wait_until

EACH = Figure("running at once: memory each, so that 1000 fit in 4 GB", "MB", (at_most(4),), CHILD)
EACH_OWN = Figure("... own pages (USS)", "MB", (), CHILD)
START_ALL = Figure("... to start all, until the last has said a word", "s", (), "as many processes of a fork server")
CANCEL_ALL = Figure("... to cancel all, until the last is proved gone", "s", (), "as many pipes closed, and collected")
LEFT_OPEN = Figure("... descriptors / threads more than before", "", (Limit("=", 0), Limit("=", 0)))
FIGURES = (EACH, EACH_OWN, START_ALL, CANCEL_ALL, LEFT_OPEN)

_SAMPLE = 50
_CONNECTIONS = 8
_SECONDS = 240.0
Given = TypeVar("Given")
Taken = TypeVar("Taken")


def measure(place: Place) -> Iterator[Row]:
    count = place.many
    place.say(f"{count} bare processes at once")
    bare = _bare(place, count)
    place.say(f"{count} jobs at once")
    with serving(place.fresh("many")) as server:
        _run(place, server, 2 * _CONNECTIONS)  # what is made once and kept is made before it is counted
        before = _kept_open(server)
        ours = _run(place, server, count)
        with contextlib.suppress(Exception):
            wait_until(lambda: _kept_open(server) == before, "as much is open as before", 10.0, pause=0.1)
        after = _kept_open(server)
    note = f"{count} at once"
    for figure, here, limit in zip(FIGURES, ours, bare, strict=False):
        yield figure.row(here, limit, note=note)
    left = tuple(float(now - then) for now, then in zip(after, before, strict=True))
    yield LEFT_OPEN.row(
        left, note=f"{before[0]} descriptors and {before[1]} threads before, the store's files left out"
    )


def _bare(place: Place, count: int) -> tuple[float, float, float, float]:
    memory, began = available(), time.monotonic()
    with idle_processes(place.start, count) as pids:
        started = time.monotonic() - began
        less = (memory - available()) / count
        own = statistics.median(map(own_pages, pids[:: max(1, count // _SAMPLE)]))
        began = time.monotonic()
    return less, own, started, time.monotonic() - began


def _run(place: Place, server: Server, count: int) -> tuple[float, float, float, float]:
    """Memory each, own pages each, seconds to start all, seconds to cancel all."""
    with pipe(place.folder) as said:
        stopped = server.count("cancel_phase = 'stopped'")
        memory, began = available(), time.monotonic()
        ids = _each(server, range(count), lambda client, _: client.start(type="bench_idle", said=said.path))
        pids = said.numbers(count, _SECONDS)
        started = time.monotonic() - began
        less = (memory - available()) / count
        own = statistics.median(map(own_pages, pids[:: max(1, count // _SAMPLE)]))
        began = time.monotonic()
        _each(server, ids, lambda client, job_id: client.cancel(job_id))
        wait_until(
            lambda: server.count("cancel_phase = 'stopped'") >= stopped + count,
            "all cancelled jobs are proved to be gone",
            _SECONDS,
            pause=0.02,
        )
        return less, own, started, time.monotonic() - began


def _each(server: Server, given: Iterable[Given], act: Callable[[Client, Given], Taken]) -> list[Taken]:
    """Over a few connections at once."""
    whole = list(given)

    def some(share: list[Given]) -> list[Taken]:
        with contextlib.closing(server.client()) as client:
            return [act(client, one) for one in share]

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        shares = [whole[number::_CONNECTIONS] for number in range(_CONNECTIONS)]
        return [taken for some_taken in pool.map(some, shares) for taken in some_taken]


def _kept_open(server: Server) -> tuple[int, int]:
    """(descriptors, threads) of the server, without the files that the store may keep open."""
    open_now = 0
    for entry in (Path("/proc") / str(server.process.pid) / "fd").iterdir():
        with contextlib.suppress(OSError):
            open_now += "runner.db" not in str(entry.readlink())
    return open_now, psutil.Process(server.process.pid).num_threads()
