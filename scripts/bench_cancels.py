"""Cancels, ordinary and forced: milliseconds from the POST until seen, gone, and said to be gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from scripts import bench_bare
from scripts.bench_empty import ringing_posts
from scripts.bench_pipe import pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, NotMeasured, Row, at, at_most
from scripts.bench_server import Client, Server, serving, wait_for_exit

SEEN = Figure(
    "POST cancel -> job asleep in a 10 s delay has seen it",
    "ms",
    (at_most(1), at_most(5)),
    "a POST to waitress that writes one byte to a sleeping process",
)
GONE = Figure("... -> its process is gone", "ms", (), "one byte to a process that then ends by itself")
PROVED = Figure("... -> the status says so, and that it was proved", "ms", (at_most(4), at_most(8)), GONE.bare)
ANSWERED = Figure("POST cancel -> 200", "ms", (), "")
FIGURES = (SEEN, GONE, PROVED, ANSWERED)

_KILLED = "SIGKILL to a process that computes, until collected"
FORCED = tuple(
    (kind, Figure(f"cancel?force=true, {name} -> dead / status says so", "ms", (at_most(2.5), at_most(4.5)), _KILLED))
    for kind, name in (("bench_loop", "pure Python"), ("bench_match", "C that keeps the GIL"))
)
FORCED_FIGURES = tuple(figure for _, figure in FORCED)
_SETTLED_SECONDS = 0.02
"""How long a job is left alone before it is cancelled: it sleeps, or computes, by then."""


def measure(place: Place) -> Iterator[Row]:
    count = max(20, place.jobs // 4)
    place.say(f"{count} cancels of jobs asleep in their delay")
    posts = ringing_posts(place.start, place.folder, count)
    ends = bench_bare.wake_to_gone(place.start, count)
    times: dict[str, list[float]] = {"answered": [], "gone": [], "proved": [], "seen": []}
    with serving(place.fresh("cancels")) as server:
        for _ in range(count):
            for name, taken in _cancel(place, server.client(), "bench_delay").items():
                times[name].append(taken)
    yield SEEN.times(times["seen"], posts)
    yield GONE.times(times["gone"], ends)
    yield PROVED.times(times["proved"], ends)
    yield ANSWERED.times(times["answered"])


def measure_force(place: Place) -> Iterator[Row]:
    count = max(10, place.jobs // 10)
    bare = bench_bare.kill_to_gone(place.start, count)
    with serving(place.fresh("force")) as server:
        if not knows_force(place, server):
            yield from (figure.absent("not there") for figure in FORCED_FIGURES)
            return
        for kind, figure in FORCED:
            place.say(f"{count} forced cancels, {kind}")
            times = [_cancel(place, server.client(), kind, "?force=true") for _ in range(count)]
            dead, proved = ([one[name] for one in times] for name in ("gone", "proved"))
            here, middle = (at(dead, 0.5), at(proved, 0.5)), at(bare, 0.5)
            note = f"p50 each, over {count}; p99 {at(dead, 0.99):.1f} / {at(proved, 0.99):.1f}"
            yield figure.row(here, (middle, middle), note=note)


def knows_force(place: Place, server: Server) -> bool:
    """Whether the server has ``?force=true``; tried out on a job that sleeps."""
    client = server.client()
    with pipe(place.folder) as said:
        job_id = client.start(type="bench_idle", said=said.path)
        said.read(1)
        status, _ = client.ask("POST", f"/admin/jobs/{job_id}/cancel?force=true")
        if status != 200:
            client.cancel(job_id)
        client.wait_stopped(job_id)
    return status == 200


def _cancel(place: Place, client: Client, kind: str, query: str = "") -> dict[str, float]:
    """One job, cancelled. Nothing is asked of the server between the cancel and the end of the process."""
    with pipe(place.folder) as said:
        job_id = client.start(type=kind, said=said.path)
        pid = said.numbers(1)[0]
        client.wait(job_id, lambda job: job["status"] == "running", "runs", pause=0.005)
        time.sleep(_SETTLED_SECONDS)
        handle = os.pidfd_open(pid)
        began = time.monotonic_ns()
        client.cancel(job_id, query)
        answered = time.monotonic_ns()
        gone = wait_for_exit(handle)
        client.wait_stopped(job_id)
        proved = time.monotonic_ns()
        os.close(handle)
        times = {"answered": answered, "gone": gone, "proved": proved}
        if kind == "bench_delay":
            times["seen"] = said.numbers(2)[1]
    if client.job(job_id)["status"] != "cancelled":
        raise NotMeasured("a cancelled job does not say so")
    return {name: (at - began) / 1e6 for name, at in times.items()}
