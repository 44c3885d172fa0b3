"""What is true of every request: hosts, origins, headers, paths, methods, and errors nobody thought of."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import falcon
import pytest
from falcon import testing

from runner import errors
from runner.errors import RunnerError
from runner.manager import JobManager
from runner.settings import Settings
from web.app import create_app
from web.errors import STATUSES, add_error_answers, status_of
from web.middleware import HostCheck, split_host

LIST = "/admin/jobs"
PROBLEM = "application/problem+json"


@pytest.mark.parametrize("host", ["localhost", "localhost:3000", "LOCALHOST", "127.0.0.1:99", "[::1]:3000", "[::1]"])
def test_our_own_names_are_answered(client: testing.TestClient, host: str) -> None:
    assert client.simulate_get(LIST, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:3000",
        "127.0.0.1.nip.io",
        "localhost@evil",
        "",
        "[",
        "a b",
    ],
)
def test_other_names_get_421(client: testing.TestClient, host: str) -> None:
    answer = client.simulate_get(LIST, headers={"Host": host})
    assert (answer.status_code, answer.headers["content-type"]) == (421, PROBLEM)


def test_more_names_may_be_allowed() -> None:
    app = falcon.App(middleware=[HostCheck(Settings(allowed_hosts="jobs.example, [fd00::1]"))])
    add_error_answers(app)
    inside = testing.TestClient(app)
    known = [inside.simulate_get("/", headers={"Host": host}).status_code for host in ("jobs.example", "[fd00::1]:80")]
    assert known == [404, 404]
    assert inside.simulate_get("/", headers={"Host": "other.example"}).status_code == 421


def test_hosts_are_taken_apart() -> None:
    assert split_host("[::1]:3000") == ("::1", 3000)
    assert split_host("Example:0") == ("example", 0)
    assert split_host("a:99999") == ("", None)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "file://"},
        {"Origin": "http://localhost:3000.evil.example"},
        {"Origin": "http://[::"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "Nonsense"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:3000"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT"])
def test_other_sites_change_nothing(client: testing.TestClient, headers: dict[str, str], method: str) -> None:
    for path in ("/admin/jobs/start", "/admin/jobs/job_1/cancel", "/admin/removalQueue?all=true", "/nowhere"):
        answer = client.simulate_request(method, path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (403, PROBLEM)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:3000"},
        {"Host": "localhost", "Origin": "http://localhost"},
        {"Host": "localhost:80", "Origin": "http://localhost"},
        {"Host": "localhost", "Origin": "https://localhost"},
    ],
)
def test_our_own_pages_and_programs_may(client: testing.TestClient, headers: dict[str, str]) -> None:
    assert client.simulate_post("/admin/jobs/job_1/cancel", headers=headers).status_code == 404


def test_reading_is_open_to_links_from_elsewhere(client: testing.TestClient) -> None:
    answer = client.simulate_get(LIST, headers={"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("method", "path"), [("GET", LIST), ("GET", "/nowhere"), ("PUT", LIST), ("OPTIONS", LIST)])
def test_every_answer_has_the_headers(client: testing.TestClient, method: str, path: str) -> None:
    headers = client.simulate_request(method, path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert len(headers["x-request-id"]) == 16
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("x" * 65, False), ("a b", False), ("<x>", False)])
def test_a_harmless_request_id_is_kept(client: testing.TestClient, given: str, kept: bool) -> None:
    assert (client.simulate_get(LIST, headers={"X-Request-Id": given}).headers["x-request-id"] == given) is kept


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/admin/jobs/start", "POST"),
        ("POST", "/admin/jobs", "GET"),
        ("PUT", "/admin/jobs/job_1/status", "GET"),
        ("GET", "/admin/jobs/job_1/cancel", "POST"),
        ("GET", "/admin/jobs/job_1", "DELETE"),
        ("TRACE", "/admin/jobs", "GET"),
        ("DELETE", "/admin/groups", "GET"),
        ("POST", "/livez", "GET"),
        ("GET", "/", "POST"),
        ("GET", "/webhook", "POST"),
        ("GET", "/messages-upsert", "POST"),
    ],
)
def test_another_method_is_405_with_allow(client: testing.TestClient, method: str, path: str, allowed: str) -> None:
    answer = client.simulate_request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
    assert allowed in answer.headers["allow"].split(", ")


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/admin", "/admin//jobs", "/admin/%2e%2e/admin/jobs", "/admin/jobs%00",
     "/admin/jobs/a/logs", "/metrics", "/admin/jobs/x/y/z", "/" + "x" * 10_000, "/admin/groups/ingest/x",
     "/webhook/a/b"],
)  # fmt: skip
def test_another_path_is_404(client: testing.TestClient, path: str) -> None:
    answer = client.simulate_get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
    assert len(answer.text) < 1000


@pytest.mark.parametrize(
    "job_id",
    ["job_1", "JOB_1234567890123_abc", "job_1234567890123_" + "a" * 13, "%F0%9F%98%80", "1'%20OR%20'1'='1", "%00",
     "..%2F..%2Fetc%2Fpasswd", "..", "%ED%A0%80", "%FF", "null", "x" * 5000, "%3Cscript%3E", "job_%D9%A1", "*", "%"],
)  # fmt: skip
def test_ids_that_nobody_has_are_404(client: testing.TestClient, job_id: str) -> None:
    for method, path in (("GET", "/status"), ("POST", "/cancel"), ("DELETE", "")):
        answer = client.simulate_request(method, f"/admin/jobs/{job_id}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


def test_health(client: testing.TestClient) -> None:
    assert client.simulate_get("/livez").json == {"status": "ok"}
    ready = client.simulate_get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "ready")
    assert {ready.json["checks"][name] for name in ("store", "births", "database")} == {"ok"}


class Broken:
    """A part of a manager whose every call goes wrong in the given way."""

    def __init__(self, manager: JobManager, error: Exception) -> None:
        self.settings, self.clock, self.store = manager.settings, manager.clock, manager.store
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def broken_client(manager: JobManager, error: Exception) -> testing.TestClient:
    broken: Any = Broken(manager, error)
    return testing.TestClient(create_app(broken), headers={"Host": "localhost"})


def test_an_unexpected_error_is_500_and_tells_only_its_request(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    answer = broken_client(manager, RuntimeError("the secret is swordfish")).simulate_get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "swordfish" not in answer.text
    assert "Traceback" not in answer.text
    request_id = answer.headers["x-request-id"]
    assert request_id in answer.json["detail"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert request_id in record.getMessage()
    assert record.exc_info is not None


def all_errors(kind: type[RunnerError] = RunnerError) -> Iterator[type[RunnerError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from all_errors(below)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (errors.JobNotFound(), 404, None),
        (errors.JobFinished("completed"), 409, None),
        (errors.LockBusy("job_1"), 409, None),
        (errors.UnmatchedAuthors(3), 409, None),
        (errors.KeyReused(), 422, None),
        (errors.TooManyJobs(5), 429, "10"),
        (errors.StoreUnavailable("disk full"), 503, "5"),
        (errors.Draining(), 503, "5"),
        (errors.StoppingUnrecorded(True), 503, "2"),
        (errors.InvalidFields.one("x", "x is wrong"), 400, None),
        (errors.RunSuperseded("job_1", 2), 500, None),
    ],
)
def test_facts_become_statuses(manager: JobManager, error: RunnerError, status: int, retry: str | None) -> None:
    answer = broken_client(manager, error).simulate_get("/readyz")
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry)
    assert set(answer.json) >= {"type", "title", "status", "detail", "instance", "error"}
    assert answer.json["status"] == status
    assert answer.json["error"] == answer.json["detail"]
    assert answer.json["instance"] == "/readyz"
    if status != 500:
        assert answer.json["detail"] == str(error)


def test_every_fact_has_its_status() -> None:
    inside_a_job = {RunnerError, errors.RunSuperseded, errors.StopRequested, errors.LoopMisused}
    named = [kind for kind in all_errors() if kind.__module__ == "runner.errors" and kind not in inside_a_job]
    assert [kind.__name__ for kind in named if status_of(kind.__new__(kind)) is None] == []
    assert set(STATUSES) <= set(all_errors())


def test_what_is_echoed_is_escaped(manager: JobManager) -> None:
    evil = errors.StoreUnavailable("\x1b[2J\r\n\u202egnp.exe\ud800 </script>")
    answer = broken_client(manager, evil).simulate_get("/readyz")
    assert answer.text.isascii()
    assert json.loads(answer.text)["detail"].isprintable()
