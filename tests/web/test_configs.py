"""Configs: every type that JSON can carry comes to the job as what it is; secrets come whole, and are shown nowhere."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from pydantic import SecretBytes, SecretStr

from runner.settings import Settings
from tests.waiting import wait_for
from tests.web.samples_config import KeeperConfig, TypedConfig

SAMPLES = "tests.web.samples,tests.web.samples_config"
START = "/admin/jobs/start"
TOKEN, RAW, PASSWORD, PIN = (f"canary-{name}-5f1e9" for name in ("token", "raw", "password", "pin"))
KEEPER = {
    "type": "keeper",
    "token": TOKEN,
    "raw": RAW,
    "logins": [{"user": "ana", "password": PASSWORD}],
    "pin": PIN,
}
DIGESTS = [hashlib.sha256(secret.encode()).hexdigest()[:8] for secret in (TOKEN, RAW, PASSWORD, PIN)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, workflows=SAMPLES, max_running=4, standby=1, grace_seconds=5, terminate_seconds=2)


def job_of(client: testing.TestClient, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.simulate_get(f"/admin/jobs/{job_id}/status").json
    return found


def ended(client: testing.TestClient, job_id: str) -> dict[str, Any]:
    def is_over() -> dict[str, Any] | None:
        job = job_of(client, job_id)
        return job if job["status"] in ("completed", "failed", "cancelled") else None

    return wait_for(is_over, "the job has ended") or {}


def faults(client: testing.TestClient, body: dict[str, Any]) -> list[str]:
    answer = client.simulate_post(START, json=body)
    assert answer.status_code == 400, answer.text
    return [fault["message"] for fault in answer.json["errors"]]


@pytest.mark.parametrize(
    ("field", "sent", "arrived"),
    [
        ("path", "/tmp/x", "PosixPath('/tmp/x')"),
        (
            "moment",
            "2026-11-24T08:00:00Z",
            "datetime.datetime(2026, 11, 24, 8, 0, tzinfo=TzInfo(0))",
        ),
        ("day", "2026-11-24", "datetime.date(2026, 11, 24)"),
        ("span", "PT90S", "datetime.timedelta(seconds=90)"),
        ("colour", "red", "<Colour.RED: 'red'>"),
        ("level", 1, "<Level.LOW: 1>"),
        ("number", "2e12e0b3-7859-4ffa-88b7-c4ee942ef8c8", "UUID('2e12e0b3-7859-4ffa-88b7-c4ee942ef8c8')"),
        ("price", "0.30", "Decimal('0.30')"),
        ("pair", [2, "b"], "(2, 'b')"),
        ("many", [3, 1], "[1, 3]"),
        ("few", ["b", "a"], "['a', 'b']"),
        ("raw", "é", "b'\\xc3\\xa9'"),
        ("mode", 1, "1"),
        ("inner", {"at": "10:30"}, "Inner(at=datetime.time(10, 30), note=None)"),
        ("address", "10.0.0.1", "IPv4Address('10.0.0.1')"),
        ("url", "http://a.example/", "AnyUrl('http://a.example/')"),
        ("either", "7", "'7'"),
        ("limit", None, "None"),
        ("needed", None, "None"),
    ],
)
def test_it_reaches_the_job_as_what_it_is(client: testing.TestClient, field: str, sent: Any, arrived: str) -> None:
    answer = client.simulate_post(START, json={"type": "typed", field: sent})
    assert answer.status_code == 202, answer.text
    job = ended(client, answer.json["jobId"])
    assert (job["status"], job["result"][field]) == ("completed", arrived)
    assert ("needed" not in job["config"], "note" not in job["config"].get("inner", {})) == (True, True)
    assert job["config"]["limit"] == (None if field == "limit" else 5)


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        *(("level", value) for value in (True, "1")),
        *(("mode", value) for value in (True, "1")),
        *(("price", value) for value in (True, "a")),
        *(("moment", value) for value in (5, "5", True, "yesterday")),
        *(("pair", value) for value in ([1], ["1", "a"], [True, "a"])),
        *(("many", value) for value in ([True], ["1"], 3, None)),
        *(("span", value) for value in (5, True)),
        *(("either", value) for value in (True, None)),
        *(("path", value) for value in (5, None)),
        *(("inner", value) for value in ({"at": 5}, {})),
    ],
    ids=repr,
)
def test_a_value_of_another_kind_is_a_fault_of_its_field(client: testing.TestClient, field: str, sent: Any) -> None:
    said = faults(client, {"type": "typed", field: sent})
    assert len(said) == (2 if field == "either" else 1), "of a union each member says what it wants"
    assert said[0].startswith(field)
    assert "nput should" not in said[0]


def test_null_is_a_value_in_a_config_alone(client: testing.TestClient) -> None:
    assert faults(client, KEEPER | {"pin": None}) == ["pin must not be null; leave it out"]
    assert faults(client, {"type": "typed", "timeoutMs": None})[0].startswith("timeoutMs must")


def test_a_config_is_made_by_its_python_names_too_but_not_by_a_request(client: testing.TestClient) -> None:
    class Plain(TypedConfig):
        batch_size: int = 1

    assert Plain(batch_size=3).on_wire()["batchSize"] == 3
    with pytest.raises(ValueError, match="batch_size"):
        Plain.from_wire({"batch_size": 3})


# -- secrets ---------------------------------------------------------------------------------------------------------


def shown_anywhere(settings: Settings, texts: list[str]) -> list[str]:
    """Where one of the canaries is to be read: in these texts, in the database but for their own place, in /proc."""
    found = [text for text in texts if "canary-" in text]
    with sqlite3.connect(settings.home / "runner.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in set(tables) - {"job_secrets"}:
            rows = database.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - the database's own name
            found += [f"{table}: {row}" for row in rows if "canary-" in repr(row)]
    for place in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        try:
            if b"canary-" in place.read_bytes():
                found.append(str(place))
        except OSError:
            continue
    return found


def secret_rows(settings: Settings) -> set[str]:
    with sqlite3.connect(settings.home / "runner.db") as database:
        return {job_id for (job_id,) in database.execute("SELECT job_id FROM job_secrets")}


def test_secrets_reach_the_job_whole_and_are_shown_nowhere(
    client: testing.TestClient, settings: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    body = KEEPER | {"fails": True}
    answers = [client.simulate_post(START, json=body, headers={"Idempotency-Key": "one"})]
    failed = answers[0].json["jobId"]
    job = ended(client, failed)
    assert job["status"] == "failed"
    assert job["config"]["token"] == job["config"]["logins"][0]["password"] == "**********"
    assert failed in secret_rows(settings), "it may be retried"
    answers += [
        client.simulate_get(f"/admin/jobs/{failed}/status"),
        client.simulate_get("/admin/jobs"),
        client.simulate_post(START, json=body, headers={"Idempotency-Key": "one"}),
        client.simulate_post(START, json=body | {"token": f"{TOKEN}-other"}, headers={"Idempotency-Key": "one"}),
        client.simulate_post(START, json=body | {"token": 5}),
        client.simulate_post(START, json=KEEPER | {"logins": [{"user": "ana", "password": PASSWORD, "rounds": 1}, 5]}),
        client.simulate_post(f"/admin/jobs/{failed}/retry"),
    ]
    assert [answer.status_code for answer in answers] == [202, 200, 200, 202, 422, 400, 400, 202]
    assert answers[3].json["jobId"] == failed
    again = answers[-1].json["jobId"]
    job = ended(client, again)
    assert (job["status"], job["result"]["digests"]) == ("completed", DIGESTS)
    wait_for(lambda: not {failed, again} & secret_rows(settings), "what nobody can need any more is removed")
    said = [answer.text for answer in answers] + [caplog.text, *capfd.readouterr(), json.dumps(job)]
    assert shown_anywhere(settings, said) == []


def test_secrets_are_there_for_a_run_that_goes_on(client: testing.TestClient) -> None:
    answer = client.simulate_post(START, json=KEEPER | {"rounds": 2})
    job_id = answer.json["jobId"]
    wait_for(lambda: job_of(client, job_id)["progress"]["processed"] == 1, "it sleeps")
    assert client.simulate_post(f"/admin/jobs/{job_id}/pause").status_code == 200
    wait_for(lambda: job_of(client, job_id)["status"] == "paused", "it is paused")
    assert client.simulate_post(f"/admin/jobs/{job_id}/resume").status_code == 200
    wait_for(lambda: job_of(client, job_id)["attempt"] == 2, "it goes on")
    assert client.simulate_post(f"/admin/jobs/{job_id}/cancel").status_code == 200


def test_the_secrets_of_a_wrong_config_are_not_in_its_error() -> None:
    config = KeeperConfig(token=SecretStr(PASSWORD), raw=SecretBytes(RAW.encode()))
    assert "canary" not in f"{config!r} {config} {config.on_wire()}"
    with pytest.raises(ValueError, match="rounds") as raised:
        KeeperConfig.from_wire({"token": "x", "rounds": "canary-rounds"})
    assert "canary" not in str(raised.value)
