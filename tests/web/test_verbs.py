"""The command line's verbs, against the real application in this process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from falcon import testing
from typer.testing import CliRunner, Result

import web.verbs
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.votes import PollRows
from runner.manager import JobManager
from tests.waiting import wait_for
from tests.web.test_jobs import start, status, wait_for_status
from web.app import create_app
from web.cli import app
from web.client import Client, NotReachable
from web.imports import imports
from web.printing import span_of

URL = "http://localhost:3000"
Body = dict[str, Any]


@pytest.fixture
def inside(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The verbs speak to this test's application; no port is opened."""
    transport = httpx.WSGITransport(create_app(manager))
    monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))
    yield
    transport.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", URL])


@pytest.mark.usefixtures("inside")
def test_a_job_by_the_command_line(client: testing.TestClient, group: str) -> None:
    fields = [f"groupWaId={group}", "batchSize=5", "delayMs=10000", "dryRun=false"]
    started = run("start", "walk", *fields)
    assert started.exit_code == 0, started.output
    job_id = started.stdout.strip()
    wait_for_status(client, job_id, "running")
    shown = run("status", job_id, "--json")
    assert json.loads(shown.stdout)["config"]["groupWaId"] == group
    assert f"id: {job_id}" in run("status", job_id).stdout
    assert [job["id"] for job in json.loads(run("list", "--status", "running", "--json").stdout)] == [job_id]
    assert job_id in run("list").stdout
    too_long = run("wait", job_id, "--timeout", "0")
    assert too_long.exit_code == 6
    cancelled = run("cancel", job_id, "--reason", "enough")
    assert (cancelled.exit_code, cancelled.stdout.splitlines()[0]) == (0, "Job cancelled successfully")
    assert status(client, job_id)["cancellation"]["reason"] == "enough"
    waited = run("wait", job_id, "--json")
    assert waited.exit_code == 3
    assert json.loads(waited.stdout)["cancellation"]["phase"] == "stopped"


@pytest.mark.usefixtures("inside")
def test_a_group_is_taken_in_by_the_command_line(manager: JobManager, group: str) -> None:
    someone = MemberEntry(pn="33100000001@s.whatsapp.net")
    with manager.store.write() as tx:
        MemberRows(tx).put(GroupRows(tx).create(group, "Neigh\x1bbours"), someone, 0)
    said = run("ingest", group)
    assert said.exit_code == 0, said.output
    assert re.match(r"In Neigh.*bours: 1 people\n", said.stdout)
    assert "\x1b" not in said.stdout
    assert json.loads(run("ingest", group, "--json").stdout)["gone"] == 0
    assert run("ingest", "120363000000000999@g.us").exit_code == 4
    assert run("ingest", "nonsense").exit_code == 4


@pytest.mark.usefixtures("inside")
def test_how_a_job_ended_is_the_exit_code(client: testing.TestClient, body: Body) -> None:
    done = start(client, body | {"dryRun": True})
    assert run("wait", done).exit_code == 0
    failed = start(client, {"type": "fall", "sentence": "\x9b2J".encode().decode("latin-1").replace("\x9b", "wet")})
    assert run("wait", failed).exit_code == 1


@pytest.mark.usefixtures("inside")
def test_a_job_of_the_archive_is_listed_with_all(client: testing.TestClient, body: Body) -> None:
    done = start(client, body | {"dryRun": True})
    wait_for_status(client, done, "completed")
    wait_for(lambda: client.simulate_delete(f"/admin/jobs/{done}").status_code == 204, "its process is gone")
    assert done not in run("list").stdout
    assert done in run("list", "--all").stdout
    assert f"id: {done}" in run("status", done).stdout


@pytest.mark.usefixtures("inside")
def test_whose_list_a_job_is_pinned_to_is_shown(client: testing.TestClient, body: Body) -> None:
    pinned = start(client, body | {"reviewed": "job_0"})
    assert "reviewed: job_0" in run("status", pinned).stdout.splitlines()
    assert status(client, pinned)["reviewed"] == "job_0"
    run("cancel", pinned)


@pytest.mark.usefixtures("inside")
def test_a_refusal_is_the_servers_sentence_and_all_its_faults() -> None:
    refused = run("start", "removal_queue", "batchSize=0")
    assert refused.exit_code == 4
    said = refused.stderr.splitlines()
    assert said[0].startswith("runner: groupWaId")
    assert len(said) == 4
    assert run("status", "job_1").exit_code == 4
    assert run("status", "../../livez").exit_code == 4
    assert run("start", "walk", "nonsense").exit_code == 2


@pytest.mark.parametrize(("most", "asked"), [(2, [2]), (3, [3, 3]), (1500, [1000, 1000])])
def test_a_list_goes_on_behind_its_pages(most: int, asked: list[int]) -> None:
    limits: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(int(request.url.params["limit"]))
        link = {"Link": f"</admin/jobs?limit={limits[-1]}&cursor=x>; rel=next"} if len(limits) == 1 else {}
        return httpx.Response(200, json=[{"id": "job_1"}, {"id": "job_2"}], headers=link)

    found = list(Client(URL, transport=httpx.MockTransport(answer)).jobs(most, status="running"))
    assert len(found) == min(most, 4)
    assert limits == asked


