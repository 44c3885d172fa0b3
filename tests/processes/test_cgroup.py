"""The three rungs of containment: every shape of process tree on each, and the documented holes of the lowest."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.cgroup import Cgroup, own_cgroup
from runner.clock import Clock
from runner.containment import Containment
from runner.fork_server import start_fork_server
from runner.lines import SharedLines
from runner.process import JobProcess
from runner.tree import server_mark
from tests.processes.conftest import Jobs
from tests.processes.oracle import Lifeline, is_living
from tests.waiting import wait_for

SHAPES = ["plain", "session", "daemon", "shell", "deaf", "stopped", "hop", "many"]
ESCAPE_FROM_PSUTIL = {"daemon", "hop"}
"""The documented holes: a daemon that forked twice, and a chain of processes each of which starts the next."""
MAY_ESCAPE_FROM_PSUTIL = {"many"}
"""Who is born while its parent dies of SIGTERM: the same hole, by chance."""


@pytest.fixture(params=["cgroup", "subreaper", "psutil"])
def rung(request: pytest.FixtureRequest) -> str:
    if request.param == "cgroup" and not is_delegated():
        pytest.skip("no cgroup v2 is delegated to whoever runs the tests")
    return str(request.param)


def is_delegated() -> bool:
    found = own_cgroup()
    probe = Cgroup(f"{found}/probe-{os.getpid()}")
    may = found is not None and probe.make()
    probe.remove()
    return may


def cgroup_of(pid: int) -> str:
    """As the kernel has it."""
    return next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))


def holders(path: str) -> list[int]:
    """Who holds a lifeline for writing, told without the runner's own walk."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                found += [int(entry.name) for file in (entry / "fd").iterdir() if os.path.realpath(file) == path]
    return found


def end_by_hand(lifeline: Lifeline, root: int) -> None:
    """What escaped is the test's own to end. A chain is too quick to be seen, but it is in the job's process group."""

    def is_over() -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(root, signal.SIGKILL)
        for pid in holders(os.path.realpath(lifeline.path)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return lifeline.is_let_go()

    wait_for(is_over, "what escaped is ended")


def begun(jobs: Jobs, lifeline: Lifeline, shape: str, way: str = "ignore") -> str:
    job_id = jobs.start("heed", way=way, lifeline=lifeline.path, grandchildren=shape)
    jobs.until(job_id, lambda job: job.progress.message == "here", "the job has begun")
    wait_for(lambda: lifeline.words(2), "those below it have begun")
    return job_id


@pytest.mark.parametrize("shape", SHAPES)
def test_who_is_left_after_a_forced_cancel(
    open_jobs: Callable[..., Jobs], lifeline: Lifeline, rung: str, shape: str
) -> None:
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1, containment=rung)
    job_id = begun(jobs, lifeline, shape)
    root = jobs.pid(job_id)
    jobs.manager.cancel(job_id, "me")
    job = jobs.until_over(job_id)
    escapes = not lifeline.is_let_go()
    try:
        if rung != "psutil" or shape not in MAY_ESCAPE_FROM_PSUTIL:
            assert escapes == (rung == "psutil" and shape in ESCAPE_FROM_PSUTIL)
        assert job.cancellation is not None
        assert (job.cancellation.phase, job.cancellation.containment) == ("stopped", rung)
        assert {"SIGKILL"} <= {receipt["signal"] for receipt in job.cancellation.signals}
    finally:
        if escapes:
            end_by_hand(lifeline, root)


@pytest.mark.parametrize("shape", ["session", "daemon", "hop"])
def test_a_forced_end_touches_no_other_job(
    open_jobs: Callable[..., Jobs], home: Path, lifeline: Lifeline, rung: str, shape: str
) -> None:
    """Two jobs side by side with the same kind of tree; one is ended by force, then the other."""
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1, containment=rung)
    other = Lifeline(home / "other")
    first, second = begun(jobs, lifeline, shape), begun(jobs, other, shape)
    roots = [jobs.pid(first), jobs.pid(second)]
    try:
        jobs.manager.cancel(first, "me")
        jobs.until_over(first)
        assert not other.is_let_go()
        assert is_living(roots[1])
        if shape != "hop":
            assert len(holders(os.path.realpath(other.path))) == 2, "the other job and who is below it"
        jobs.manager.cancel(second, "me")
        jobs.until_over(second)
    finally:
        end_by_hand(lifeline, roots[0])
        end_by_hand(other, roots[1])
        other.close()


def test_a_process_is_in_its_cgroup_before_it_has_a_job(open_jobs: Callable[..., Jobs], lifeline: Lifeline) -> None:
    """So nothing of that lies between a request and the first line; and all goes when the job has gone."""
    if not is_delegated():
        pytest.skip("no cgroup v2 is delegated to whoever runs the tests")
    own = cgroup_of(os.getpid())
    jobs = open_jobs(grace_seconds=0.1, terminate_seconds=0.1)
    pool = jobs.manager._supervisor._pool
    standby = wait_for(pool.pids, "a process stands by")[0]
    wait_for(lambda: cgroup_of(standby) != own, "it has moved")
    job_id = begun(jobs, lifeline, "daemon")
    assert jobs.pid(job_id) == standby
    place = cgroup_of(standby)
    held = holders(os.path.realpath(lifeline.path))
    assert len(held) == 2
    assert {cgroup_of(pid) for pid in held} == {place}
    folder = Path(f"{own_cgroup()}/{place.removeprefix(own).lstrip('/')}")
    assert folder.is_dir()
    jobs.manager.cancel(job_id, "me")
    jobs.until_over(job_id)
    wait_for(lambda: not folder.exists(), "its directory is removed")
    jobs.close()
    assert not folder.parent.exists(), "and that of the server"


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, count, None)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_birth_that_fails_leaves_no_directory(nobody_left: None) -> None:
    """Wherever it fails for lack of descriptors; at some places the fork server dies of that too."""
    if not is_delegated():
        pytest.skip("no cgroup v2 is delegated to whoever runs the tests")
    containment = Containment("cgroup", "sqlite:////nowhere/births.db", Clock())
    containment.open()
    context, shared = multiprocessing.get_context("forkserver"), SharedLines()
    start_fork_server(context, [], server_mark("sqlite:////nowhere/births.db", Clock()))
    born: list[JobProcess] = []
    failed = 0
    try:
        for room in range(30):
            with descriptors_left(room):
                try:
                    born.append(JobProcess(context, shared, Clock(), containment))
                except Exception:
                    failed += 1
        assert failed >= 5, "it failed at several places"
    finally:
        for process in born:
            process.dismiss()
    try:
        wait_for(lambda: not left_in(containment), "what was made for those that failed is removed")
    finally:
        containment.close()


def left_in(containment: Containment) -> list[Path]:
    """What the next birth would not remove."""
    next_one = containment.place()
    containment.leave(next_one)
    assert next_one.cgroup is not None
    return [path for path in Path(next_one.cgroup.path).parent.iterdir() if path.is_dir()]
