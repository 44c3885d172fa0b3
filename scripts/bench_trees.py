"""Forced cancels of whole process trees, told by the end of file of a pipe that every process of the tree inherits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts import bench_bare
from scripts.bench_cancels import knows_force
from scripts.bench_pipe import Pipe, pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, Limit, NotMeasured, Row, at_most
from scripts.bench_server import Client, serving
from scripts.bench_shapes import BOMB, SHAPES

SURVIVORS = {shape: Figure(f"survivors of a forced cancel: {shape}", "processes", (Limit("=", 0),)) for shape in SHAPES}
PROVED = Figure(
    "SIGKILL stage begins -> tree dead and proved, worst shape",
    "ms",
    (at_most(500),),
    f"SIGKILL to a process group of {BOMB} sleeping forks, until all are gone",
)
NEIGHBOUR = Figure("neighbour job hurt by all these", "processes", (Limit("=", 0),))
FIGURES = (*SURVIVORS.values(), NEIGHBOUR, PROVED)


@dataclass(frozen=True)
class End:
    """How one tree ended: who was left when the status said that nobody was, and how long the killing took."""

    survivors: int
    milliseconds: float


def measure(place: Place) -> Iterator[Row]:
    """Without ``?force=true``, by an ordinary cancel of a server that gives no grace: the same SIGKILL stage."""
    with serving(place.fresh("trees"), GRACE_SECONDS=0, TERMINATE_SECONDS=0) as server, pipe(place.folder) as near:
        query = "?force=true" if knows_force(place, server) else ""
        how = "" if query else "; by a cancel without grace, ?force=true is not there"
        client = server.client()
        neighbour = client.start(type="bench_idle", said=near.path)
        near.read(1)
        slowest: dict[str, float] = {}
        for shape, figure in SURVIVORS.items():
            place.say(f"{place.trees} forced cancels of a tree: {shape}")
            try:
                ends = [_end(place, client, shape, query) for _ in range(place.trees)]
            except NotMeasured as error:
                yield figure.failed(str(error))
                continue
            slowest[shape] = max(end.milliseconds for end in ends)
            yield figure.row(sum(end.survivors for end in ends), note=f"over {place.trees} trees{how}")
        yield NEIGHBOUR.row(int(_is_hurt(client, neighbour, near)))
        yield _worst(place, slowest)


def _worst(place: Place, slowest: dict[str, float]) -> Row:
    if not slowest:
        return PROVED.failed("no tree was ended")
    worst = max(slowest, key=lambda shape: slowest[shape])
    with pipe(place.folder) as lifeline:
        bare = bench_bare.kill_group(BOMB, lifeline)
    said = ", ".join(f"{shape} {took:.0f}" for shape, took in slowest.items())
    return PROVED.row(slowest[worst], bare, note=f"worst of {place.trees} each: {said}")


def _end(place: Place, client: Client, shape: str, query: str) -> End:
    with pipe(place.folder) as lifeline:
        job_id = client.start(type="bench_tree", shape=shape, lifeline=lifeline.path)
        lifeline.read(SHAPES[shape][1])
        client.cancel(job_id, query)
        job = client.wait_stopped(job_id)
        left = 0 if lifeline.is_let_go() else len(lifeline.holders())
        return End(left, _killing_ms(job["cancellation"]))


def _killing_ms(cancellation: dict[str, Any]) -> float:
    """From the first SIGKILL to the proof, by the server's clock."""
    kills = [one["at"] for one in cancellation["signals"] if one["signal"] == "SIGKILL"]
    if not kills:
        raise NotMeasured("nobody was killed")
    began, stopped = (datetime.fromisoformat(text) for text in (min(kills), cancellation["stoppedAt"]))
    return (stopped - began).total_seconds() * 1000


def _is_hurt(client: Client, neighbour: str, near: Pipe) -> bool:
    return near.is_let_go() or client.job(neighbour)["status"] != "running"
