"""The seed's own commands, as they stand there, against the installed console script."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.server import ROOT, free_port, wait_for

START_DRY_RUN = """curl -X POST http://localhost:3000/admin/jobs/start \\
  -H "Content-Type: application/json" \\
  -d '{
    "type": "removal_workflow",
    "groupWaId": "120363403645737238@g.us",
    "batchSize": 5,
    "delayMs": 10000,
    "dryRun": true,
    "inactivityWindowMs": 2592000000
  }'"""
MONITOR = "curl http://localhost:3000/admin/jobs/job_1234567890_abc123/status"
CANCEL = "curl -X POST http://localhost:3000/admin/jobs/job_1234567890_abc123/cancel"
START_REAL_RUN = """curl -X POST http://localhost:3000/admin/jobs/start \\
  -H "Content-Type: application/json" \\
  -d '{
    "type": "removal_queue",
    "groupWaId": "120363403645737238@g.us",
    "batchSize": 5,
    "delayMs": 10000,
    "dryRun": false
  }'"""
LIST = "curl http://localhost:3000/admin/jobs"
LIST_RUNNING = "curl http://localhost:3000/admin/jobs?status=running"
LIST_FAILED = "curl http://localhost:3000/admin/jobs?status=failed"

ID = re.compile(r"job_\d{13}_[0-9a-z]{13,}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Console:
    """``runner serve --demo``, and a shell to type the seed's commands into."""

    def __init__(self, home: Path) -> None:
        self.port = 3000 if _is_free(3000) else free_port()
        command = [str(Path(sys.executable).parent / "runner"), "serve", "--demo"]
        settings = {"RUNNER_HOME": str(home), "RUNNER_PORT": str(self.port)}
        with (home / "server.log").open("wb") as log:
            self.server = subprocess.Popen(command, cwd=home, env=os.environ | settings, stdout=log, stderr=log)
        wait_for(self._answers, f"the server answers: {(home / 'server.log').read_text()}")

    def type(self, command: str, job_id: str = "") -> tuple[int, Any]:
        """The status and the answer of a curl line; it is changed in nothing but port and job id."""
        line = command.replace("localhost:3000", f"localhost:{self.port}")
        line = line.replace("job_1234567890_abc123", job_id or "job_1234567890_abc123")
        line = line.replace("curl ", "curl --silent --show-error --write-out '\\n%{http_code}' ", 1)
        said = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        answer, _, status = said.rpartition("\n")
        return int(status), json.loads(answer)

    def _answers(self) -> bool:
        assert self.server.poll() is None, "the server ended"
        return not _is_free(self.port)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    if shutil.which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("curl is not installed")
        pytest.skip("curl is not installed, so the seed's commands cannot be typed")
    console = Console(tmp_path)
    yield console
    console.server.terminate()
    assert console.server.wait(60) in (0, 3)


def test_the_seeds_commands_get_the_seeds_answers(console: Console) -> None:
    status, started = console.type(START_DRY_RUN)
    job_id = started["jobId"]
    assert (status, started) == (
        202,
        {"jobId": job_id, "message": "Job started successfully", "status": "pending"},
    )
    assert ID.fullmatch(job_id)

    job = wait_for(lambda: _in_its_delay(console, job_id), "the job is in its delay")
    assert job["id"] == job_id
    assert (job["type"], job["status"]) == ("removal_workflow", "running")
    assert job["config"] == {
        "groupWaId": "120363403645737238@g.us",
        "batchSize": 5,
        "delayMs": 10000,
        "dryRun": True,
        "inactivityWindowMs": 2592000000,
    }
    assert {name: job["progress"][name] for name in ("processed", "currentBatch")} == {
        "processed": 5,
        "currentBatch": 1,
    }
    assert job["progress"]["total"] > 5
    assert TIME.fullmatch(job["createdAt"])
    assert TIME.fullmatch(job["startedAt"])
    assert "completedAt" not in job
    assert None not in job.values()

    assert [entry["id"] for entry in console.type(LIST_RUNNING)[1]] == [job_id]
    cancelled = {"jobId": job_id, "message": "Job cancelled successfully", "status": "cancelled"}
    assert console.type(CANCEL, job_id) == (200, cancelled)
    assert console.type(CANCEL, job_id) == (200, cancelled)
    wait_for(lambda: console.type(MONITOR, job_id)[1]["cancellation"]["phase"] == "stopped", "it is proved stopped")

    status, second = console.type(START_REAL_RUN)
    assert status == 202
    wait_for(lambda: console.type(MONITOR, second["jobId"])[1]["status"] == "completed", "an empty queue is worked off")
    job = console.type(MONITOR, second["jobId"])[1]
    assert job["result"]["removedWhatsappIds"] == []
    assert TIME.fullmatch(job["completedAt"])
    assert [entry["id"] for entry in console.type(LIST)[1]] == [second["jobId"], job_id]
    assert console.type(LIST_FAILED) == (200, [])
    assert console.type(MONITOR)[0] == 404


def _in_its_delay(console: Console, job_id: str) -> dict[str, Any] | None:
    status, job = console.type(MONITOR, job_id)
    assert status == 200
    return job if job["progress"]["processed"] else None


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as found:
        return found.connect_ex(("127.0.0.1", port)) != 0
