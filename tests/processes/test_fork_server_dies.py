"""The fork server dies: what runs goes on and ends right, and the next one is like the first."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.cgroup import Cgroup, own_cgroup
from runner.fork_server import PRELOAD_WORKFLOWS, fork_server_pid
from runner.tree import SERVER, server_mark
from tests.processes.conftest import Jobs
from tests.processes.oracle import Lifeline, is_living
from tests.waiting import wait_for

HOUR_MS = 3_600_000


def fork_server() -> int:
    pid = fork_server_pid()
    assert pid is not None
    return pid


def kill_fork_server() -> int:
    """Returns whom it was."""
    pid = fork_server()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_living(pid), "the fork server is dead")
    return pid


def dead_children() -> list[int]:
    """Our zombies, but for the fork servers: those are multiprocessing's to collect."""
    found = []
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with contextlib.suppress(OSError):
            if not is_living(int(pid)) and int(pid) != fork_server():
                found.append(int(pid))
    return found


@pytest.fixture(params=["auto", "subreaper"])
def rung(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def begun(jobs: Jobs, lifeline: Lifeline, way: str, shape: str = "") -> str:
    job_id = jobs.start("heed", way=way, lifeline=lifeline.path, grandchildren=shape)
    jobs.until(job_id, lambda job: job.progress.message == "here", "the job has begun")
    return job_id


def test_jobs_that_run_go_on_and_end_right(
    open_jobs: Callable[..., Jobs], home: Path, lifeline: Lifeline, rung: str
) -> None:
    """One in a delay, one that computes, one with a daemon, one that crashes, one that completes."""
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2, containment=rung, standby=2)
    delayed, crashes = (jobs.start(workflow, total=6, delay_ms=HOUR_MS) for workflow in ("count", "frail"))
    computes, with_daemon = begun(jobs, lifeline, "loop"), begun(jobs, lifeline, "ignore", "daemon")
    wait_for(lambda: lifeline.words(3), "two jobs and a daemon have begun")
    for job_id in (delayed, crashes):
        jobs.until_processed(job_id, 2)
    completes = jobs.start("trace", total=6, delay_ms=1500)
    pids = {job_id: jobs.pid(job_id) for job_id in (completes, delayed, computes, with_daemon, crashes)}
    old = kill_fork_server()

    assert jobs.until_over(jobs.start("trace", total=4, delay_ms=10)).status == "completed"
    wait_for(lambda: fork_server() != old, "there is another fork server")
    done = jobs.until_over(completes)
    assert (done.status, done.epoch, done.crashes) == ("completed", 1, 0)
    assert jobs.result(completes)["done"] == list(range(6))
    for job_id in (delayed, computes, with_daemon, crashes):
        assert (jobs.get(job_id).status, jobs.get(job_id).epoch) == ("running", 1)
        assert is_living(pids[job_id])
    assert_ends(jobs, lifeline, pids, crashes, [delayed, computes, with_daemon])


def assert_ends(jobs: Jobs, lifeline: Lifeline, pids: dict[str, int], crashes: str, cancelled: list[str]) -> None:
    """The one by a crash, the others by a cancel, of which the first heeds it."""
    os.kill(pids[crashes], signal.SIGKILL)
    crashed = jobs.until_over(crashes)
    assert (crashed.status, crashed.epoch) == ("failed", 1)
    assert crashed.error is not None
    assert crashed.error.startswith("interrupted: its process was killed by SIGKILL"), "it is our child now"
    for job_id in cancelled:
        jobs.manager.cancel(job_id, "me")
    stopped = [jobs.until_over(job_id) for job_id in cancelled]
    assert {job.status for job in stopped} == {"cancelled"}
    assert lifeline.is_let_go(), "said to be stopped, but somebody lives"
    assert [bool(job.cancellation and job.cancellation.signals) for job in stopped] == [False, True, True]
    assert jobs.until_over(jobs.start("count")).status == "completed"
    jobs.close()
    wait_for(lambda: not any(map(is_living, pids.values())), "none of them is left")


@pytest.mark.parametrize("shape", ["plain", "session", "daemon", "shell", "stopped", "hop", "many"])
def test_what_such_a_job_leaves_behind_is_ended(
    open_jobs: Callable[..., Jobs], lifeline: Lifeline, rung: str, shape: str
) -> None:
    """The job is killed, so that it takes nobody along: its orphans come to the server, and are found there."""
    dead_before = set(dead_children())  # servers that other tests have killed leave theirs to this process
    jobs = open_jobs(containment=rung)
    job_id = begun(jobs, lifeline, "wait", shape)
    wait_for(lambda: lifeline.words(2), "those below it have begun")
    pid = jobs.pid(job_id)
    kill_fork_server()
    jobs.manager.cancel(job_id, "me")
    os.kill(pid, signal.SIGKILL)
    assert jobs.until_over(job_id).status == "cancelled"
    assert lifeline.is_let_go(), "said to be stopped, but somebody lives"
    assert jobs.until_over(jobs.start("count")).status == "completed"
    wait_for(lambda: set(dead_children()) <= dead_before, "all that came to the server is collected")


