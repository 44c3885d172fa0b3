"""Who waits for a job, or cancels many, while a server comes and goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import typer
from falcon import testing
from typer.testing import CliRunner, Result

import web.client
import web.verbs
from runner.manager import JobManager
from tests.waiting import free_port, wait_for
from tests.web.test_jobs import start, status, wait_for_status
from web.app import create_app
from web.cli import app
from web.client import Client
from web.sweeping import cancel_all

URL = "http://localhost:3000"
Body = dict[str, Any]
RUNNING = {"id": "job_1", "type": "walk", "status": "running", "progress": {"processed": 1}}
DONE = RUNNING | {"status": "completed"}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A server that gives these answers one after the other, the last for ever; None: nobody is there."""

    def give(*planned: tuple[int, Any] | None) -> None:
        left = list(planned)

        def answer(request: httpx.Request) -> httpx.Response:
            now = left.pop(0) if len(left) > 1 else left[0]
            if now is None:
                raise httpx.ConnectError("refused", request=request)
            return httpx.Response(now[0], json=now[1])

        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))
        monkeypatch.setattr(web.client, "POLL_SECONDS", 0.01)

    return give


def run(*arguments: str, said: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", URL], input=said)


AWAY = {"detail": "The database does not answer"}


@pytest.mark.parametrize("away", [None, (503, AWAY), (502, {}), (504, {})])
def test_a_wait_lives_through_a_restart_and_says_so_once(
    answers: Callable[..., None], away: tuple[int, Any] | None
) -> None:
    answers((200, RUNNING), away, away, away, (200, RUNNING), (200, DONE))
    waited = run("wait", "job_1")
    assert (waited.exit_code, waited.stdout) == (0, "completed\n")
    assert waited.stderr.count("Waiting for it to come back") == 1
    assert waited.stderr.count("answers again") == 1


def test_nobody_who_ever_answered_is_exit_5_at_once(answers: Callable[..., None]) -> None:
    answers(None)
    assert run("wait", "job_1").exit_code == 5


def test_an_outage_that_outlasts_the_limit_is_exit_5(
    answers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers((200, RUNNING), None)
    assert run("wait", "job_1", "--timeout", "0.2").exit_code == 5
    monkeypatch.setattr(web.client, "OUTAGE_SECONDS", 0.1)
    answers((200, RUNNING), None)
    assert run("wait", "job_1").exit_code == 5
    answers((200, RUNNING))
    assert run("wait", "job_1", "--timeout", "0.2").exit_code == 6, "it was there all the time"


def test_a_refusal_ends_a_wait_also_after_an_outage(answers: Callable[..., None]) -> None:
    answers((200, RUNNING), None, (401, {"detail": "A valid token is required"}))
    assert run("wait", "job_1").exit_code == 4


def test_a_cancel_that_was_taken_is_done_though_nobody_answers_after_it(answers: Callable[..., None]) -> None:
    answers((200, {"jobId": "job_1", "message": "Job cancelled successfully", "status": "cancelled"}), None)
    said = run("cancel", "job_1")
    assert (said.exit_code, said.stdout) == (0, "Job cancelled successfully\n")


def test_one_job_or_all_and_not_both(answers: Callable[..., None]) -> None:
    answers((200, []))
    assert run("cancel").exit_code == 2
    assert run("cancel", "job_1", "--all").exit_code == 2


@pytest.fixture
def three(client: testing.TestClient, manager: JobManager, monkeypatch: pytest.MonkeyPatch, body: Body) -> list[str]:
    """Two that run and one that waits for the first, behind the verbs."""
    transport = httpx.WSGITransport(create_app(manager))
    monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))
    other = body | {"groupWaId": body["groupWaId"].replace("1203634036", "1203634037")}
    found = [start(client, body), start(client, other), start(client, body)]
    for job_id in found[:2]:
        wait_for_status(client, job_id, "running")
    return found


def states(client: testing.TestClient, ids: list[str]) -> list[str]:
    return [status(client, job_id)["status"] for job_id in ids]


def test_cancel_all_asks_with_the_count(client: testing.TestClient, manager: JobManager, three: list[str]) -> None:
    nobody_there = run("cancel", "--all")
    assert (nobody_there.exit_code, "3 jobs" in nobody_there.stderr, "--yes" in nobody_there.stderr) == (2, True, True)
    assert states(client, three) == ["running", "running", "pending"]
    shown = run("cancel", "--all", "--dry-run")
    assert (shown.exit_code, "Would cancel 3 jobs" in shown.stdout) == (0, True)
    assert states(client, three) == ["running", "running", "pending"]
    done = run("cancel", "--all", "--yes", "--reason", "enough")
    assert (done.exit_code, "Cancelled 3 jobs" in done.stdout) == (0, True)
    assert states(client, three) == ["cancelled"] * 3
    assert status(client, three[2])["cancellation"]["reason"] == "enough"
    assert "No job is running" in run("cancel", "--all").stdout


@pytest.mark.parametrize(("said", "after"), [("n", "running"), ("", "running"), ("y", "cancelled")])
def test_who_is_asked_decides(
    client: testing.TestClient, manager: JobManager, three: list[str], monkeypatch: pytest.MonkeyPatch,
    said: str, after: str,
) -> None:  # fmt: skip
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return said == "y"

    monkeypatch.setattr(typer, "confirm", confirm)
    there = Client(URL, transport=httpx.WSGITransport(create_app(manager)))
    flags: Any = {"force": False, "dry_run": False, "yes": False, "as_json": False}
    assert cancel_all(there, None, **flags, is_somebody_there=lambda: True) == 0
    assert asked == ["Cancel 3 jobs?"]
    assert states(client, three)[:2] == [after] * 2
    run("cancel", "--all", "--yes", "--json")


def test_in_json_each_job_has_what_came_of_it(client: testing.TestClient, three: list[str]) -> None:
    done = json.loads(run("cancel", "--all", "--yes", "--json").stdout)
    assert {one["jobId"] for one in done} == set(three)
    assert {(one["outcome"], one["status"]) for one in done} == {("done", "cancelled")}


def test_a_job_that_waits_for_nothing_but_a_place_says_so(
    client: testing.TestClient, manager: JobManager, body: Body
) -> None:
    def on(number: int) -> Body:
        return body | {"groupWaId": f"12036340380{number:07d}@g.us"}

    wait_for(lambda: not manager._supervisor.running_ids(), "nobody runs")
    most = manager.settings.max_running
    running = [start(client, on(number)) for number in range(most)]
    for job_id in running:
        wait_for_status(client, job_id, "running")
    waits = start(client, on(most))
    job = status(client, waits)
    assert (job["status"], job["waiting"]["kind"]) == ("pending", "slot")
    assert "RUNNER_MAX_RUNNING" in job["waiting"]["reason"]
    assert "waitingFor" not in job
    behind = start(client, on(most))
    assert status(client, behind)["waitingFor"] == waits
    assert "waiting" not in status(client, behind)
    listed = {job["id"]: job for job in client.simulate_get("/admin/jobs").json}
    assert listed[waits]["waiting"]["kind"] == "slot"
    assert all("waiting" not in listed[job_id] for job_id in running)
    client.simulate_post(f"/admin/jobs/{running[0]}/cancel")
    assert "waiting" not in wait_for_status(client, waits, "running")
    for job_id in (*running, behind, waits):
        client.simulate_post(f"/admin/jobs/{job_id}/cancel")


def test_nobody_listens_at_a_free_port() -> None:
    said = CliRunner().invoke(app, ["wait", "job_1", "--url", f"http://127.0.0.1:{free_port()}"])
    assert said.exit_code == 5
