"""What is known of a process that would not stop, or that died; each in a real process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.job import Job
from runner.proc import ON_LINUX
from runner.process import JobProcess
from runner.running import Running
from tests.processes import samples_stuck
from tests.processes.conftest import Jobs
from tests.waiting import wait_for

SAMPLES = "tests.processes.samples,tests.processes.samples_stuck"
SUSPENDED = "suspended, as by SIGSTOP"
on_linux = pytest.mark.skipif(not ON_LINUX, reason="there is no /proc")


@pytest.fixture
def jobs(open_jobs: Callable[..., Jobs]) -> Jobs:
    return open_jobs(workflows=SAMPLES, grace_seconds=0.5, terminate_seconds=5)


def line_of(function: Callable[..., object], contains: str) -> int:
    """The line of the samples' source where a function has these words."""
    first = function.__code__.co_firstlineno
    lines = Path(samples_stuck.__file__).read_text().splitlines()
    return next(number for number in range(first, len(lines) + 1) if contains in lines[number - 1])


def running(jobs: Jobs, job_id: str) -> Running | None:
    return jobs.manager._supervisor.launcher.running.get(job_id)


def begun(jobs: Jobs, way: str) -> tuple[str, JobProcess]:
    """A job that is where it will be stuck, and its process."""
    job_id = jobs.start("stuck", way=way)

    def process() -> JobProcess | None:
        run = running(jobs, job_id)
        return run.process if run is not None and "stuck now" in run.process.log_tail() else None

    return job_id, wait_for(process, "it says that it is stuck now")


def forced(jobs: Jobs, job_id: str) -> tuple[Job, dict[str, Any]]:
    """Cancelled, and ended by force."""
    jobs.manager.cancel(job_id, "tester")
    job = jobs.until_over(job_id)
    assert job.status == "cancelled"
    assert job.post_mortem is not None
    return job, job.post_mortem


def is_in(process: JobProcess, state: str) -> bool:
    status = (Path("/proc") / str(process.identity.pid) / "stat").read_text()
    return status.rpartition(")")[2].split()[0] == state


@on_linux
@pytest.mark.parametrize(
    ("way", "function", "contains", "said", "state"),
    [
        ("spin", samples_stuck._spin, "number +=", "in `_spin`, at samples_stuck.py:{line}", "R"),
        ("scrypt", samples_stuck._scrypt, "hashlib", "in `hashlib.scrypt`, called from {place} (_scrypt)", "R"),
        ("match", samples_stuck._match, "re.match", "in `re.match`, called from {place} (_match)", "R"),
        ("lock", samples_stuck._lock, "# here", "in `lock.acquire`, called from {place} (_lock)", "S"),
        ("event", samples_stuck._event, "wait", "in `threading.Event().wait`, called from {place} (_event)", "S"),
        ("receive", samples_stuck._receive, "recv", "in `ours.recv`, called from {place} (_receive)", "S"),
        ("suspend", samples_stuck._suspend, "kill", SUSPENDED + ", in `os.kill`, called from {place} (_suspend)", "T"),
        ("ignore", samples_stuck._event, "wait", "in `threading.Event().wait`, called from {place} (_event)", "S"),
        ("fatal_below", samples_stuck._event, "wait", "in `threading.Event().wait`, called from {place} (_event)", ""),
    ],
)  # fmt: skip
def test_what_would_not_stop_is_named(
    jobs: Jobs, way: str, function: Callable[..., object], contains: str, said: str, state: str
) -> None:
    job_id, process = begun(jobs, way)
    if way in ("lock", "event", "receive", "suspend"):
        wait_for(lambda: is_in(process, state), f"it is in state {state}")
    _, found = forced(jobs, job_id)
    line = line_of(function, contains)
    lines = {line, line - 1, line + 1} if way == "spin" else {line}
    assert found["summary"] in {said.format(line=at, place=f"samples_stuck.py:{at}") for at in lines}
    main = found["stacks"][0]
    assert (main["thread"], main["frames"][-1]["function"]) == ("main", "stuck")
    assert function.__name__ in [frame["function"] for frame in main["frames"]]
    assert found["log"][-1] == "stuck now"
    assert found["cpuSeconds"] >= 0
    assert found["memoryMb"] < 500
    assert found["threads"] >= 2
    if way in ("lock", "event", "receive", "suspend"):
        assert found["state"] == state
    if way == "receive":
        assert found["waitsIn"].startswith("recvfrom")


