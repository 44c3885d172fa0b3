"""A server that is told to go down goes, whatever has become of its store; the next one concludes what it left."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.endtoend.server import Server, is_living
from tests.waiting import wait_for

SENTENCE = "did not take down how 2 jobs ended: the next start concludes them"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path, workflows="tests.processes.samples", grace_seconds=1, terminate_seconds=0.5)
    found.start()
    yield found
    found.close()


@pytest.fixture
def at_work(server: Server) -> list[str]:
    """One that heeds, and one that does not."""
    found = [server.start_job(type="heed", way=way) for way in ("sleep", "ignore")]
    for job_id in found:
        wait_for(lambda job_id=job_id: server.job(job_id)["progress"].get("message") == "here", "it is at work")  # type: ignore[misc]
    return found


def words_of(server: Server) -> str:
    return (server.home / "server.log").read_text(errors="replace")


def test_it_leaves_with_a_sentence_while_the_store_is_locked_and_the_next_start_concludes(
    server: Server, at_work: list[str]
) -> None:
    family = server.family()
    with closing(sqlite3.connect(server.home / "runner.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert server.end(signal.SIGTERM) == 3
    assert SENTENCE in words_of(server)
    wait_for(lambda: not any(map(is_living, family)), "its processes end with it")
    server.start()
    for job_id in at_work:
        wait_for(lambda job_id=job_id: server.job(job_id).get("attempt") == 2, "it goes on")  # type: ignore[misc]


@pytest.mark.parametrize("fault", ["noise", "nothing in it"])
def test_it_leaves_with_a_sentence_when_the_store_is_broken(server: Server, at_work: list[str], fault: str) -> None:
    family = server.family()
    database = server.home / "runner.db"
    if fault == "noise":
        with database.open("r+b") as file:
            file.write(b"noise" * 20_000)
        (server.home / "runner.db-wal").write_bytes(b"")
    else:  # as an older one that was put in its place
        with closing(sqlite3.connect(database)) as other, other:
            other.execute("DELETE FROM jobs")
    assert server.end(signal.SIGTERM) == 3
    assert SENTENCE in words_of(server)
    wait_for(lambda: not any(map(is_living, family)), "its processes end with it")


def test_a_cancel_by_force_is_done_while_the_store_is_locked(server: Server, at_work: list[str]) -> None:
    deaf = at_work[1]
    family = server.family()
    with closing(sqlite3.connect(server.home / "runner.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, answer = server.call("POST", f"/admin/jobs/{deaf}/cancel?force=true")
        assert (status, "kept in the journal" in str(answer)) == (503, True), answer
        wait_for(lambda: sum(map(is_living, family)) < len(family), "somebody is gone, recorded or not")
    wait_for(lambda: server.job(deaf).get("cancellation", {}).get("phase") == "stopped", "it is recorded")
    assert server.end(signal.SIGTERM) == 0
