"""An ended job can be read until its retention ends; in the archive every call finds it."""

from __future__ import annotations

from typing import Any

import pytest
from falcon import testing

from runner.manager import JobManager
from runner.stores.jobs import JobRows
from tests.web.test_jobs import TIME, start, status, wait_for_status, wait_until_stopped

Body = dict[str, Any]


@pytest.fixture
def archived(client: testing.TestClient, manager: JobManager, body: Body) -> str:
    """A cancelled job that was reaped."""
    job_id = start(client, body)
    client.simulate_post(f"/admin/jobs/{job_id}/cancel", json={"reason": "enough"})
    wait_until_stopped(client, job_id)
    reap(manager, job_id)
    return job_id


def reap(manager: JobManager, job_id: str) -> None:
    with manager.store.write() as tx:
        JobRows(tx).archive(job_id)


def listed(client: testing.TestClient, **query: str) -> set[str]:
    answer = client.simulate_get("/admin/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return {job["id"] for job in answer.json}


def test_a_reaped_job_is_read_by_its_id_and_says_since_when(client: testing.TestClient, archived: str) -> None:
    job = status(client, archived)
    assert job["status"] == "cancelled"
    assert job["cancellation"]["reason"] == "enough"
    assert TIME.fullmatch(job["archivedAt"])
    tag = client.simulate_get(f"/admin/jobs/{archived}/status").headers["etag"]
    again = client.simulate_get(f"/admin/jobs/{archived}/status", headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_the_list_has_archived_jobs_only_where_they_are_asked_for(
    client: testing.TestClient, archived: str, body: Body
) -> None:
    there = start(client, body)
    assert listed(client) & {archived, there} == {there}
    assert listed(client, archived="false") & {archived, there} == {there}
    assert listed(client, archived="true") & {archived, there} == {archived, there}
    assert listed(client, archived="only") & {archived, there} == {archived}
    assert listed(client, archived="only", status="cancelled") & {archived, there} == {archived}
    assert listed(client, archived="only", status="running") & {archived, there} == set()
    for wrong in ("True", "1", "also"):
        answer = client.simulate_get("/admin/jobs", params={"archived": wrong})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "archived")
    client.simulate_post(f"/admin/jobs/{there}/cancel")


def test_pages_go_through_the_archive_too(client: testing.TestClient, archived: str) -> None:
    first = client.simulate_get("/admin/jobs", params={"archived": "true", "limit": "1"})
    found, link = [job["id"] for job in first.json], first.headers.get("link")
    while link is not None:
        query = link.split("?", 1)[1].split(">", 1)[0]
        assert "archived=true" in query
        page = client.simulate_get("/admin/jobs", query_string=query)
        found += [job["id"] for job in page.json]
        link = page.headers.get("link")
    assert archived in found
    assert len(found) == len(set(found))


def test_every_call_finds_an_archived_job(client: testing.TestClient, archived: str) -> None:
    path = f"/admin/jobs/{archived}"
    again = client.simulate_post(f"{path}/cancel")
    assert (again.status_code, again.json["status"]) == (200, "cancelled"), "on a cancelled job the same 200"
    assert client.simulate_post(f"{path}/cancel", params={"force": "true"}).status_code == 200
    for verb, query in (("pause", {}), ("resume", {}), ("cancel", {"dryRun": "true"})):
        assert client.simulate_post(f"{path}/{verb}", params=query).status_code == 409, verb
    at = status(client, archived)["archivedAt"]
    assert client.simulate_delete(path).status_code == 204, "again"
    assert status(client, archived)["archivedAt"] == at
    retried = client.simulate_post(f"{path}/retry")
    assert (retried.status_code, retried.json["retryOf"]) == (202, archived)
    client.simulate_post(f"/admin/jobs/{retried.json['jobId']}/cancel")


def test_a_cancel_of_an_archived_job_that_ended_otherwise_is_409(
    client: testing.TestClient, manager: JobManager, body: Body
) -> None:
    job_id = start(client, body | {"dryRun": True})
    wait_for_status(client, job_id, "completed")
    reap(manager, job_id)
    answer = client.simulate_post(f"/admin/jobs/{job_id}/cancel")
    assert answer.json["error"] == "Job cannot be cancelled (current status: completed)"
    assert answer.status_code == 409


def test_when_its_retention_ends_it_is_gone(client: testing.TestClient, manager: JobManager, archived: str) -> None:
    with manager.store.write() as tx:
        JobRows(tx).forget_archived_before(tx.now, 1000)
    assert client.simulate_get(f"/admin/jobs/{archived}/status").status_code == 404
    assert client.simulate_delete(f"/admin/jobs/{archived}").status_code == 404