def test_nobody_there_is_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, httpx.MockTransport(refuse)))
    nobody = run("list")
    assert (nobody.exit_code, "runner serve" in nobody.stderr) == (5, True)


def test_something_else_there_is_no_runner() -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text="<html>"))
    with pytest.raises(NotReachable):
        Client(URL, transport=transport).status("job_1")


def test_what_a_server_says_does_not_act_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = {"id": "job_1", "type": "\x1b]0;x\x07[red]", "status": "failed", "progress": {"processed": 0},
            "createdAt": "\u202e", "result": {"error": "\x1b[2J\nsecond line"}}  # fmt: skip
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, json=[evil] if "?" in str(request.url) else evil)
    )
    monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))
    for result in (run("list"), run("status", "job_1"), run("wait", "job_1"), run("status", "job_1", "--json")):
        assert all(line.isprintable() for line in result.output.splitlines()), result.output
    assert "[red]" in run("list").stdout


def test_spans() -> None:
    assert [span_of(seconds) for seconds in (None, 0, 65, 3661)] == ["unknown", "0:00", "1:05", "1:01:01"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    return tmp_path


def invoke_import(*arguments: str, answers: str = "") -> Result:
    return CliRunner().invoke(imports, list(arguments), input=answers)


def test_a_list_and_a_chat_are_taken_in_and_names_asked_for(home: Path, group: str) -> None:
    members, export = home / "members.csv", home / "chat.txt"
    members.write_text(
        "phone,name,role,lastActive\n+55 11 98765-4321,Ana Lima,member,2026-01-02\n+55 11 98765-4322,Bento,admin,\n"
    )
    export.write_text(
        "13/01/2026, 09:00 - Ana: hello\n14/01/2026, 09:00 - Zoe: hi\n15/01/2026, 09:00 - Bento: yes\n", "utf-8"
    )
    listed = invoke_import("members", str(members), "--group", group, "--observed-since", "2026-01-01")
    assert listed.exit_code == 0, listed.output
    assert "2 people on the list, 2 of them new; 2 in the group now" in listed.stdout
    asked = invoke_import(
        "chat", str(export), "--group", group, "--match-names", "ask", "--exported-at", "2026-01-16",
        "--time-zone", "America/Sao_Paulo", answers="1\nnobody\nBento\n0\n",
    )  # fmt: skip
    assert asked.exit_code == 0, asked.output
    assert "1  Ana Lima" in asked.stdout
    assert "Nobody in this group" in asked.stdout
    assert "could not be matched" not in asked.stdout
    assert "2 are members" in asked.stdout
    assert "1 is confirmed to be no member" in asked.stdout


def test_an_open_date_order_is_a_question_and_no_guess(home: Path, group: str) -> None:
    members, export = home / "members.csv", home / "chat.txt"
    members.write_text("phone\n+55 11 98765-4321\n")
    invoke_import("members", str(members), "--group", group)
    export.write_text("01/02/2026, 09:00 - Ana: hello\n02/03/2026, 09:00 - Ana: hi\n", "utf-8")
    asked = invoke_import("chat", str(export), "--group", group)
    assert asked.exit_code == 2
    assert "--date-order dmy or --date-order mdy" in asked.stderr
    said = invoke_import(
        "chat", str(export), "--group", group, "--date-order", "dmy", "--exported-at", "2026-03-03"
    )  # fmt: skip
    assert (said.exit_code, "dates read as dmy" in said.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--group", "x"], 1),
        (["--group", "1@g.us", "--observed-since", "yesterday"], 2),
        (["--group", "1@g.us", "--observed-since", "2999-01-01"], 1),
        (["--group", "1@g.us", "--time-zone", "Mars/Phobos"], 2),
        ([], 2),
    ],
)
def test_what_cannot_be_taken_in_is_said(home: Path, arguments: list[str], code: int) -> None:
    members = home / "members.csv"
    members.write_text("phone,name\n+55 11 98765-4321,Ana\n")
    refused = invoke_import("members", str(members), *arguments)
    assert refused.exit_code == code, refused.output
    assert refused.stderr


@pytest.mark.usefixtures("inside")
def test_who_only_votes_counts_as_silent_by_a_flag(client: testing.TestClient, manager: JobManager, group: str) -> None:
    with manager.store.write() as tx:
        PollRows(tx).saw(GroupRows(tx).create(group), tx.now - 1000)
    fields = [f"groupWaId={group}", "batchSize=5", "delayMs=10000", "dryRun=false", "inactivityWindowMs=86400000"]
    refused = run("start", "removal_workflow", *fields)
    assert (refused.exit_code, "start with --ignore-votes" in refused.output) == (4, True), refused.output
    assert run("start", "removal_workflow", *fields, "ignoreVotes=false", "--ignore-votes").exit_code == 2
    started = run("start", "removal_workflow", *fields, "--ignore-votes")
    assert started.exit_code == 0, started.output
    client.simulate_post(f"/admin/jobs/{started.stdout.strip()}/cancel")