def test_each_thread_of_the_jobs_own_is_told_and_none_of_ours(jobs: Jobs) -> None:
    _, found = forced(jobs, begun(jobs, "threads")[0])
    names = [stack["thread"] for stack in found["stacks"]]
    assert len(names) == len(set(names)) == 20, "of 31 the first 20"
    assert names[0] == "main"
    assert all("_event" in [frame["function"] for frame in stack["frames"]] for stack in found["stacks"])


@on_linux
def test_of_a_crowd_of_threads_none_is_taken_for_the_main_one(jobs: Jobs) -> None:
    """``faulthandler`` tells of a hundred, the newest first."""
    job_id, process = begun(jobs, "crowd")
    wait_for(lambda: is_in(process, "S"), "it is stuck")
    _, found = forced(jobs, job_id)
    assert found["summary"].startswith("in the system call `recvfrom")
    assert len(found["stacks"]) == 20
    assert "main" not in [stack["thread"] for stack in found["stacks"]]


def test_what_a_job_forks_keeps_the_jobs_own_way_with_sigterm_and_is_not_told_of(jobs: Jobs) -> None:
    job_id, process = begun(jobs, "own_way")
    wait_for(lambda: process.log_tail(1)[0].startswith("SIGSEGV"), "all it forked have ended")
    assert process.log_tail(3) == ["SIGQUIT: 8", "SIGTERM: 7", "SIGSEGV: -11"]
    wait_for(lambda: is_in(process, "S"), "it is stuck") if ON_LINUX else None
    _, found = forced(jobs, job_id)
    assert "_event" in [frame["function"] for frame in found["stacks"][0]["frames"]]
    assert found["summary"].startswith("in `threading.Event().wait`, called from")


def test_a_deep_stack_is_told_from_inside(jobs: Jobs) -> None:
    _, found = forced(jobs, begun(jobs, "deep")[0])
    functions = [frame["function"] for frame in found["stacks"][0]["frames"]]
    assert len(functions) == 50
    assert functions[2:4] == ["_event", "_deep"]
    assert found["summary"].startswith("in `threading.Event().wait`, called from")


@on_linux
def test_who_is_below_it_is_told(jobs: Jobs) -> None:
    job_id, process = begun(jobs, "children")
    wait_for(lambda: len(process.tree(job_id).members()) == 3, "both are born")
    _, found = forced(jobs, job_id)
    assert sorted(found["processes"])[-1] == "sleep"
    assert len(found["processes"]) == 2


@on_linux
@pytest.mark.parametrize(
    ("way", "number", "words"),
    [
        ("segfault", "SIGSEGV", "in `ctypes.string_at`, called from samples_stuck.py:"),
        ("abort", "SIGABRT", "in `os.abort`, called from samples_stuck.py:"),
        ("fatal_in_thread", "SIGSEGV", "in `string_at`, at __init__.py:"),
    ],
)
def test_something_fatal_is_told_without_being_asked(jobs: Jobs, way: str, number: str, words: str) -> None:
    job = jobs.until_over(jobs.start("stuck", way=way))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith(f"interrupted: its process was killed by {number} {words}")
    assert job.post_mortem is not None
    assert job.post_mortem["summary"].startswith(words)
    assert "stuck now" in job.post_mortem["log"]


