"""The whole thing as a user starts it: the console script, a port, curl, signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.waiting import free_port, wait_for

SCRIPT = str(Path(sys.executable).with_name("runner"))
SEED_PORT = 3000
SEED_START = """\
curl -X POST http://localhost:3000/admin/jobs/start \\
  -H "Content-Type: application/json" \\
  -d '{
    "type": "removal_workflow",
    "groupWaId": "120363403645737238@g.us",
    "batchSize": 5,
    "delayMs": 10000,
    "dryRun": true,
    "inactivityWindowMs": 2592000000
  }'
"""
SEED_QUEUE = """\
curl -X POST http://localhost:3000/admin/jobs/start \\
  -H "Content-Type: application/json" \\
  -d '{
    "type": "removal_queue",
    "groupWaId": "120363403645737238@g.us",
    "batchSize": 5,
    "delayMs": 10000,
    "dryRun": false
  }'
"""
SEED_STATUS = "curl http://localhost:3000/admin/jobs/job_1234567890_abc123/status"
SEED_CANCEL = "curl -X POST http://localhost:3000/admin/jobs/job_1234567890_abc123/cancel"
SEED_RUNNING = "curl http://localhost:3000/admin/jobs?status=running"
SEED_FAILED = "curl http://localhost:3000/admin/jobs?status=failed"

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="there is no curl on this machine"
)


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    log: Path
    banner: list[str]

    def paste(self, command: str) -> Any:
        """What a shell gets from a line as it stands in the seed, but for the port and the quiet progress meter."""
        line = command.replace(f"localhost:{SEED_PORT}", f"localhost:{self.port}").replace("curl ", "curl -sS ", 1)
        ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=30)
        return json.loads(ran.stdout)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def seed_port_or_another() -> int:
    with socket.socket() as probe:
        return free_port() if probe.connect_ex(("127.0.0.1", SEED_PORT)) == 0 else SEED_PORT


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNNER_")}
    return kept | {"RUNNER_HOME": str(home)}


def start_server(home: Path, port: int, *flags: str) -> Server:
    log = home.with_suffix(".log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [SCRIPT, "serve", "--port", str(port), *flags],
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    lines: list[str] = []
    while line := process.stdout.readline():
        lines.append(line.rstrip("\n"))
        if lines[-1].startswith("  curl") and sum(one.startswith("  curl") for one in lines) == 3:
            return Server(process, port, log, lines)
    raise AssertionError(f"the server ended with {process.wait(10)}: {log.read_text()}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = start_server(tmp_path / "home", seed_port_or_another(), "--demo")
    yield server
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait(10)
    assert server.process.stdout is not None
    server.process.stdout.close()


def is_in(job: dict[str, Any], status: str) -> bool:
    return bool(job["status"] == status)


@needs_curl
def test_the_lines_of_the_seed_work_as_they_stand(server: Server) -> None:
    started = server.paste(SEED_START)
    job_id = started["jobId"]
    assert started == {"jobId": job_id, "message": "Job started successfully", "status": "pending"}

    ours = SEED_STATUS.replace("job_1234567890_abc123", job_id)
    job = wait_for(lambda: is_in(found := server.paste(ours), "running") and found, "the dry run is under way")
    keys = ["id", "type", "status", "config", "progress"]
    assert list(job)[:5] == keys
    assert job["config"] == {
        "groupWaId": "120363403645737238@g.us",
        "batchSize": 5,
        "delayMs": 10_000,
        "dryRun": True,
        "inactivityWindowMs": 2_592_000_000,
    }
    job = wait_for(lambda: (found := server.paste(ours))["progress"]["processed"] and found, "a batch is done")
    assert {"processed", "total", "currentBatch"} <= set(job["progress"])
    assert [one["id"] for one in server.paste(SEED_RUNNING)] == [job_id]

    cancelled = server.paste(SEED_CANCEL.replace("job_1234567890_abc123", job_id))
    assert cancelled == {"jobId": job_id, "message": "Job cancelled successfully", "status": "cancelled"}
    job = wait_for(
        lambda: (found := server.paste(ours))["cancellation"]["phase"] == "stopped" and found, "its tree is gone"
    )
    assert job["status"] == "cancelled"
    assert job["result"]["removedWhatsappIds"] == []
    assert len(job["result"]["wouldRemove"]) == 5

    assert server.paste(SEED_QUEUE)["status"] == "pending"
    assert server.paste(SEED_FAILED) == []
    assert server.paste(SEED_STATUS)["error"] == "Job not found"
    assert server.stop() == 0


@needs_curl
def test_the_banner_works_when_pasted(server: Server) -> None:
    for command in [line.strip() for line in server.banner if line.startswith("  curl")]:
        ran = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl -sSf ", 1)], capture_output=True, check=True, timeout=30
        )
        json.loads(ran.stdout)  # that job may not be running yet: an empty list is an answer, too
    assert server.stop() == 0


@needs_curl
def test_the_banner_works_when_pasted_where_there_are_tokens(tmp_path: Path) -> None:
    given = environment(tmp_path / "home")
    made = subprocess.run(
        [SCRIPT, "token", "new", "ana", "--role", "admin"], env=given, capture_output=True, text=True, check=True
    )
    server = start_server(tmp_path / "home", free_port())
    try:
        for command in [line.strip() for line in server.banner if line.startswith("  curl")]:
            line = command.replace("curl ", "curl -sSf ", 1)
            variables = given | {"RUNNER_TOKEN": made.stdout.strip()}
            json.loads(subprocess.run(["bash", "-c", line], env=variables, capture_output=True, check=True).stdout)
        assert made.stdout.strip() not in "".join(server.banner)
    finally:
        assert server.stop() == 0
        assert server.process.stdout is not None
        server.process.stdout.close()


def test_the_log_is_lines_of_json_and_a_stop_leaves_nobody(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    body = {"type": "removal_workflow", "groupWaId": "120363403645737238@g.us", "batchSize": 1, "delayMs": 10_000}
    wanted = body | {"dryRun": True, "inactivityWindowMs": 2_592_000_000}
    job_id = httpx.post(f"{url}/admin/jobs/start", json=wanted).json()["jobId"]
    status = f"{url}/admin/jobs/{job_id}/status"
    wait_for(lambda: is_in(httpx.get(status).json(), "running"), "the job runs")
    tree = psutil.Process(server.process.pid).children(recursive=True)
    assert server.stop(signal.SIGINT) == 0
    _, alive = psutil.wait_procs(tree, timeout=20)
    assert alive == []
    events = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert "Job started successfully" in [event["event"] for event in events]
    assert events[-1]["event"] == "Stopped"


def test_a_second_server_is_refused_and_told_who_is_first(server: Server, tmp_path: Path) -> None:
    second = [SCRIPT, "serve", "--demo", "--port", str(free_port())]
    ran = subprocess.run(second, env=environment(tmp_path / "home"), capture_output=True, text=True, timeout=60)
    assert ran.returncode == 78
    assert f"process {server.process.pid} " in ran.stderr
    assert re.match(r"runner: A server is running there already", ran.stderr)


def test_a_taken_port_is_said(server: Server, tmp_path: Path) -> None:
    second = [SCRIPT, "serve", "--port", str(server.port)]
    ran = subprocess.run(second, env=environment(tmp_path / "other"), capture_output=True, text=True, timeout=60)
    assert (ran.returncode, "--port" in ran.stderr) == (78, True)


def test_a_restart_goes_on_with_what_was_accepted(server: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"
    body = {"type": "removal_workflow", "groupWaId": "120363403645737238@g.us", "batchSize": 1, "delayMs": 10_000}
    wanted = body | {"dryRun": True, "inactivityWindowMs": 2_592_000_000}
    job_id = httpx.post(f"{url}/admin/jobs/start", json=wanted).json()["jobId"]
    wait_for(
        lambda: httpx.get(f"{url}/admin/jobs/{job_id}/status").json()["progress"]["processed"], "one person is through"
    )
    server.process.kill()
    server.process.wait(10)
    again = start_server(tmp_path / "home", free_port(), "--demo")
    told = next(line for line in again.banner if line.endswith(f": runner cancel {job_id}"))
    assert re.match(r"  removal_workflow dry run on 120363403645737238@g.us, [1-8] of 8 done", told)
    status = f"http://127.0.0.1:{again.port}/admin/jobs/{job_id}/status"
    job = wait_for(lambda: is_in(found := httpx.get(status).json(), "running") and found, "the job goes on")
    assert job["progress"]["processed"] >= 1
    assert again.stop() == 0
    assert again.process.stdout is not None
    again.process.stdout.close()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"RUNNER_HOST": "0.0.0.0"}, "runner token new"),
        ({"RUNNER_HOST": "example.com"}, "runner token new"),
        ({"RUNNER_PORT": "99999"}, "RUNNER_PORT"),
        ({"RUNNER_GATEWAY": "nonsense"}, "RUNNER_GATEWAY"),
        ({"RUNNER_WORKFLOWS": "no_such_module"}, "RUNNER_WORKFLOWS"),
        ({"RUNNER_LOG_LEVEL": "LOUD"}, "RUNNER_LOG_LEVEL"),
        ({"RUNNER_GRACE_SECONDS": "-1"}, "RUNNER_GRACE_SECONDS"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, variables: dict[str, str], sentence: str) -> None:
    wrong = environment(tmp_path / "home") | {"RUNNER_PORT": str(free_port())} | variables
    ran = subprocess.run([SCRIPT, "serve"], env=wrong, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 78
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_ctrl_c_while_it_starts_ends_it_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "dawdling.py").write_text(
        "import threading\nfrom pathlib import Path\nPath('here').touch()\nthreading.Event().wait()\n"
    )
    given = environment(tmp_path / "home") | {"RUNNER_WORKFLOWS": "dawdling", "RUNNER_PROT": "3001"}
    starting = subprocess.Popen(
        [SCRIPT, "serve", "--port", str(free_port())], env=given, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    wait_for((tmp_path / "here").exists, "it is about to load its workflows")
    starting.send_signal(signal.SIGINT)
    errors = starting.communicate(timeout=30)[1]
    assert "Traceback" not in errors
    assert "RUNNER_PROT is no setting and changes nothing: did you mean RUNNER_PORT?" in errors
    assert starting.returncode == -signal.SIGINT


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"not a database, but somebody's only copy" * 50)
    wrong = environment(tmp_path / "home") | {"RUNNER_DATABASE_URL": f"sqlite:///{junk}"}
    ran = subprocess.run(
        [SCRIPT, "serve", "--port", str(free_port())], env=wrong, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, "not a database" in ran.stderr) == (78, True)
    assert junk.read_bytes().startswith(b"not a database, but")


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """At once, and not after the minute for which another start is waited for: else the limit here would be over."""
    wrong = environment(tmp_path / "home") | {"RUNNER_DATABASE_URL": f"sqlite:///{tmp_path}"}
    ran = subprocess.run(
        [SCRIPT, "serve", "--port", str(free_port())], env=wrong, capture_output=True, text=True, timeout=45
    )
    assert ran.returncode == 78
    assert f"sqlite:///{tmp_path} cannot be used: unable to open database file" in ran.stderr
