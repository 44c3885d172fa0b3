"""Killing the server, and killing the job's process, at every moment of a batch: nobody is removed twice or skipped.

The slow gateway's effect log is the oracle: it alone knows who was really removed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.clock import Clock
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.proc import stat_of
from runner.stores.batches import BatchRows
from runner.stores.database import SqlStore
from runner.stores.jobs import JobRows
from runner.stores.migrate import migrate
from tests.endtoend.server import Server, is_living
from tests.gateways.slow import configure, effects, removed_ids
from tests.waiting import wait_for

GROUP = "120363403645737238@g.us"
PEOPLE = 60
MOMENTS = ("between intent and call", "in the call", "between call and commit", "in the delay")
KILLS_EACH = int(os.environ.get("KILLS_EACH", "1"))
"""In an ordinary run; more by hand."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path, gateway="tests.gateways.slow:open_slow")
    yield found
    found.close()


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    """The server's database, with a group all of whose people wait to be removed."""
    url = f"sqlite:///{tmp_path / 'runner.db'}"
    migrate(url)
    store = SqlStore(url, Clock(), pooled=False)
    with store.write() as tx:
        group = GroupRows(tx).create(GROUP, "Neighbours")
        members = [MemberRows(tx).put(group, MemberEntry(lid=f"{1000 + n}@lid"), tx.now) for n in range(PEOPLE)]
        QueueRows(tx).add(group, members, "asked for")
    return store


class Moments:
    """Where the job stands, by the gateway's log and the ledger."""

    def __init__(self, home: Path, store: SqlStore, job_id: str) -> None:
        self._home, self._store, self._job_id = home, store, job_id
        self._seen = 0

    def now(self) -> str:
        with self._store.read() as tx:
            is_open = bool(BatchRows(tx, self._job_id).open_batches())
        log = effects(self._home)
        last = log[-1]["event"] if log else ""
        if not is_open:
            return "in the delay"
        return {"asked": MOMENTS[0], "begin": MOMENTS[1], "effect": MOMENTS[1], "end": MOMENTS[2]}.get(last, "")

    def wait_for(self, moment: str) -> None:
        """In a batch that has not been killed yet: a job that never gets on is failed after three crashes."""
        wait_for(lambda: len(effects(self._home)) > self._seen and self.now() == moment, f"the job is {moment}")
        self._seen = len(effects(self._home))

    def pid(self) -> int | None:
        with self._store.read() as tx:
            job = JobRows(tx).get(self._job_id)
        return job.process.pid if job.process and job.is_claimed else None


def kill_server(server: Server, moments: Moments) -> str:
    server.kill()
    where = moments.now()
    server.start()
    return where


def kill_child(server: Server, moments: Moments) -> str:
    pid = moments.pid()
    child = next((process for process in server.family() if process.pid == pid), None)
    if child is None:
        return ""
    os.kill(child.pid, signal.SIGKILL)
    where = moments.now()
    wait_for(lambda: not is_living(child), "the killed process is gone")
    return where


@pytest.mark.parametrize("kill", [kill_server, kill_child])
def test_whoever_is_killed_everybody_is_removed_once(
    kill: Any, server: Server, store: SqlStore, tmp_path: Path, record_property: Any
) -> None:
    configure(tmp_path, before_ms=60, call_ms=80, after_ms=60, call_seconds=0.5)
    server.start()
    body = {"groupWaId": GROUP, "batchSize": 2, "delayMs": 60, "dryRun": False}
    job_id = server.start_job(type="removal_queue", **body)
    moments = Moments(tmp_path, store, job_id)
    histogram: Counter[str] = Counter()
    while wanted := [moment for moment in MOMENTS if histogram[moment] < KILLS_EACH]:
        assert server.job(job_id)["status"] in ("pending", "running"), histogram
        moments.wait_for(wanted[0])
        histogram[kill(server, moments)] += 1
    print(f"{kill.__name__}: {dict(histogram)}")
    record_property("kills", dict(histogram))

    job = wait_for(lambda: (now := server.job(job_id))["status"] == "completed" and now, "the job is completed")
    removed = removed_ids(tmp_path)
    assert Counter(removed) == Counter(f"{1000 + n}@lid" for n in range(PEOPLE))
    assert sorted(job["result"]["removedWhatsappIds"]) == sorted(removed)
    history = server.call("GET", f"/admin/removalHistory?groupWaId={GROUP}")[1]
    assert len(history) == PEOPLE
    assert not job["result"].get("unknownWhatsappIds")


def test_a_job_suspended_while_it_held_the_write_lock_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    server = Server(tmp_path, workflows="tests.processes.samples_strays")
    try:
        server.start()
        status, answer = server.call("POST", "/admin/jobs/start", {"type": "freezes_in_a_commit"})
        assert status == 202
        wait_for(lambda: is_suspended(server, answer["jobId"]), "it is suspended")
        server.end(signal.SIGKILL)
        server.start()
        wait_for(lambda: completed(server, answer["jobId"]), "it is done")
    finally:
        server.close()


def is_suspended(server: Server, job_id: str) -> bool:
    with sqlite3.connect(f"file:{server.home / 'runner.db'}?mode=ro", uri=True) as database:
        (pid,) = database.execute("SELECT pid FROM jobs WHERE id = ?", (job_id,)).fetchone()
    found = stat_of(pid) if pid else None
    return found is not None and found.state == "T"


def completed(server: Server, job_id: str) -> bool:
    return bool(server.job(job_id)["status"] == "completed")
