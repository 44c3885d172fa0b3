"""Reading: the status of a job at 64 connections, the newest jobs of a great many, and the disk for scale."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from sqlalchemy import event

from runner.clock import Clock
from runner.opening import open_store
from runner.settings import Settings
from runner.stores.jobs import JobFilter, JobRows
from runner.stores.migrate import migrate
from scripts.bench_bare import fsync
from scripts.bench_empty import empty_server
from scripts.bench_pipe import pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, NotMeasured, Row, at_least, at_most
from scripts.bench_server import ROOT, serving

CONNECTIONS = 64
SECONDS = 5
GETS = Figure(
    f"status GETs a second at {CONNECTIONS} connections, p99 ms",
    "1/s, ms",
    (at_least(4000), at_most(50)),
    "an empty GET to waitress",
)
FSYNC = Figure("fsync of 4 kB, for scale", "ms")
_READS = 200


def newest_figure(rows: int) -> Figure:
    return Figure(
        f"newest 50 of {rows:,} jobs, in SQL",
        "ms",
        (at_most(1),),
        "the last 50 rows of the table, in their order on disk",
    )


def measure(place: Place) -> Iterator[Row]:
    program = (
        "wrk" if shutil.which("wrk") else "a client of our own in Python, on the same cores (wrk is not installed)"
    )
    place.say(f"GETs for {2 * SECONDS} s: an empty waitress, then the status of a running job")
    with empty_server() as port:
        bare = _gets(port, "/")
    with serving(place.fresh("reads")) as server, pipe(place.folder) as said:
        job_id = server.client().start(type="bench_idle", said=said.path)
        said.read(1)
        ours = _gets(server.port, f"/admin/jobs/{job_id}/status")
    yield GETS.row(ours, bare, note=f"by {program}, {SECONDS} s")


def measure_fsync(place: Place) -> Iterator[Row]:
    yield FSYNC.times(fsync(place.folder, _READS))


def measure_newest(place: Place) -> Iterator[Row]:
    place.say(f"a store of {place.rows:,} jobs is filled")
    settings = Settings(home=place.fresh("newest"), database_url="")
    migrate(settings.url)
    path = str(settings.home / "runner.db")
    _fill(path, place.rows)
    statement, values = _statement(settings)
    with closing(sqlite3.connect(path)) as database:
        ours = [_read(database, statement, values) for _ in range(_READS)]
        bare = [_read(database, "SELECT * FROM jobs ORDER BY rowid DESC LIMIT 50", ()) for _ in range(_READS)]
    shutil.rmtree(settings.home)
    yield newest_figure(place.rows).times(ours, bare)


def _fill(path: str, rows: int) -> None:
    """Finished jobs of a year, one of a hundred failed."""
    now, names = Clock().now_ms(), "id, type, status, config, options, lock_key, created_at, created_by, completed_at"
    config, step = json.dumps({"groupWaId": "120363403645737238@g.us", "batchSize": 5, "delayMs": 10000}), 31_536_000

    def job(number: int) -> tuple[Any, ...]:
        at, status = now - (rows - number) * step // 1000, "failed" if number % 100 == 0 else "completed"
        return (
            f"job_{at:013d}_{number:013d}",
            "removal_queue",
            status,
            config,
            "{}",
            f"group:{number % 500}",
            at,
            "bench",
            at,
        )

    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        marks = ", ".join("?" * 9)
        database.executemany(f"INSERT INTO jobs ({names}) VALUES ({marks})", map(job, range(rows)))  # noqa: S608 - ours
        database.execute("ANALYZE")


def _statement(settings: Settings) -> tuple[str, Any]:
    """What the store asks the database for the newest fifty, word for word."""
    store, asked = open_store(settings, Clock()), []
    with store.read() as tx:

        def note(_c: Any, _k: Any, statement: str, values: Any, *_: Any) -> None:
            asked.append((statement, values))

        event.listen(tx.connection, "before_cursor_execute", note)
        found = JobRows(tx).newest(JobFilter(), 50)
    store.close()
    if len(found) != 50 or not asked:
        raise NotMeasured(f"the newest 50 were {len(found)}")
    statement, values = asked[0]
    return str(statement), values


def _read(database: sqlite3.Connection, statement: str, values: Any) -> float:
    began = time.monotonic_ns()
    if len(database.execute(statement, values).fetchall()) != 50:
        raise NotMeasured("not 50 rows were read")
    return (time.monotonic_ns() - began) / 1e6


def _gets(port: int, path: str) -> tuple[float, float]:
    """(a second, p99 in milliseconds) over keep-alive connections, from a process of its own."""
    url = f"http://127.0.0.1:{port}{path}"
    if shutil.which("wrk"):
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", url]
        return _of_wrk(_output(command))
    command = [sys.executable, "-m", "scripts.bench_load", str(port), path, str(CONNECTIONS), str(SECONDS)]
    rate, p99 = json.loads(_output(command))
    return rate, p99


def _of_wrk(text: str) -> tuple[float, float]:
    if "Non-2xx" in text or "Socket errors" in text:
        raise NotMeasured(f"wrk saw errors: {text[-300:]}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if rate is None or p99 is None:
        raise NotMeasured(f"wrk said: {text[-300:]}")
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


def _output(command: list[str]) -> str:
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 30, check=False)
    if run.returncode:
        raise NotMeasured(f"{command[0]} failed: {run.stderr[-300:]}")
    return run.stdout
