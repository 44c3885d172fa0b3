"""Cancel by force and as a dry run, pause, resume, retry, and the limits of a start, against the contract."""

from __future__ import annotations

from typing import Any

import pytest
from falcon import testing

from tests.waiting import wait_for
from tests.web.test_jobs import TIME, start, status, wait_for_status, wait_until_stopped

Body = dict[str, Any]


def turn(client: testing.TestClient, job_id: str, verb: str, query: str = "") -> testing.Result:
    return client.simulate_post(f"/admin/jobs/{job_id}/{verb}", query_string=query)


def without_eta(job: Body) -> Body:
    """It counts down by itself."""
    return job | {"progress": {name: value for name, value in job["progress"].items() if name != "etaSeconds"}}


def test_a_dry_cancel_says_what_it_would_do_and_changes_nothing(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    wait_for(lambda: status(client, job_id)["progress"]["processed"] == 10, "all ten are processed")
    before = without_eta(status(client, job_id))
    answer = turn(client, job_id, "cancel", "dryRun=true")
    assert answer.status_code == 200
    assert list(answer.json) == ["jobId", "wouldSignal", "batchInHand", "kept", "deadlineAt"]
    assert [sorted(process) for process in answer.json["wouldSignal"]] == [["name", "pid"]]
    assert answer.json["batchInHand"] == {"items": 0}
    assert answer.json["kept"] == {"processed": 10}
    assert TIME.fullmatch(answer.json["deadlineAt"])
    assert without_eta(status(client, job_id)) == before
    sooner = turn(client, job_id, "cancel", "dryRun=true&force=true").json["deadlineAt"]
    assert sooner < answer.json["deadlineAt"]
    turn(client, job_id, "cancel")
    job = wait_until_stopped(client, job_id)
    assert turn(client, job_id, "cancel", "dryRun=true").status_code == 409
    assert job["containment"] == job["cancellation"]["containment"]


def test_a_cancel_by_force(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    wait_for_status(client, job_id, "running")
    answer = turn(client, job_id, "cancel", "force=true")
    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    job = wait_until_stopped(client, job_id)
    assert {signal["signal"] for signal in job["cancellation"]["signals"]} <= {"SIGKILL"}
    assert turn(client, job_id, "cancel", "force=true").json == answer.json, "again the same"


def test_pause_resume_and_the_states_they_are_for(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    wait_for(lambda: status(client, job_id)["progress"]["processed"] == 10, "all ten are processed")
    answer = turn(client, job_id, "pause")
    assert (answer.status_code, answer.json["message"]) == (200, "Job paused successfully")
    assert answer.json["status"] in ("running", "paused")
    paused = wait_for_status(client, job_id, "paused")
    assert "pausing" not in paused
    assert turn(client, job_id, "pause").json["status"] == "paused"
    assert [job["id"] for job in client.simulate_get("/admin/jobs?status=paused").json] == [job_id]
    assert client.simulate_delete(f"/admin/jobs/{job_id}").status_code == 409, "it has not ended"
    assert turn(client, job_id, "retry").status_code == 409
    resumed = turn(client, job_id, "resume")
    assert (resumed.status_code, resumed.json) == (
        200,
        {"jobId": job_id, "message": "Job resumed successfully", "status": "pending"},
    )
    running = wait_for_status(client, job_id, "running")
    assert running["attempt"] == 2
    again = turn(client, job_id, "resume")
    assert (again.status_code, again.json["detail"]) == (409, "Job cannot be resumed: it is running")
    turn(client, job_id, "cancel")
    wait_until_stopped(client, job_id)
    refused = turn(client, job_id, "pause")
    assert (refused.status_code, refused.json["detail"]) == (409, "Job cannot be paused: it is cancelled")


def test_a_retry_names_the_old_one(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body | {"timeoutMs": 60_000, "maxMemoryMb": 500})
    wait_for(lambda: status(client, job_id)["progress"]["processed"] == 10, "all ten are processed")
    turn(client, job_id, "cancel")
    wait_until_stopped(client, job_id)
    answer = turn(client, job_id, "retry")
    new_id = answer.json["jobId"]
    assert (answer.status_code, answer.json["retryOf"], answer.json["status"]) == (202, job_id, "pending")
    assert answer.headers["location"] == f"/admin/jobs/{new_id}/status"
    job = status(client, new_id)
    assert (job["retryOf"], job["timeoutMs"], job["maxMemoryMb"]) == (job_id, 60_000, 500)
    second = turn(client, job_id, "retry")
    assert second.status_code == 409
    assert new_id in second.json["detail"]
    turn(client, new_id, "cancel")
    wait_until_stopped(client, new_id)


@pytest.mark.parametrize("verb", ["pause", "resume", "retry"])
def test_nothing_comes_with_these_calls(client: testing.TestClient, body: Body, verb: str) -> None:
    assert turn(client, "job_0000000000000_0", verb).status_code == 404
    assert turn(client, "../x", verb).status_code == 404
    job_id = start(client, body)
    assert turn(client, job_id, verb, "force=true").status_code == 400
    unwanted = client.simulate_post(f"/admin/jobs/{job_id}/{verb}", json={"reason": "x"})
    assert (unwanted.status_code, unwanted.json["errors"][0]["field"]) == (400, "reason")
    assert client.simulate_get(f"/admin/jobs/{job_id}/{verb}").status_code == 405
    turn(client, job_id, "cancel")


@pytest.mark.parametrize(
    ("option", "wrong", "sentence"),
    [
        ("timeoutMs", 0, "timeoutMs must be at least 1"),
        ("timeoutMs", True, "timeoutMs must be a whole number"),
        ("timeoutMs", "5", "timeoutMs must be a whole number"),
        ("timeoutMs", None, "timeoutMs must be a whole number"),
        ("timeoutMs", 10**12, "timeoutMs must be at most 31536000000"),
        ("maxMemoryMb", 31, "maxMemoryMb must be at least 32"),
        ("maxMemoryMb", 1.5, "maxMemoryMb must be a whole number"),
    ],
)
def test_a_wrong_limit_names_the_field_and_what_it_may_be(
    client: testing.TestClient, body: Body, option: str, wrong: Any, sentence: str
) -> None:
    answer = client.simulate_post("/admin/jobs/start", json=body | {option: wrong})
    assert (answer.status_code, answer.json["detail"]) == (400, sentence)


def test_a_job_beyond_its_time_says_so(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body | {"timeoutMs": 200})
    job = wait_for_status(client, job_id, "failed")
    assert job["beyondLimit"] == "timeout"
    assert job["result"]["error"].startswith("timed out: it ran longer than timeoutMs (200)")
    assert "cancellation" not in job


def test_a_dry_cancel_counts_a_batch_that_was_not_written_down(client: testing.TestClient) -> None:
    job_id = client.simulate_post("/admin/jobs/start", json={"type": "dwell"}).json["jobId"]

    def in_hand() -> int:
        return int(turn(client, job_id, "cancel", "dryRun=true").json["batchInHand"]["items"])

    wait_for(lambda: in_hand() == 3, "its first batch is in hand")
    assert turn(client, job_id, "cancel").status_code == 200
    wait_until_stopped(client, job_id)
