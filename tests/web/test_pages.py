"""Lists: filters, pages, cursors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from falcon import testing

from runner.manager import JobManager
from runner.stores.jobs import JobRows, NewJob

JOBS = 2500
LIST = "/admin/jobs"
LINK = re.compile(r'<(?P<url>[^>]*)>; rel="?next"?')


@pytest.fixture(scope="module")
def many(manager: JobManager) -> list[str]:
    """Jobs that all wait for one lock, several of them made in the same millisecond."""
    ids = [f"job_{1_700_000_000_000 + number // 7:013d}_{number:013d}" for number in range(JOBS)]
    with manager.store.write() as tx:
        for job_id in ids:
            JobRows(tx).add(NewJob(job_id, "walk", {"dryRun": True}, {}, None, "anonymous"))
        tx.connection.exec_driver_sql(
            "UPDATE jobs SET status = 'completed', created_at = CAST(substr(id, 5, 13) AS INTEGER)"
        )
    return ids[::-1]


def pages(client: testing.TestClient, query: str) -> list[list[dict[str, Any]]]:
    found = []
    path, rest = LIST, query
    while True:
        answer = client.simulate_get(path, query_string=rest)
        assert answer.status_code == 200, answer.text
        found.append(answer.json)
        link = answer.headers.get("link")
        if link is None:
            return found
        following = LINK.search(link)
        assert following is not None, link
        path, rest = following["url"].split("?", 1)


@pytest.mark.parametrize(("query", "sizes"), [("", [1000, 1000, 500]), ("limit=999", [999, 999, 502])])
def test_every_job_is_on_one_page_and_only_one(
    client: testing.TestClient, many: list[str], query: str, sizes: list[int]
) -> None:
    found = pages(client, query)
    assert [len(page) for page in found] == sizes
    assert [job["id"] for page in found for job in page] == many


def test_filters_go_along_from_page_to_page(client: testing.TestClient, many: list[str]) -> None:
    found = pages(client, "status=completed&type=walk&limit=1000")
    assert sum(map(len, found)) == len(many)
    assert pages(client, "status=failed") == [[]]
    assert pages(client, "type=fall") == [[]]


def test_a_page_that_is_just_full_has_no_next(client: testing.TestClient, many: list[str]) -> None:
    last = client.simulate_get(LIST, query_string="limit=1000")
    assert "link" in last.headers
    assert "link" not in client.simulate_get(LIST, query_string="status=running&limit=1").headers


@pytest.mark.parametrize(
    "query",
    ["status=", "status=done", "status=RUNNING", "status=running&status=running", "status=running,failed", "status=%00",
     "status=stopped", "&".join(["status=running"] * 1000)],
)  # fmt: skip
def test_a_status_there_is_not_is_400_with_those_there_are(client: testing.TestClient, query: str) -> None:
    answer = client.simulate_get(LIST, query_string=query)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "status"
    assert "pending, running, paused, completed, cancelled, failed" in answer.json["error"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"), ("limit=", "limit"),
        ("limit=%D9%A1", "limit"), ("limit=1&limit=2", "limit"), ("limit=1.5", "limit"), ("limit=99999999", "limit"),
        ("cursor=x", "cursor"), ("cursor=", "cursor"), ("cursor=MTIz", "cursor"), ("cursor=%00", "cursor"),
        ("cursor=%F0%9F%98%80", "cursor"), ("cursor=" + "A" * 5000, "cursor"), ("cursor=Li4u", "cursor"),
        ("type=", "type"), ("type=nope", "type"), ("stauts=running", "stauts"), ("groupWaId=", "groupWaId"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_400_and_named(client: testing.TestClient, query: str, field: str) -> None:
    answer = client.simulate_get(LIST, query_string=query)
    assert answer.status_code == 400, answer.text
    assert answer.json["errors"][0]["field"] == field


def test_a_misspelt_filter_is_not_no_filter(client: testing.TestClient) -> None:
    answer = client.simulate_get(LIST, query_string="stauts=running")
    assert answer.json["error"] == 'Unknown parameter "stauts"; did you mean "status"?'


@pytest.mark.parametrize("group", ["120363999999999999@g.us", "x", "%00", "1'--"])
def test_a_group_nobody_knows_is_404_and_not_every_job(client: testing.TestClient, group: str) -> None:
    assert client.simulate_get(LIST, query_string=f"groupWaId={group}").status_code == 404
