"""Lists carry a result only where it is small, and never read one that is not."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from falcon import testing
from sqlalchemy import update

from runner.job import JobStatus, new_job_id
from runner.manager import JobManager
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.jobs import JobRows, NewJob
from runner.stores.schema import jobs
from tests.web.test_jobs import status

Body = dict[str, Any]


def finished(
    manager: JobManager, result: Body | None, kind: str = "walk", items: list[LedgerItem] | None = None, **row: Any
) -> str:
    """A job that has ended with this result and ledger."""
    job_id = new_job_id(manager.clock.now_ms())
    with manager.store.write() as tx:
        JobRows(tx).add(NewJob(job_id, kind, {"dryRun": False}, {}, None, "anonymous"))
        if items:
            BatchRows(tx, job_id).book(1, 0, items, None)
        ended = {"status": JobStatus.COMPLETED, "started_at": tx.now, "completed_at": tx.now, "result": result}
        tx.connection.execute(update(jobs).where(jobs.c.id == job_id).values(**(ended | row)))
    return job_id


def listed(client: testing.TestClient, job_id: str) -> Body:
    found = client.simulate_get("/admin/jobs")
    assert found.status_code == 200, found.text
    return next(dict(job) for job in found.json if job["id"] == job_id)


def test_a_small_result_stands_in_a_list_as_in_the_seed(client: testing.TestClient, manager: JobManager) -> None:
    small = {"removedWhatsappIds": ["123@lid", "456@lid"]}
    job = listed(client, finished(manager, small))
    assert job["result"] == small
    assert "resultBytes" not in job
    assert "resultSummary" not in job


def test_the_bound_is_a_thousand_bytes_as_they_are_sent(client: testing.TestClient, manager: JobManager) -> None:
    frame = len(json.dumps({"text": ""}))
    for text in ("x" * (1000 - frame), "é" * ((1000 - frame) // 2), "😀" * ((1000 - frame) // 4)):
        assert listed(client, finished(manager, {"text": text}))["result"] == {"text": text}
        longer = finished(manager, {"text": text + "xxxx"})
        job = listed(client, longer)
        assert "result" not in job
        assert job["resultBytes"] == len(json.dumps({"text": text + "xxxx"}, ensure_ascii=False).encode())
        assert job["resultSummary"] == {}
        assert status(client, longer)["result"] == {"text": text + "xxxx"}


def test_a_list_reads_no_long_result(client: testing.TestClient, manager: JobManager) -> None:
    size = 20_000_000
    job_id = finished(manager, {"text": "x" * size})
    listed(client, job_id)
    tracemalloc.start()
    try:
        job = listed(client, job_id)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert job["resultBytes"] > size
    assert peak < size / 4


def people(outcome: str, number: int, **data: Any) -> list[LedgerItem]:
    return [LedgerItem(f"{outcome}{one}", outcome, {"id": f"{one}@lid"} | data) for one in range(number)]


def test_of_a_removal_the_list_has_counts_by_outcome(client: testing.TestClient, manager: JobManager) -> None:
    few = finished(manager, {"via": "roster"}, "removal_queue", people("removed", 2), ledger_version=1)
    assert listed(client, few)["result"]["removedWhatsappIds"] == ["0@lid", "1@lid"]
    items = people("removed", 70) + people("would_remove", 2) + people("given_up", 1)
    many = finished(manager, {"via": "roster"}, "removal_queue", items, ledger_version=1)
    job = listed(client, many)
    assert "result" not in job
    assert job["resultSummary"] == {"removed": 70, "wouldRemove": 2, "givenUp": 1}
    whole = status(client, many)["result"]
    assert job["resultBytes"] == len(json.dumps(whole, ensure_ascii=False).encode())
    assert len(whole["removedWhatsappIds"]) == 70


def test_a_ledger_too_large_to_read_is_counted(client: testing.TestClient, manager: JobManager) -> None:
    items = people("removed", 300, name="N" * 1000)
    job = listed(client, finished(manager, None, "removal_queue", items, ledger_version=1))
    assert "result" not in job
    assert job["resultBytes"] > 300_000
    assert job["resultSummary"] == {"removed": 300}


def test_a_long_error_is_cut_in_the_summary(client: testing.TestClient, manager: JobManager) -> None:
    short = finished(manager, None, "fall", status=JobStatus.FAILED, error="the floor was wet")
    assert listed(client, short)["result"] == {"error": "the floor was wet"}
    long = finished(manager, None, "fall", status=JobStatus.FAILED, error="wet " * 400)
    assert listed(client, long)["resultSummary"] == {"error": ("wet " * 400)[:500]}
    assert status(client, long)["result"]["error"] == "wet " * 400


def test_what_a_list_has_follows_the_job(client: testing.TestClient, manager: JobManager) -> None:
    job_id = finished(manager, {"text": "x"})
    assert listed(client, job_id)["result"] == {"text": "x"}
    with manager.store.write() as tx:
        values = {"result": {"text": "y" * 2000}, "revision": jobs.c.revision + 1}
        tx.connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
    assert "result" not in listed(client, job_id)
