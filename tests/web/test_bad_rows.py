"""Whatever stands in one row of the store, the list of all jobs is answered."""

from __future__ import annotations

from typing import Any

from falcon import testing
from sqlalchemy import Text, null, type_coerce, update

from runner.manager import JobManager
from runner.stores.schema import jobs
from tests.web.test_jobs import start, wait_until_stopped

BAD = {
    "half_character": ("result", '{"a": "\\ud800"}'),
    "not_a_number": ("result", '{"a": NaN}'),
    "no_json": ("result", "{"),
    "deep": ("result", "[" * 100_000),
    "odd_progress": ("progress", '{"processed": "5", "total": [], "message": "\\ud800"}'),
    "list_as_progress": ("progress", "[1]"),
    "odd_status": ("stop_reason", "whim"),
    "odd_cancel": ("signals", "[5]"),
    "no_json_post_mortem": ("post_mortem", "{"),
    "odd_waiting": ("waiting", "5"),
}


def write_by_hand(manager: JobManager, job_id: str, column: str, value: str | None) -> None:
    with manager.store.write() as tx:
        row = update(jobs).where(jobs.c.id == job_id)
        tx.connection.execute(row.values({column: type_coerce(value, Text) if value else null()}))


def test_one_bad_row_costs_nobody_the_list(
    client: testing.TestClient, manager: JobManager, body: dict[str, Any]
) -> None:
    both = [start(client, body), start(client, body)]
    for job_id in both:
        client.simulate_post(f"/admin/jobs/{job_id}/cancel", json={})
        wait_until_stopped(client, job_id)
    for column, value in BAD.values():
        write_by_hand(manager, both[0], column, value)
        answer = client.simulate_get("/admin/jobs")
        write_by_hand(manager, both[0], column, None)
        assert answer.status_code == 200, (column, value[:50], answer.text)
        answer.content.decode()
        assert {job["id"] for job in answer.json} >= set(both)
