"""The calls of a job, against the contract."""

from __future__ import annotations

import re
from typing import Any

from falcon import testing

from tests.waiting import wait_for

Body = dict[str, Any]
ID = re.compile(r"job_[0-9]{13}_[0-9a-z]{13,}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def start(client: testing.TestClient, body: Body, **headers: str) -> str:
    answer = client.simulate_post("/admin/jobs/start", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json["jobId"])


def status(client: testing.TestClient, job_id: str) -> Body:
    answer = client.simulate_get(f"/admin/jobs/{job_id}/status")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def wait_for_status(client: testing.TestClient, job_id: str, wanted: str) -> Body:
    def reached() -> Body | None:
        job = status(client, job_id)
        return job if job["status"] == wanted else None

    found: Body = wait_for(reached, f"{job_id} is {wanted}")
    return found


def wait_until_stopped(client: testing.TestClient, job_id: str) -> Body:
    def stopped() -> Body | None:
        job = status(client, job_id)
        return job if job["cancellation"]["phase"] == "stopped" else None

    found: Body = wait_for(stopped, f"the tree of {job_id} is gone")
    return found


def test_a_start_is_answered_with_the_three_keys_of_the_seed(client: testing.TestClient, body: Body) -> None:
    answer = client.simulate_post("/admin/jobs/start", json=body)
    assert answer.status_code == 202
    job_id = answer.json["jobId"]
    assert answer.json == {"jobId": job_id, "message": "Job started successfully", "status": "pending"}
    assert list(answer.json) == ["jobId", "message", "status"]
    assert ID.fullmatch(job_id)
    assert answer.headers["location"] == f"/admin/jobs/{job_id}/status"
    assert answer.headers["retry-after"] == "1"
    client.simulate_post(f"/admin/jobs/{job_id}/cancel")


def test_a_job_from_its_start_to_the_proof_of_its_end(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    wait_for_status(client, job_id, "running")
    job: Body = wait_for(
        lambda: (now := status(client, job_id))["progress"]["processed"] == 10 and now, "all ten are processed"
    )
    assert list(job)[:5] == ["id", "type", "status", "config", "progress"]
    assert job["config"] == {name: value for name, value in body.items() if name != "type"}
    assert job["progress"]["total"] == 10
    assert job["progress"]["currentBatch"] == 2
    assert job["progress"]["percent"] == 100.0
    assert TIME.fullmatch(job["createdAt"])
    assert TIME.fullmatch(job["startedAt"])
    assert "completedAt" not in job
    assert "cancellation" not in job
    assert None not in job.values()

    cancelled = client.simulate_post(f"/admin/jobs/{job_id}/cancel", json={"reason": "enough"})
    assert cancelled.status_code == 200
    assert cancelled.json == {"jobId": job_id, "message": "Job cancelled successfully", "status": "cancelled"}
    at_once = status(client, job_id)
    assert at_once["status"] == "cancelled"
    stopped = wait_until_stopped(client, job_id)
    cancellation = stopped["cancellation"]
    assert cancellation["requestedBy"] == "anonymous"
    assert cancellation["reason"] == "enough"
    assert cancellation["signals"] == []
    assert TIME.fullmatch(cancellation["requestedAt"])
    assert TIME.fullmatch(cancellation["deadlineAt"])
    assert TIME.fullmatch(cancellation["stoppedAt"])
    assert TIME.fullmatch(stopped["completedAt"])
    assert stopped["result"] == {"last": 9}

    again = client.simulate_post(f"/admin/jobs/{job_id}/cancel")
    assert (again.status_code, again.json) == (200, cancelled.json)


def test_a_job_that_completes_says_so_and_cannot_be_cancelled(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body | {"dryRun": True})
    job = wait_for_status(client, job_id, "completed")
    assert job["result"] == {"last": 9, "walked": True}
    answer = client.simulate_post(f"/admin/jobs/{job_id}/cancel")
    assert answer.status_code == 409
    assert answer.json["error"] == "Job cannot be cancelled (current status: completed)"


def test_a_job_that_fails_says_why(client: testing.TestClient) -> None:
    job_id = start(client, {"type": "fall", "sentence": "the floor was wet"})
    job = wait_for_status(client, job_id, "failed")
    assert "the floor was wet" in job["result"]["error"]
    assert TIME.fullmatch(job["completedAt"])


def test_a_second_job_on_a_group_waits_and_names_the_first(client: testing.TestClient, body: Body) -> None:
    first = start(client, body)
    second = start(client, body)
    job = status(client, second)
    assert (job["status"], job["waitingFor"]) == ("pending", first)
    refused = client.simulate_post("/admin/jobs/start", json=body | {"ifBusy": "reject"})
    assert refused.status_code == 409
    assert refused.json["type"] == "urn:cancellable-jobs:lock-busy"
    assert first in refused.json["detail"]
    client.simulate_post(f"/admin/jobs/{first}/cancel")
    wait_for_status(client, second, "running")
    client.simulate_post(f"/admin/jobs/{second}/cancel")


def test_a_finished_job_can_be_deleted_and_a_live_one_cannot(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    assert client.simulate_delete(f"/admin/jobs/{job_id}").status_code == 409
    client.simulate_post(f"/admin/jobs/{job_id}/cancel")
    wait_until_stopped(client, job_id)
    deleted = client.simulate_delete(f"/admin/jobs/{job_id}")
    assert (deleted.status_code, deleted.text) == (204, "")
    assert job_id not in [job["id"] for job in client.simulate_get("/admin/jobs").json]
    assert "archivedAt" in status(client, job_id)
    assert client.simulate_delete(f"/admin/jobs/{job_id}").status_code == 204


def test_an_unchanged_job_is_304(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    wait_for(lambda: status(client, job_id)["status"] == "running", "it runs")
    wait_for(lambda: status(client, job_id)["progress"]["processed"] == 10, "all ten are processed")
    path = f"/admin/jobs/{job_id}/status"
    tag = client.simulate_get(path).headers["etag"]
    assert tag.startswith('W/"')
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        answer = client.simulate_get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.text, answer.headers["etag"]) == (304, "", tag)
    client.simulate_post(f"/admin/jobs/{job_id}/cancel")
    for known in (tag, '"other"', "nonsense", ",,,", ""):
        changed = client.simulate_get(path, headers={"If-None-Match": known})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag


def test_options_of_later_issues_are_refused_and_never_ignored(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    for query in ("dryrun=true", "force=yes", "force=", "dryRun=1", "x=1"):
        answer = client.simulate_post(f"/admin/jobs/{job_id}/cancel", query_string=query)
        assert answer.status_code == 400
        assert query.split("=")[0] in answer.json["error"]
    assert status(client, job_id)["status"] != "cancelled"
    for option in ("priority", "runAt", "maxAttempts", "after"):
        answer = client.simulate_post("/admin/jobs/start", json=body | {option: 1})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, option)
    client.simulate_post(f"/admin/jobs/{job_id}/cancel")


def test_a_reason_is_text_of_bearable_length(client: testing.TestClient, body: Body) -> None:
    job_id = start(client, body)
    path = f"/admin/jobs/{job_id}/cancel"
    for wrong in ({"reason": 1}, {"reason": "x" * 501}, {"resaon": "x"}):
        answer = client.simulate_post(path, json=wrong)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, next(iter(wrong)))
    assert 'did you mean "reason"' in client.simulate_post(path, json={"resaon": "x"}).json["error"]
    assert client.simulate_post(path, json={}).status_code == 200
