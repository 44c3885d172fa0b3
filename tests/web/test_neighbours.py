"""What the verbs say beside what was asked for: of other jobs on a group, of what a job waits for, and how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from falcon import testing
from typer.testing import CliRunner, Result

import web.verbs
from runner.groups.group import GroupRows
from runner.manager import JobManager
from tests.web.test_jobs import wait_for_status, wait_until_stopped
from web.app import create_app
from web.cli import app
from web.client import Client
from web.printing import state_of

URL = "http://localhost:3000"
JOB = {
    "id": "job_1764000000000_k3v9q0c2m7x1a",
    "type": "removal_workflow",
    "status": "running",
    "config": {"groupWaId": "120363403645737238@g.us", "dryRun": False},
    "progress": {"processed": 5, "total": 12, "percent": 41.7},
    "createdAt": "2025-11-24T16:00:00.000Z",
}
REASON = "The gateway asks for a pause (rate-overlimit); next try 12:10 UTC"


@pytest.fixture
def inside(manager: JobManager, monkeypatch: pytest.MonkeyPatch, group: str) -> Iterator[None]:
    with manager.store.write() as tx:
        GroupRows(tx).create(group)
    transport = httpx.WSGITransport(create_app(manager))
    monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))
    yield
    transport.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", URL])


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """A server that answers everything with that: for what no sample job says of itself."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
    monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))


@pytest.mark.usefixtures("inside")
def test_others_on_the_group_are_told_at_a_start_and_at_a_cancel(client: testing.TestClient, group: str) -> None:
    fields = ["walk", f"groupWaId={group}", "batchSize=5", "delayMs=10000", "dryRun=false"]
    started = [run("start", *fields) for _ in range(3)]
    first, second, third = ids = [one.stdout.strip() for one in started]
    assert [one.stdout for one in started] == [f"{job_id}\n" for job_id in ids]
    assert [one.stderr for one in started] == ["", f"waits for {first}\n", f"waits for {first}\n"]
    wait_for_status(client, first, "running")
    told = run("cancel", third)
    assert (told.exit_code, told.stdout) == (0, "Job cancelled successfully\n")
    assert told.stderr == f"on this group {first} is at work and {second} waits; runner cancel each\n"
    assert run("cancel", first).stderr.startswith(f"on this group {second} ")
    wait_until_stopped(client, first)
    assert run("cancel", second).stderr == ""
    wait_until_stopped(client, second)


@pytest.mark.usefixtures("inside")
def test_a_cancel_of_a_job_without_a_group_tells_of_nobody(client: testing.TestClient) -> None:
    job_id = client.simulate_post("/admin/jobs/start", json={"type": "fall"}).json["jobId"]
    wait_for_status(client, job_id, "failed")
    assert run("start", "fall").stderr == ""
    assert "on this group" not in run("cancel", job_id).stderr


def test_the_pace_and_the_estimate_are_told_beside_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = {"groupPerDay": 200, "hours": "09:00-20:00"}
    answer = {"jobId": "job_1", "pacing": pace, "estimate": {"seconds": 432_000, "words": "1001 people, 5 days"}}
    answering(monkeypatch, answer)
    told = run("start", "removal_workflow")
    assert told.stdout == "job_1\n"
    assert told.stderr == "estimate: 1001 people, 5 days\npacing: groupPerDay 200, hours 09:00-20:00\n"


def test_a_list_shows_in_80_columns_where_and_whether_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, [JOB, JOB | {"waiting": {"until": JOB["createdAt"], "reason": REASON}}])
    lines = run("list").stdout.splitlines()
    assert lines == [
        "job_1764000000000_k3v9q0c2m7x1a  running    removal_workflow  5/12 41.7 %",
        "    120363403645737238@g.us  real run  2025-11-24T16:00:00.000Z",
        "job_1764000000000_k3v9q0c2m7x1a  running    removal_workflow  5/12 41.7 %",
        "    120363403645737238@g.us  real run  2025-11-24T16:00:00.000Z",
        f"    running ({REASON})",
    ]
    assert max(map(len, lines[:4])) <= 80
    answering(monkeypatch, [JOB | {"config": {"dryRun": True}}, JOB | {"config": {}}])
    assert run("list").stdout.splitlines()[1::2] == [
        "    dry run  2025-11-24T16:00:00.000Z",
        "    2025-11-24T16:00:00.000Z",
    ]


def test_the_state_has_what_a_job_waits_for() -> None:
    waiting = {"waiting": {"reason": REASON}}
    assert state_of(JOB | waiting) == f"running ({REASON})"
    assert state_of(JOB | waiting | {"status": "completed"}) == "completed"
    assert state_of(JOB | waiting | {"waitingFor": "job_1"}) == "running (waits for job_1)"
    cancelled = {"phase": "finishing_batch", "deadlineAt": "12:00"}
    assert state_of(JOB | waiting | {"cancellation": cancelled}) == "running (finishing_batch, at the latest 12:00)"
