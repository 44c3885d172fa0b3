"""One job's stray process, or a shortage of the server's own, does not keep the others from ending."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.conftest import SAMPLES, Jobs, request
from tests.processes.test_fork_server_dies import kill_fork_server
from tests.processes.test_limits import start as start_limited
from tests.waiting import wait_for

WORKFLOWS = f"{SAMPLES},tests.processes.samples_strays"
HOUR_MS = 3_600_000
Open = Callable[..., Jobs]


@pytest.fixture
def stray(tmp_path: Path) -> Iterator[Path]:
    """The folder of the stray; whoever named himself there is ended."""
    folder = tmp_path / "stray"
    folder.mkdir()
    yield folder
    if (folder / "pid").exists():
        end(int((folder / "pid").read_text()))


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("kind", ["deep", "mute"])
@pytest.mark.parametrize("rung", ["subreaper", "auto"])
def test_a_stray_that_cannot_be_looked_at_holds_up_nobody_else(
    open_jobs: Open, stray: Path, kind: str, rung: str
) -> None:
    jobs = open_jobs(workflows=WORKFLOWS, containment=rung, grace_seconds=0.2, terminate_seconds=0.2)
    deaf = jobs.start("heed", way="ignore")
    jobs.until(deaf, lambda job: job.progress.message == "here", "it is deaf")
    left = jobs.start("strays", folder=str(stray), kind=kind)
    wait_for(lambda: (stray / "pid").exists(), "the stray is there")
    assert jobs.until_over(jobs.start("count", total=2)).status == "completed"
    jobs.manager.cancel(deaf, "me", force=True)
    cancelled = jobs.until_over(deaf).cancellation
    assert cancelled is not None
    assert cancelled.signals, "its signals are told"
    end(int((stray / "pid").read_text()))
    assert jobs.until_over(left).status == "failed"


def test_a_limit_holds_though_the_fork_server_has_died(jobs: Jobs) -> None:
    """Every sentinel fires then; the jobs live on."""
    job_id = start_limited(jobs, "trace", timeout_ms=2500, total=4, batch_size=2, delay_ms=HOUR_MS)
    jobs.until_processed(job_id, 2)
    kill_fork_server()
    job = jobs.until_over(job_id)
    assert job.stop_reason == "timeout"
    assert job.ran_ms >= 2500


def _opened() -> int | None:
    try:
        return os.open("/dev/null", os.O_RDONLY)
    except OSError:
        return None


@contextmanager
def no_descriptors() -> Iterator[None]:
    """The server has none left to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filled: list[int] = []
    most = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        while (descriptor := _opened()) is not None:
            filled.append(descriptor)
        yield
    finally:
        for descriptor in filled:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_start_without_descriptors_costs_no_slot_and_no_process(open_jobs: Open) -> None:
    jobs = open_jobs(max_running=2, standby=1)
    wanted = request("count", total=2)
    launcher = jobs.manager._supervisor.launcher
    wait_for(launcher._pool.pids, "a process stands by")
    for _ in range(3):
        with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
            launcher.reserve()
    assert launcher.has_room()
    assert jobs.until_over(jobs.manager.start(wanted)).status == "completed"
