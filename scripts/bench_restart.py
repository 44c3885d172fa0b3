"""A server killed with SIGKILL: who is left, and how it goes on when it is started again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scripts.bench_empty import until_it_answers
from scripts.bench_orphans import CHILDREN, bare_crash
from scripts.bench_pipe import pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, Limit, NotMeasured, Row, at_most
from scripts.bench_server import serving, wait_until

_ORPHANS = f"a program with {CHILDREN} forkserver children that each wait for its sentinel, killed"
_EMPTY = "an empty waitress, from its start to its first answer"
GONE = Figure("server killed -9 -> all its processes gone", "ms", (at_most(100),), _ORPHANS)
GOES_ON = Figure("... and started again -> each job goes on at the next batch", "s", (at_most(2),), _EMPTY)
TWICE = Figure("... batches committed twice / left out", "batches", (Limit("=", 0), Limit("=", 0)))
SERVING = Figure("restart with 200 interrupted jobs -> serving", "s", (at_most(2),), _EMPTY)
FIGURES = (GONE, GOES_ON, TWICE, SERVING)

_CRASHES = 3
_AGAIN = 2
_COUNTERS = 10
_BATCHES = 60
_DELAY_MS = 100
_INTERRUPTED = 200


def measure(place: Place) -> Iterator[Row]:
    place.say(f"{_CRASHES} servers with {CHILDREN} jobs each, killed")
    bare = [bare_crash() for _ in range(_CRASHES)]
    ours = [_crash(place) for _ in range(_CRASHES)]
    yield GONE.row(max(ours), max(bare), note=f"worst of {_CRASHES}, {CHILDREN} jobs asleep each")
    place.say("jobs that count, over a server that is killed and started again")
    empty = until_it_answers() / 1000
    seconds, twice, left_out = _go_on(place)
    batches = _COUNTERS * _BATCHES
    yield GOES_ON.row(max(seconds), empty, note=f"the last of {_COUNTERS} jobs, the worse of {_AGAIN} restarts")
    yield TWICE.row((float(twice), float(left_out)), note=f"of {batches} batches, over {_AGAIN + 1} crashes")
    place.say(f"a server started on {_INTERRUPTED} interrupted jobs")
    yield SERVING.row(_interrupted(place), empty, note="until the status of one of them is answered")


def _crash(place: Place) -> float:
    with serving(place.fresh("crash")) as server, pipe(place.folder) as said:
        client = server.client()
        for _ in range(CHILDREN):
            client.start(type="bench_idle", said=said.path)
        said.read(CHILDREN)
        took = server.end()
        if not said.is_let_go():
            raise NotMeasured("a process of a killed server lives on, which is not below it any more")
        return took


def _go_on(place: Place) -> tuple[list[float], int, int]:
    """Seconds from each new server's start until the last job's next batch; and how many batches of the ledger are
    there twice, and how many never. Each server is killed as soon as every job has gone on.
    """
    home = place.fresh("goes-on")
    logs = [home / f"count-{number}" for number in range(_COUNTERS)]
    with serving(home) as server:
        client = server.client()
        for log in logs:
            client.start(type="bench_count", log=str(log), total=_BATCHES, delayMs=_DELAY_MS)
        _wait_for_lines(dict.fromkeys(logs, 5))
    seconds = []
    for _ in range(_AGAIN):
        counted = {log: len(_lines(log)) for log in logs}
        began = time.monotonic()
        with serving(home):
            _wait_for_lines({log: count + 1 for log, count in counted.items()})
            seconds.append(max(_lines(log)[counted[log]][1] / 1e9 - began for log in logs))
    with serving(home) as server:
        wait_until(lambda: server.count("status = 'completed'") == _COUNTERS, "all jobs are completed", pause=0.05)
        committed = server.select("count(*) FROM batches")
    whole = _COUNTERS * _BATCHES
    again = sum(times - 1 for log in logs for times in Counter(batch for batch, _ in _lines(log)).values())
    return seconds, max(again, committed - whole), max(0, whole - committed)


def _interrupted(place: Place) -> float:
    """Seconds from the start of a server on a home with jobs cut off, until it answers for one of them."""
    home = place.fresh("interrupted")
    with serving(home) as server, pipe(place.folder) as said:
        client = server.client()
        ids = [client.start(type="bench_idle", said=said.path) for _ in range(_INTERRUPTED)]
        said.read(_INTERRUPTED, 120.0)
        server.end()
        began = time.monotonic()
        with serving(home) as again:
            again.client().job(ids[0])
            return time.monotonic() - began


def _lines(log: Path) -> list[tuple[int, int]]:
    """(batch, monotonic nanoseconds) of each commit, as the jobs noted them."""
    found = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(int(batch), int(at)) for batch, at, _ in found]


def _wait_for_lines(wanted: dict[Path, int]) -> None:
    wait_until(
        lambda: all(len(_lines(log)) >= count for log, count in wanted.items()), "all jobs have gone on", pause=0.005
    )