def test_one_that_cannot_be_put_together_keeps_no_job(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe where the file with the stacks was: it cannot be read."""
    job_id, process = begun(jobs, "event")
    descriptor = process._post_mortem._descriptor
    assert descriptor is not None
    ends = os.pipe()
    os.dup2(ends[0], descriptor, inheritable=False)
    for end in ends:
        os.close(end)
    _, found = forced(jobs, job_id)
    assert list(found) == ["at", "log"]
    assert found["log"][-1] == "stuck now"
    assert "could not be put together" in caplog.text


def test_whoever_ends_well_leaves_none(jobs: Jobs) -> None:
    assert jobs.until_over(jobs.start("count")).post_mortem is None


def test_being_asked_changes_nothing(jobs: Jobs) -> None:
    """A question costs the process nothing, however often it is put."""
    job_id, process = begun(jobs, "sleep")
    for _ in range(20):
        process.examine()
    wait_for(lambda: "summary" in (process.post_mortem() or {}), "it has answered")
    found = process.post_mortem() or {}
    assert found["summary"].startswith("in `job.sleep`, called from samples_stuck.py:")
    jobs.manager.cancel(job_id, "tester")
    job = jobs.until_over(job_id)
    assert (job.status, running(jobs, job_id)) == ("cancelled", None)


def test_who_is_suspended_answers_once_it_goes_on(jobs: Jobs) -> None:
    job_id, process = begun(jobs, "suspend")
    wait_for(lambda: is_in(process, "T"), "it is suspended")
    process.examine()
    assert (process.post_mortem() or {})["summary"] == SUSPENDED
    os.kill(process.identity.pid, signal.SIGCONT)
    wait_for(lambda: (process.post_mortem() or {}).get("stacks"), "it has answered")
    forced(jobs, job_id)


# -- what is printed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "line"),
    [
        ("print", "printed"),
        ("error", "printed"),
        ("log", "printed"),
        ("program", "printed"),
        ("bytes", "\ufffd\x1b[31m printed"),
    ],
)
def test_what_was_printed_right_before_the_end_is_there(
    jobs: Jobs, way: str, line: str, kept: dict[str, list[str]]
) -> None:
    job_id = jobs.start("prints", way=way)
    jobs.until_over(job_id)
    (said,) = kept[job_id]
    assert said == line or (way == "log" and said.endswith(f": {line}")), "a line of a log tells its time and level"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each process had printed when its run was concluded."""
    found: dict[str, list[str]] = {}
    as_end = Running.as_end

    def noted(run: Running, *arguments: Any, **more: Any) -> Any:
        end = as_end(run, *arguments, **more)
        found[run.job_id] = run.process.log_tail()
        return end

    monkeypatch.setattr(Running, "as_end", noted)
    return found


def test_what_is_printed_comes_to_the_console(jobs: Jobs, capfd: pytest.CaptureFixture[str]) -> None:
    jobs.until_over(jobs.start("prints", way="print"))
    said = ""

    def has_come() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "printed\n" in said

    wait_for(has_come, "it has come")


def test_a_flood_holds_up_nobody(jobs: Jobs) -> None:
    """60 MB; beside it another job begins and ends."""
    job_id = jobs.start("stuck", way="flood")
    run = wait_for(lambda: running(jobs, job_id), "it has a process")
    process = run.process
    assert jobs.until_over(jobs.start("count")).status == "completed"
    wait_for(lambda: process.log_tail(1) == ["the flood is over"], "all of it is read", 120)
    assert sum(map(len, process.log_tail(10**9))) <= 1_000_000
    assert process.log_tail(2)[0] == "line 004999"
    forced(jobs, job_id)


def test_no_job_leaves_a_descriptor_open(jobs: Jobs) -> None:
    """What stands by for the next job has some of its own, and may have been on its way when they were counted."""
    jobs.until_over(jobs.start("prints", way="print"))
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(30):
        jobs.until_over(jobs.start("prints", way="program"))
    wait_for(lambda: len(list(Path("/dev/fd").iterdir())) < before + 30, "fewer are open than one more for each job")