def test_the_next_one_is_like_the_first(jobs: Jobs) -> None:
    """With all loaded, no signal blocked, deaf to an interrupt, and marked; it is started by another thread."""
    pool = jobs.manager._supervisor._pool
    before = {name: state_of(fork_server())[name] for name in ("SigBlk", "SigIgn")}
    old = kill_fork_server()
    ids = [jobs.start("count") for _ in range(3)]
    assert {jobs.until_over(job_id).status for job_id in ids} == {"completed"}
    wait_for(lambda: fork_server() != old and pool.pids(), "the next one has started a process")
    assert {name: state_of(fork_server())[name] for name in ("SigBlk", "SigIgn")} == before
    assert int(before["SigBlk"], 16) == 0
    assert int(before["SigIgn"], 16) & 1 << (signal.SIGINT - 1)
    assert marks_of(fork_server()) == marks_wanted(jobs)
    process = wait_for(pool.take, "a process stands by")
    wait_for(lambda: list(process.messages()), "it says that it is ready")
    assert process.preloaded
    assert os.getppid() != process.identity.pid
    pool.put_back(process)


@pytest.mark.parametrize("by", ["a job", "whoever else"])
def test_only_the_fork_server_is_marked(jobs: Jobs, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """What this process starts besides is not the runner's: a later server would end it."""
    assert not {SERVER, PRELOAD_WORKFLOWS} & set(os.environ)
    monkeypatch.setenv(SERVER, "of the server that this one was started by")
    old = kill_fork_server()
    if by == "a job":
        assert jobs.until_over(jobs.start("count")).status == "completed"
    else:
        process = multiprocessing.get_context("forkserver").Process(target=os.getpid)
        process.start()
        process.join()
        assert process.exitcode == 0
    wait_for(lambda: fork_server() != old, "there is another fork server")
    assert marks_of(fork_server()) == marks_wanted(jobs)
    assert os.environ[SERVER] == "of the server that this one was started by"
    monkeypatch.delenv(SERVER)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as program:
        wait_for(lambda: Path(f"/proc/{program.pid}/environ").read_bytes(), "it has begun")
        assert marks_of(program.pid) == set()


def marks_wanted(jobs: Jobs) -> set[str]:
    mark = server_mark(jobs.settings.url, jobs.manager.clock)
    return {
        f"{SERVER}={mark}",
        f"{PRELOAD_WORKFLOWS}={','.join(['runner.workflows', *jobs.settings.workflow_modules])}",
    }


def state_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def marks_of(pid: int) -> set[str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return {entry for entry in entries if entry.startswith((f"{SERVER}=", f"{PRELOAD_WORKFLOWS}="))}


def test_out_of_descriptors(open_jobs: Callable[..., Jobs]) -> None:
    """It dies of that, in the middle of a start; those that run do not notice."""
    jobs = open_jobs(max_running=30)
    running = [jobs.start("count", delay_ms=HOUR_MS) for _ in range(3)]
    for job_id in running:
        jobs.until_processed(job_id, 2)
    old = fork_server()
    few = len(list(Path(f"/proc/{old}/fd").iterdir())) + 8
    resource.prlimit(old, resource.RLIMIT_NOFILE, (few, few))
    more = [jobs.start("count", delay_ms=HOUR_MS) for _ in range(20)]
    for job_id in more:
        jobs.until_processed(job_id, 2)
    assert not is_living(old)
    assert {(jobs.get(job_id).status, jobs.get(job_id).epoch) for job_id in running} == {("running", 1)}
    for job_id in [*running, *more]:
        jobs.manager.cancel(job_id, "me")
    assert {jobs.until_over(job_id).status for job_id in [*running, *more]} == {"cancelled"}


def test_again_and_again(jobs: Jobs) -> None:
    """While jobs are being started: each ends once."""
    ids = []
    for _ in range(4):
        ids += [jobs.start("trace", total=4, delay_ms=20) for _ in range(3)]
        kill_fork_server()
        ids.append(jobs.start("trace", total=4))
        jobs.until_over(ids[-1])
    for job_id in ids:
        job = jobs.until_over(job_id)
        assert (job.status, job.crashes) == ("completed", 0)
        assert jobs.result(job_id)["done"] == list(range(4))


def test_nothing_is_left_of_a_server_whose_fork_server_died(open_jobs: Callable[..., Jobs], lifeline: Lifeline) -> None:
    """It goes down while such jobs run: they end with it, those that stand by too."""
    jobs = open_jobs(standby=2)
    job_id = begun(jobs, lifeline, "ignore", "daemon")
    wait_for(lambda: lifeline.words(2), "those below it have begun")
    kill_fork_server()
    jobs.close()
    wait_for(lifeline.is_let_go, "job and daemon are gone")
    found = own_cgroup()
    left = [path for path in Path(found or "/nowhere").glob(f"cancellable-jobs-*-{os.getpid()}-*") if path.is_dir()]
    wait_for(lambda: not any(Cgroup(str(path)).is_populated() for path in left), "nobody is in a cgroup of ours")
    again = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    again.manager.cancel(job_id, "me")
    assert again.until_over(job_id).status == "cancelled"
