"""Jobs give way to who supervises them, and to a job that begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from runner.priority import NICE
from tests.processes.conftest import Jobs
from tests.waiting import wait_for


def nice_of(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def session_nice_of(pid: int) -> int:
    path = Path(f"/proc/{pid}/autogroup")
    return int(path.read_text().split()[-1]) if path.exists() and path.read_text() else NICE


def gives_way(pid: int) -> bool:
    return nice_of(pid) == NICE and session_nice_of(pid) == NICE


@pytest.fixture
def jobs(open_jobs: Callable[..., Jobs]) -> Jobs:
    return open_jobs(workflows="tests.processes.samples,tests.processes.samples_hostile")


def test_a_job_gives_way_with_all_that_it_has_started_and_the_server_does_not(jobs: Jobs) -> None:
    before = nice_of(0)
    job_id = jobs.start("hostile", way="computes")
    jobs.pid(job_id)
    supervisor = jobs.manager._supervisor
    everyone = wait_for(lambda: len(found := supervisor.members_of(job_id)) == 2 and found, "its two processes run")
    for pid in (int(member["pid"]) for member in everyone):
        wait_for(partial(gives_way, pid), "it gives way")
        threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
        assert {nice_of(thread) for thread in threads} == {NICE}
    assert nice_of(0) == before
    assert [nice_of(pid) for pid in supervisor._pool.pids()] == [before], "who stands by is to begin at once"
    jobs.manager.cancel(job_id, "me", None, force=True)
    assert jobs.until_over(job_id).status == "cancelled"
