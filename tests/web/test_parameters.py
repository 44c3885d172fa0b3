"""What stands behind the question mark: refused on every call under /admin where it is not known, else ignored."""

from __future__ import annotations

from typing import Any

import pytest
from falcon import testing

from runner.manager import JobManager
from tests.web.test_jobs import start, status
from web.access import ROUTES

CALLS = [(method, path) for path, methods in ROUTES.items() if path.startswith("/admin") for method in methods]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("query", ["dryrun=true", "x", "%00=1", "limit=1&limit=1&x=2"])
def test_every_call_refuses_what_it_does_not_know(
    client: testing.TestClient, method: str, path: str, query: str
) -> None:
    there = path.format(job_id="job_1234567890123_abc", group_id="1")
    answer = client.simulate_request(method, there, query_string=query, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json["type"]) == (400, "urn:cancellable-jobs:invalid-fields"), answer.text
    assert "parameter" in answer.json["error"] or "given 2 times" in answer.json["error"]


def test_a_start_with_a_misspelt_place_for_dry_run_starts_nothing(
    client: testing.TestClient, manager: JobManager, body: dict[str, Any]
) -> None:
    answer = client.simulate_post("/admin/jobs/start", query_string="dryRun=true", json=body)
    assert answer.status_code == 400
    assert client.simulate_get("/admin/jobs").json == []


@pytest.mark.parametrize("query", ["status=", "status", "status=running&status=running", "groupWaId=", "limit= "])
def test_empty_and_repeated_ones_are_refused(client: testing.TestClient, query: str) -> None:
    assert client.simulate_get("/admin/jobs", query_string=query).status_code == 400


def test_probes_and_webhooks_ignore_them(client: testing.TestClient) -> None:
    for path in ("/livez", "/readyz"):
        assert client.simulate_get(path, query_string="x=1&x=2&y=").status_code == 200
    assert client.simulate_post("/webhook", query_string="x=1&y=").status_code == 401, "a secret is missing, no more"


@pytest.mark.parametrize("word", ["counts", "cancel", "1", "job-1", "schedules"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_another_word_in_the_place_of_a_job_is_404(client: testing.TestClient, word: str, method: str) -> None:
    assert client.simulate_request(method, f"/admin/jobs/{word}").status_code == 404


def test_methods_that_an_address_lacks_are_405(client: testing.TestClient, body: dict[str, Any]) -> None:
    answers = [
        client.simulate_put("/admin/jobs/job_1234567890123_abc"),
        client.simulate_get("/admin/jobs/start"),
        client.simulate_put("/admin/jobs", query_string="x=1"),
    ]
    assert [answer.status_code for answer in answers] == [405] * 3
    assert all("allow" in answer.headers for answer in answers)
    job_id = start(client, body)
    assert status(client, job_id)["id"] == job_id
    client.simulate_post(f"/admin/jobs/{job_id}/cancel")
