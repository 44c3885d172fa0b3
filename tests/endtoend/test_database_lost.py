"""The database file goes, or another takes its place, under a server and its jobs."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.errors import DatabaseLost
from runner.stores.guard import FileGuard
from runner.stores.migrate import migrate
from tests.endtoend.server import Server, is_living
from tests.waiting import wait_for


def remove(path: Path, _older: Path) -> None:
    path.unlink()


def put_another_in_its_place(path: Path, older: Path) -> None:
    older.rename(path)


def copy_another_over_it(path: Path, older: Path) -> None:
    with older.open("rb") as source, path.open("r+b") as target:
        target.truncate()
        shutil.copyfileobj(source, target)
    os.truncate(path.with_name("runner.db-wal"), 0)


def remove_its_log(path: Path, _older: Path) -> None:
    path.with_name("runner.db-wal").unlink()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, workflows="tests.processes.samples", grace_seconds=1, terminate_seconds=1)
    yield server
    server.close()


@pytest.mark.parametrize("lose", [remove, put_another_in_its_place, copy_another_over_it, remove_its_log])
def test_nothing_acts_on_without_its_database(
    server: Server, tmp_path: Path, lose: Callable[[Path, Path], None]
) -> None:
    database, older = tmp_path / "runner.db", tmp_path / "older.db"
    server.start()
    job_id = server.start_job(type="count", total=1_000_000, delayMs=20)
    wait_for(lambda: server.job(job_id)["progress"]["processed"] > 2, "the job acts")
    with sqlite3.connect(database) as connection, sqlite3.connect(older) as copy:
        connection.backup(copy)  # of this very life of the server, with the job in it
        if lose is copy_another_over_it:
            copy.execute("PRAGMA user_version=7")  # or of an earlier one
    connection.close()
    copy.close()
    told = server.call("POST", f"/admin/jobs/{job_id}/cancel?dryRun=true")[1]["wouldSignal"]
    jobs = [psutil.Process(one["pid"]) for one in told]
    assert jobs
    lose(database, older)

    def is_told() -> Any:
        status, ready = server.call("GET", "/readyz")
        return ready.get("checks", {"database": "ok"})["database"] != "ok" and (status, ready)

    status, ready = wait_for(is_told, "it is not ready")
    assert status == 503
    assert "start it again" in ready["checks"]["database"]
    status, refused = server.call("POST", "/admin/jobs/start", {"type": "count"})
    assert (status, "removed or replaced" in refused["detail"]) == (503, True)
    wait_for(lambda: not any(map(is_living, jobs)), "the job is stopped")
    assert database.exists() is (lose is not remove), "nobody has made a new one"
    assert sum('"level": "critical"' in line for line in (tmp_path / "server.log").read_text().splitlines()) == 1
    server.send(signal.SIGKILL)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Path, FileGuard]]:
    path = tmp_path / "runner.db"
    migrate(f"sqlite:///{path}")
    guard = FileGuard(path)
    guard.begin(lambda: None)
    yield path, guard
    guard.close()


def test_a_folder_that_is_moved_and_comes_back(guarded: tuple[Path, FileGuard], tmp_path: Path) -> None:
    _, guard = guarded
    guard.check()
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    with pytest.raises(DatabaseLost, match="it is gone"):
        guard.check()
    moved.rename(tmp_path)
    guard.check()


@pytest.mark.parametrize("left", [0, 8192], ids=["emptied", "cut"])
def test_a_file_that_is_cut(guarded: tuple[Path, FileGuard], left: int) -> None:
    path, guard = guarded
    os.truncate(path, left)

    def is_noticed() -> bool:
        try:
            guard.check()
        except DatabaseLost:
            return True
        return False

    wait_for(is_noticed, "it is noticed")


def test_a_job_refuses_a_copy(guarded: tuple[Path, FileGuard], tmp_path: Path) -> None:
    """A file of another life of the server, though it lies where the right one lay."""
    path, guard = guarded
    theirs = FileGuard(path, guard.marks)
    theirs.check()
    with sqlite3.connect(path) as connection:
        theirs.check_number(connection)
        connection.execute("PRAGMA user_version=7")
        with pytest.raises(DatabaseLost, match="copied over"):
            theirs.check_number(connection)
    connection.close()
