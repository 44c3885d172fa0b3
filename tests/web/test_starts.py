"""The checks at the start of a job: their order, their sentences, all of them at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from falcon import testing

from runner.manager import JobManager
from runner.stores.jobs import JobFilter

Body = dict[str, Any]
PATH = "/admin/jobs/start"
ORDER = ["groupWaId", "batchSize", "delayMs", "dryRun", "inactivityWindowMs"]


@pytest.fixture
def seed_body(group: str) -> Body:
    """The seed's own start, on a group that nobody has."""
    numbers = {"batchSize": 5, "delayMs": 10_000, "inactivityWindowMs": 2_592_000_000}
    return {"type": "removal_workflow", "groupWaId": group, "dryRun": True, **numbers}


def faults(client: testing.TestClient, body: Body) -> list[str]:
    answer = client.simulate_post(PATH, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json["error"] == answer.json["detail"] == answer.json["errors"][0]["message"]
    return [fault["field"] for fault in answer.json["errors"]]


@pytest.mark.parametrize("given", [{}, {"type": None}, {"type": ""}])
def test_the_type_comes_first(client: testing.TestClient, given: Body) -> None:
    assert faults(client, given | {"nonsense": 1}) == ["type"]


@pytest.mark.parametrize("kind", ["removal", "REMOVAL_QUEUE", 5, True, [], {}, "os.system", "x" * 5000])
def test_an_unknown_type_is_told_with_those_there_are(client: testing.TestClient, seed_body: Body, kind: Any) -> None:
    answer = client.simulate_post(PATH, json=seed_body | {"type": kind})
    assert answer.status_code == 400
    assert [fault["field"] for fault in answer.json["errors"]] == ["type"]
    assert "removal_queue, removal_workflow" in answer.json["detail"]
    assert len(answer.text) < 3000, "what was sent is not sent back whole; the types of all tests are named"


def test_all_faults_come_at_once_in_the_stated_order(client: testing.TestClient) -> None:
    assert faults(client, {"type": "removal_workflow"}) == ORDER
    assert faults(client, {"type": "removal_queue"}) == ORDER[:-1]
    wrong = {"dryRun": None, "zzz": 1, "inactivityWindowMs": 0, "delayMs": 9999, "batchSize": "5", "groupWaId": "x"}
    assert faults(client, {"type": "removal_workflow"} | wrong) == [*ORDER, "zzz"]
    assert faults(client, {"bacthSize": 5, "delayMs": 5, "type": "removal_queue"}) == [*ORDER[:-1], "bacthSize"]


WRONG: dict[str, list[Any]] = {
    "groupWaId": ["", "x", "1@lid", "1@g.us ", "\u0967\u0968@g.us", "1-@g.us", 1, None, ["1@g.us"]],
    "batchSize": [0, -3, 1.5, 5.0, "5", True, None, [5], 2**53 - 1],
    "delayMs": [9_999, 0, -1, 86_400_001, 3_000_000_000, "10000", True, None, 1e4],
    "dryRun": [None, 0, 1, "", "false", "true", [], {}],
    "inactivityWindowMs": [0, -1, 1.5, "1", True, None],
    "ifBusy": ["no", None, True, []],
    "ignoreUnmatched": [None, "yes", 1],
    "ignoreAnnouncement": [None, "yes", 1],
    "reviewed": [None, "", 5],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_wrong_value_names_its_field(client: testing.TestClient, seed_body: Body, field: str, value: Any) -> None:
    answer = client.simulate_post(PATH, json=seed_body | {field: value})
    assert answer.status_code == 400, answer.text
    (fault,) = answer.json["errors"]
    assert fault["field"] == field
    assert fault["message"].startswith(field)


def test_sentences_name_the_limit(client: testing.TestClient, seed_body: Body) -> None:
    said = {
        "delayMs": (1, "at least 10000"),
        "batchSize": (0, "at least 1"),
        "dryRun": ("no", "true or false"),
        "groupWaId": ("x", "digits@g.us"),
        "inactivityWindowMs": (0, "greater than 0"),
    }
    for field, (value, limit) in said.items():
        assert limit in client.simulate_post(PATH, json=seed_body | {field: value}).json["error"]


def test_an_unknown_field_is_named_with_the_nearest(client: testing.TestClient, seed_body: Body) -> None:
    answer = client.simulate_post(PATH, json=seed_body | {"batch_size": 5})
    assert answer.json["error"] == 'Unknown field "batch_size"; did you mean "batchSize"?'
    evil = client.simulate_post(PATH, json=seed_body | {"<img onerror=x>\u202e": 5})
    assert (evil.status_code, evil.headers["content-type"]) == (400, "application/problem+json")
    assert "\\\\u202e" in evil.text


def test_the_window_of_a_queue_run_is_accepted_and_left_out(client: testing.TestClient, seed_body: Body) -> None:
    answer = client.simulate_post(PATH, json=seed_body | {"type": "removal_queue"})
    assert (answer.status_code, answer.json["error"][:16]) == (404, "Group not found:")
    assert "runner ingest GROUP" in answer.json["error"]


def test_a_group_nobody_knows_is_404(client: testing.TestClient, seed_body: Body) -> None:
    answer = client.simulate_post(PATH, json=seed_body)
    assert (answer.status_code, answer.json["type"]) == (404, "urn:cancellable-jobs:group-not-found")


def test_the_same_key_and_body_get_the_same_answer(client: testing.TestClient, body: Body) -> None:
    headers = {"Idempotency-Key": f"once {body['groupWaId']}"}
    first = client.simulate_post(PATH, json=body, headers=headers)
    turned = dict(reversed(body.items()))
    second = client.simulate_post(PATH, json=turned, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json == second.json
    assert first.headers["location"] == second.headers["location"]
    client.simulate_post(f"/admin/jobs/{first.json['jobId']}/cancel")
    assert client.simulate_post(PATH, json=body, headers=headers).json == first.json
    other = client.simulate_post(PATH, json=body | {"batchSize": 6}, headers=headers)
    assert (other.status_code, other.json["type"]) == (422, "urn:cancellable-jobs:key-reused")
    faulty = client.simulate_post(PATH, json=body | {"batchSize": 0}, headers=headers)
    assert faulty.status_code == 422


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ä", "a\x7fb"])
def test_a_key_that_cannot_be_kept_is_400(client: testing.TestClient, body: Body, key: str) -> None:
    answer = client.simulate_post(PATH, json=body, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_a_refused_start_is_not_kept_under_its_key(client: testing.TestClient, body: Body) -> None:
    headers = {"Idempotency-Key": f"again {body['groupWaId']}"}
    assert client.simulate_post(PATH, json=body | {"batchSize": 0}, headers=headers).status_code == 400
    started = client.simulate_post(PATH, json=body, headers=headers)
    assert started.status_code == 202
    client.simulate_post(f"/admin/jobs/{started.json['jobId']}/cancel")


def test_a_hundred_starts_at_once_with_one_key_make_one_job(
    client: testing.TestClient, manager: JobManager, body: Body
) -> None:
    headers = {"Idempotency-Key": f"hundred {body['groupWaId']}"}
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(client.simulate_post, PATH, json=body, headers=headers) for _ in range(100)]
        answers = [future.result() for future in futures]
    assert {answer.status_code for answer in answers} == {202}
    ids = {answer.json["jobId"] for answer in answers}
    assert len(ids) == 1
    jobs = manager.list(JobFilter(lock_key=f"group:{body['groupWaId']}"), 1000)
    assert [job.id for job in jobs] == list(ids)
    client.simulate_post(f"/admin/jobs/{ids.pop()}/cancel")
