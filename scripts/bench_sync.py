"""Sync: the members of a large group as its gateway lists them, taken over into those that are kept here."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil

from scripts.bench_bare import own_pages
from scripts.bench_gateway import group_of, people_of
from scripts.bench_place import Place
from scripts.bench_rows import Figure, NotMeasured, Row, at_most
from scripts.bench_server import Client, Server, serving

LARGE, SMALL = 100_000, 100
NEW = Figure(
    f"{LARGE:,} members listed, all of them new -> members here (POST ingest -> 200)",
    "s",
    (at_most(2),),
    "the same rows put into two tables by sqlite3 alone",
)
AGAIN = Figure(
    f"sync of a {LARGE:,}-member group: POST start -> job has looked at all",
    "s",
    (at_most(2),),
    "the same rows read and compared by sqlite3 alone",
)
MEMORY = Figure("... its process at most, own pages (USS)", "MB", (), f"the same with {SMALL} members")
FIGURES = (NEW, AGAIN, MEMORY)
_PAUSE_SECONDS, _WINDOW_MS = 0.005, 2_592_000_000


def measure(place: Place) -> Iterator[Row]:
    place.say(f"a group of {LARGE:,} members is taken in, and a job looks at all of them")
    bare_new, bare_again = _bare(place)
    with serving(place.fresh("sync"), GATEWAY="scripts.bench_gateway:open_group", STANDBY=1) as server:
        client = server.client()
        _take_in(client, SMALL)
        yield NEW.row(_take_in(client, LARGE), bare_new, note="its list is made up in the server, not read by HTTP")
        _, small = _look(server, client, SMALL)
        seconds, large = _look(server, client, LARGE)
    yield AGAIN.row(seconds, bare_again, note="its list is made up in the job, not read by HTTP")
    yield MEMORY.row(large, small)


def _take_in(client: Client, size: int) -> float:
    began = time.monotonic()
    taken = client.call("POST", "/admin/groups/ingest", {"groupWaId": group_of(size)})
    if taken["members"] != size:
        raise NotMeasured(f"{taken['members']} members were taken in, not {size}")
    return time.monotonic() - began


def _look(server: Server, client: Client, size: int) -> tuple[float, float]:
    """Seconds until a removal job that finds nobody is over, and MB of its process at most."""
    began, most = time.monotonic(), 0.0
    config = {"groupWaId": group_of(size), "inactivityWindowMs": _WINDOW_MS, "batchSize": 5, "delayMs": 0}
    job_id = client.start(type="removal_workflow", dryRun=False, **config)
    job: dict[str, Any] = client.job(job_id)
    while job["status"] in ("pending", "running"):
        pid = server.select(f"coalesce(pid, 0) FROM jobs WHERE id = '{job_id}'")
        with contextlib.suppress(OSError, psutil.Error):
            most = max(most, own_pages(pid) if pid else 0.0)
        time.sleep(_PAUSE_SECONDS)
        job = client.job(job_id)
    if job["status"] != "completed":
        raise NotMeasured(f"the job is {job['status']}: {job.get('error')}")
    return time.monotonic() - began, most


def _bare(place: Place) -> tuple[float, float]:
    """Seconds to write as many people and memberships to an empty file, and to read and compare them."""
    rows = [(number, lid, pn) for number, (lid, pn) in enumerate(people_of(group_of(LARGE)))]
    with closing(sqlite3.connect(place.fresh("bare") / "bare.db")) as database:
        database.executescript(
            "CREATE TABLE people (id INTEGER PRIMARY KEY, lid TEXT UNIQUE, pn TEXT UNIQUE);"
            "CREATE TABLE members (group_id INTEGER, person_id INTEGER, role TEXT, PRIMARY KEY (group_id, person_id))"
        )
        began = time.monotonic()
        with database:
            database.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
            database.executemany("INSERT INTO members VALUES (1, ?, 'member')", ((row[0],) for row in rows))
        written = time.monotonic()
        known = {lid: (number, pn) for number, lid, pn in rows}
        read = database.execute("SELECT p.id, p.lid, p.pn, m.role FROM members m JOIN people p ON p.id = m.person_id")
        if sum(known[lid] == (number, pn) for number, lid, pn, _ in read) != LARGE:
            raise NotMeasured("what was read is not what was written")
        return written - began, time.monotonic() - written
