"""RQ, Celery and Huey at the same work on the same machine, in a throw-away place with a Redis of its own."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scripts.bench_bare import own_pages, shared_pages
from scripts.bench_peer_apps import PEERS, SLOTS
from scripts.bench_peer_run import Ours, Runner, peer, redis
from scripts.bench_pipe import pipe
from scripts.bench_place import Place
from scripts.bench_rows import NotMeasured, spread, table, text_of
from scripts.bench_server import free_port, serving, wait_for_exit

NO_REDIS = "The peers are left out: they need Redis, and redis-server is not on the PATH (apt-get install redis-server)"
NO_PEERS = "The peers are left out: pip could not install them: "
_PACKAGES = ("rq", "celery[redis]", "huey", "redis")
_PIP_SECONDS = 240
_WARM_SECONDS = 30.0
_STARTS, _NOTHINGS, _CANCELS, _FAMILIES = 40, 200, 10, 3
_ORPHAN_SECONDS = 0.5
"""How long after its job's end a grandchild may still be there."""
KINDS = {
    "ours": "a fresh process a job, on disk before it is answered, over HTTP; an ordinary cancel",
    "rq": f"a fresh process a job (work-horse), {SLOTS} workers; memory with the worker that forked it",
    "celery": f"a pool of {SLOTS} processes, each used again; a forced end is revoke(terminate=True, SIGKILL)",
    "huey": f"a pool of {SLOTS} processes, each used again; a running job cannot be ended",
}


def compare(place: Place) -> str:
    """The second table, or why there is none."""
    if shutil.which("redis-server") is None:
        return f"\n{NO_REDIS}"
    place.say("the peers are installed into a place of their own")
    try:
        python = _install(place)
    except (subprocess.SubprocessError, OSError) as error:
        return f"\n{NO_PEERS}{error}"
    columns, port = {}, free_port()
    with redis(place.fresh("redis"), port):
        with serving(place.fresh("ours")) as server:
            columns["ours"] = _column(place, "ours", Ours(server))
        for name in PEERS:
            columns[name] = _column_of_peer(place, name, python, port)
    names = list(columns)
    lines = [(figure, *(columns[name].get(figure, "-") for name in names)) for figure in MEASURES]
    heads = ("figure", *(f"{name} {columns[name]['version']}" for name in names))
    said = [f"- {name}: {KINDS[name]}" for name in names]
    return "\n" + table(heads, lines) + "\n\n" + "\n".join(said)


def _install(place: Place) -> Path:
    folder = place.fresh("peers")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=60)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *_PACKAGES], check=True, timeout=_PIP_SECONDS)
    return folder / "bin" / "python"


def _column_of_peer(place: Place, name: str, python: Path, port: int) -> dict[str, str]:
    log = place.fresh(name) / "worker.log"
    try:
        with peer(name, python, port, log) as runner:
            return _column(place, name, runner)
    except (NotMeasured, OSError) as error:
        place.say(f"{name} failed: {error}")
        return {"version": "", next(iter(MEASURES)): f"failed: {error}"}


def _column(place: Place, name: str, runner: Runner) -> dict[str, str]:
    """What one of them brings; what it cannot do says so, and the others go on."""
    found = {"version": runner.version}
    place.say(f"{name} {runner.version}")
    with pipe(place.folder) as said:  # until its workers are there
        runner.start("first_line", said)
        said.read(1, _WARM_SECONDS)
    for figure, measure in MEASURES.items():
        if name == "huey" and measure in (_cancels, _grandchildren):
            found[figure] = "cannot"
            continue
        try:
            found[figure] = measure(place, runner)
        except (NotMeasured, OSError) as error:
            found[figure] = f"failed: {error}"[:60]
    return found


def _starts(place: Place, runner: Runner) -> str:
    times = []
    with pipe(place.folder) as said:
        for number in range(_STARTS):
            _, began = runner.start("first_line", said)
            times.append((said.numbers(number + 1)[-1] - began) / 1e6)
            time.sleep(0.02)  # one after the other, none in the other's way
    return text_of(spread(times))


def _a_second(place: Place, runner: Runner) -> str:
    with pipe(place.folder) as said:
        began = min(runner.start("first_line", said)[1] for _ in range(_NOTHINGS))
        return text_of((_NOTHINGS / ((max(said.numbers(_NOTHINGS, 60.0)) - began) / 1e9),))


def _memory(place: Place, runner: Runner) -> str:
    with pipe(place.folder) as said:
        for _ in range(SLOTS):
            runner.start("idle", said)
        found = [runner.processes(pid) for pid in said.numbers(SLOTS)]
        own, shared = ([sum(map(pages, pids)) for pids in found] for pages in (own_pages, shared_pages))
        return text_of((statistics.median(own), statistics.median(shared)))


def _cancels(place: Place, runner: Runner) -> str:
    times = []
    for _ in range(_CANCELS):
        with pipe(place.folder) as said:
            job_id, _ = runner.start("idle", said)
            handle = os.pidfd_open(said.numbers(1)[0])
            time.sleep(0.05)  # it is known to be running
            began = runner.cancel(job_id)
            times.append((wait_for_exit(handle) - began) / 1e6)
            os.close(handle)
    return text_of(spread(times))


def _grandchildren(place: Place, runner: Runner) -> str:
    left = 0
    for _ in range(_FAMILIES):
        with pipe(place.folder) as said:
            job_id, _ = runner.start("parent", said)
            handle = os.pidfd_open(said.numbers(2)[0])
            time.sleep(0.05)
            runner.cancel(job_id)
            wait_for_exit(handle)
            os.close(handle)
            left += not said.wait_let_go(_ORPHAN_SECONDS)
    return f"{left} of {_FAMILIES}"


MEASURES: dict[str, Callable[[Place, Runner], str]] = {
    "start -> first line, p50 / p99 ms": _starts,
    "no-op jobs a second": _a_second,
    "cancel of a sleeping job -> its process gone, p50 / p99 ms": _cancels,
    "grandchildren left after that": _grandchildren,
    f"memory per job, {SLOTS} running (USS / PSS), MB": _memory,
}
"""Memory last: its jobs are ended by the closing of their pipe, and not every peer gets over that."""
