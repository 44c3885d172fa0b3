"""Where and how a server may be started: by whom, in which folder, with which signals, streams and limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.settings import Settings
from runner.sockets import NoPlaceForSockets, socket_folder
from tests.endtoend.server import Server
from tests.waiting import free_port, wait_for
from web.configuration import WrongConfiguration, check_home

SCRIPT = str(Path(sys.executable).with_name("runner"))
WRONG_CONFIGURATION = 78
NOBODY = 65534
TRAP = "raise SystemExit('a module of the current folder was taken for ours')\n"
MINE = """
from runner.workflow import JobConfig, workflow

@workflow("mine", config=JobConfig)
def mine(job, config):
    import json, logging
    return {"json": json.__file__, "logging": logging.__file__}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "home").mkdir()
    server = Server(tmp_path / "home")
    yield server
    server.close()


def after(words: str) -> tuple[str, ...]:
    """The command that does this in Python before it becomes the server."""
    program = f"import os, signal, sys\n{words}\nos.execv(sys.executable, [sys.executable, '-P', '-m', 'web'])"
    return (sys.executable, "-c", program)


def completes(server: Server, job_type: str = "mine") -> bool:
    job_id = server.start_job(type=job_type)
    return bool(
        wait_for(lambda: (now := server.job(job_id)["status"]) not in ("pending", "running") and now, "it ends")
        == "completed"
    )


def in_a_folder_of_its_own(server: Server, *names: str) -> Path:
    folder = server.home.parent / "here"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    for name in names:
        (folder / f"{name}.py").write_text(TRAP)
    server.folder = folder
    server.add_environment({"RUNNER_WORKFLOWS": "mine"})
    return folder


def test_our_own_modules_win_over_those_of_the_current_folder(server: Server) -> None:
    names = ("web", "runner", "json", "logging", "signal", "socket", "subprocess", "typer", "falcon", "multiprocessing")
    in_a_folder_of_its_own(server, *names)
    server.command = (SCRIPT, "serve", "--port", str(server.port))
    server.start()
    assert completes(server)
    listed = subprocess.run(
        [SCRIPT, "list", "--url", f"http://127.0.0.1:{server.port}"],
        cwd=server.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (listed.returncode, "mine" in listed.stdout) == (0, True), listed.stderr


def test_the_module_started_by_name_takes_pythons_own_first(server: Server) -> None:
    in_a_folder_of_its_own(server, "json", "logging", "signal", "socket", "runner", "falcon")
    server.start()
    assert completes(server)


SIGNALS = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1})
"""
SURROUNDINGS = """
os.environ.update(TMPDIR=os.getcwd() + '/' + 'x' * 200)
os.environ.update(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
os.mkdir(os.environ['TMPDIR'])
os.mkdir('gone')
os.chdir('gone')
os.rmdir(os.getcwd())
[os.close(number) for number in (0, 1, 2)]
"""


@pytest.mark.parametrize(
    "before",
    [SIGNALS, SURROUNDINGS],
    ids=["signals ignored and blocked", "no streams, no folder, no UTF-8, a long TMPDIR"],
)
def test_it_simply_works(server: Server, before: str) -> None:
    folder = in_a_folder_of_its_own(server)
    server.add_environment({"PYTHONPATH": str(folder)})  # found where the current folder is gone, too
    server.command = after(before)
    server.start()
    assert completes(server)
    fork_server = next(process for process in server.family() if "forkserver" in " ".join(process.cmdline()))
    fork_server.kill()
    assert all(completes(server) for _ in range(3)), "with another fork server, too"
    assert server.call("GET", "/readyz")[0] == 200
    assert server.end(signal.SIGTERM) == 0
    assert "Traceback" not in (server.home / "server.log").read_text()


def test_a_terminal_that_closes_ends_it_in_order(server: Server) -> None:
    """It may say so twice."""
    server.start()
    server.send(signal.SIGHUP)
    server.send(signal.SIGHUP)
    assert server.wait() == 0


def test_nohup_is_meant_and_a_signal_without_a_meaning_ends_nothing(server: Server) -> None:
    server.command = after("signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    server.start()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR1):
        server.send(number)
        assert server.call("GET", "/readyz")[0] == 200
    assert server.end(signal.SIGTERM) == 0


def refused(tmp_path: Path, limits: Callable[[], object] | None = None, **variables: str) -> str:
    """The one sentence of a server that does not start."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("RUNNER_")}
    given |= {"RUNNER_HOME": str(tmp_path / "home"), "RUNNER_PORT": str(free_port())} | variables
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "web"],
        cwd=tmp_path,
        env={name: value for name, value in given.items() if value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limits,
    )
    assert (ran.returncode, ran.stdout) == (WRONG_CONFIGURATION, ""), ran.stderr
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert [line[:8] for line in lines] == ["runner: "], ran.stderr
    return lines[0]


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    assert "does not let" in refused(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))


def test_a_home_that_is_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoPlaceForSockets, match=r"too long.*Set RUNNER_HOME to a short path"):
        socket_folder(tmp_path / ("x" * 120), None)


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder whose path is short enough for a socket, also where tests run in several processes."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        yield Path(folder)


def test_sockets_lie_in_the_runtime_folder_where_the_home_is_too_long(
    server: Server, tmp_path: Path, runtime: Path
) -> None:
    home = tmp_path / ("x" * 120)
    home.mkdir()
    left = socket_folder(home, str(runtime)) / "fork-of-a-dead-server"
    left.touch()
    server.add_environment({"RUNNER_HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)})
    server.start()
    (folder,) = runtime.iterdir()
    assert folder == left.parent
    assert {path.name.split("-")[0] for path in folder.iterdir()} >= {"fork"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not left.exists(), "those of a dead server are swept"


def test_a_user_without_a_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "RUNNER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)  # nobody's
    with pytest.raises(WrongConfiguration, match="no home folder"):
        check_home(Settings())


def become_another() -> None:
    """Skips where it cannot be tried: it needs root, and an interpreter that everybody may run."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    try:
        subprocess.run([sys.executable, "-c", "import web"], user=NOBODY, check=True, capture_output=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("another user may not run this interpreter, or not read this project")


def test_no_threads_to_be_had_is_said(tmp_path: Path) -> None:
    become_another()
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if not folder.stat().st_mode & 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)

    def limit() -> None:
        os.setuid(54_322)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

    assert "new thread" in refused(tmp_path, limit)
