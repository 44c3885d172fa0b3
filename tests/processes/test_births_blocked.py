"""Nobody can be born: that is said, and mended, and who waits then runs."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.births import PATIENCE_SECONDS, Births
from runner.clock import Clock
from runner.errors import NoBirths
from tests.processes.conftest import Jobs
from tests.processes.oracle import is_living
from tests.processes.test_fork_server_dies import fork_server, kill_fork_server
from tests.waiting import wait_for


def test_a_fork_server_that_is_stopped_is_replaced(open_jobs: Callable[..., Jobs]) -> None:
    """What stands by is used first: the others wait for it."""
    jobs = open_jobs(standby=1)
    stopped = fork_server()
    os.kill(stopped, signal.SIGSTOP)
    ids = [jobs.start("count") for _ in range(3)]
    assert {jobs.until_over(job_id).status for job_id in ids} == {"completed"}
    assert (fork_server() != stopped, is_living(stopped)) == (True, False)
    assert jobs.manager.readiness()["births"] == "ok"


def test_its_folder_may_be_removed(open_jobs: Callable[..., Jobs], home: Path) -> None:
    """As those do that clean by age; the Manager's socket lies there as well."""
    jobs = open_jobs(standby=1)
    kill_fork_server()  # of an earlier test, with its folder elsewhere
    assert jobs.until_over(jobs.start("count")).status == "completed"
    names = wait_for(lambda: len(found := sorted((home / "run" / "ipc").iterdir())) == 2 and found, "both listen")
    assert [path.name.split("-")[0] for path in names] == ["fork", "lines"]
    assert (home / "run" / "ipc").stat().st_mode & 0o777 == 0o700
    shutil.rmtree(home / "run")
    ids = [jobs.start("count") for _ in range(3)]
    assert {jobs.until_over(job_id).status for job_id in ids} == {"completed"}


def test_nobody_can_be_born(
    open_jobs: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said after some seconds, starts are refused, and who waits runs once it is mended."""
    jobs = open_jobs(standby=0, max_running=8)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    kill_fork_server()
    waits = jobs.start("count")
    why = wait_for(lambda: (found := jobs.manager.readiness()["births"]) != "ok" and found, "it is not ready")
    assert "no process could be started" in why
    with pytest.raises(NoBirths, match="no process could be started"):
        jobs.start("count")
    said = [record for record in caplog.records if "Cannot start a process" in record.getMessage()]
    assert len(said) == 1, "once a minute is enough"
    monkeypatch.undo()
    assert jobs.until_over(waits).status == "completed"
    assert jobs.manager.readiness()["births"] == "ok"
    assert jobs.until_over(jobs.start("count")).status == "completed"


def test_the_current_folder_may_go(open_jobs: Callable[..., Jobs], tmp_path: Path) -> None:
    before = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    try:
        gone.rmdir()
        jobs = open_jobs(standby=1)
        ids = [jobs.start("count") for _ in range(3)]
        assert {jobs.until_over(job_id).status for job_id in ids} == {"completed"}
    finally:
        os.chdir(before)


def test_what_is_told_of_births() -> None:
    now = [100.0]
    births = Births(Clock(boot_seconds=lambda: now[0]))
    assert births.state() == "ok"
    with pytest.raises(OSError, match="no room"), births.attempt():
        raise OSError("no room")
    now[0] += PATIENCE_SECONDS - 1
    assert births.state() == "ok"
    now[0] += 1
    assert births.state() == "no process could be started for 5 s: no room"
    now[0] += 1000
    assert births.state() == "ok", "nobody has tried since"
    with births.attempt():
        now[0] += PATIENCE_SECONDS
        assert births.state() == "no process could be started for 1010 s: no room"
    assert births.state() == "ok"
    with births.attempt():
        now[0] += PATIENCE_SECONDS
        assert births.state() == "no process could be started for 5 s: the fork server does not answer"
