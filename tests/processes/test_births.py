"""What a fork server goes through before the first birth, and what the server can do without."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.fork_server import fork_server_pid, start_fork_server
from runner.workflow import load_workflows
from tests.processes.conftest import Jobs
from tests.processes.oracle import is_living
from tests.processes.test_fork_server_dies import kill_fork_server
from tests.waiting import wait_for

CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture
def start_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody_left: None
) -> Iterator[Callable[[str, str], int]]:
    """Starts a fork server that preloads a module of workflows with this text."""

    def start(name: str, text: str) -> int:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), str(tmp_path)]))
        monkeypatch.syspath_prepend(tmp_path)
        if fork_server_pid() is not None:
            kill_fork_server()
        start_fork_server(CONTEXT, [name], "a server that is none")
        pid = fork_server_pid()
        assert pid is not None
        return pid

    yield start
    kill_fork_server()  # the next test has its own


def bear(target: Callable[..., object], *arguments: object) -> int | None:
    """The exit code of a process that is born of the fork server."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def leave_orphan(path: str) -> None:
    """Who ends once its parent has."""
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            os.sched_yield()
        Path(path).write_text(str(os.getpid()))
        os._exit(0)


def test_a_module_that_ends_the_program_does_not_end_the_fork_server(start_with: Callable[[str, str], int]) -> None:
    pid = start_with("quitting_workflows", "import sys\nsys.exit('usage: none')\n")
    assert bear(os.getpid) == 0
    assert (fork_server_pid(), is_living(pid)) == (pid, True)
    with pytest.raises(SystemExit, match="usage: none"):
        load_workflows(["quitting_workflows"])


def test_a_module_that_makes_errors_of_warnings_does_not_end_it_either(
    start_with: Callable[[str, str], int], tmp_path: Path
) -> None:
    """An orphan that comes to it is worth a warning to multiprocessing."""
    pid = start_with("strict_workflows", "import warnings\nwarnings.simplefilter('error')\n")
    assert bear(leave_orphan, str(tmp_path / "orphan")) == 0
    orphan = int(wait_for(lambda: (path := tmp_path / "orphan").exists() and path.read_text(), "its orphan ends"))
    wait_for(lambda: not Path(f"/proc/{orphan}").exists(), "somebody has collected it")
    assert bear(os.getpid) == 0
    assert (fork_server_pid(), is_living(pid)) == (pid, True)


def test_not_every_system_makes_a_pipe_in_one_call(
    open_jobs: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pipe2", raising=False)
    jobs = open_jobs()
    supervisor = jobs.manager._supervisor
    for end in supervisor.waiting.bell:
        assert not os.get_blocking(end)
        assert not os.get_inheritable(end)
    assert jobs.until_over(jobs.start("count")).status == "completed"
