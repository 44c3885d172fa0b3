"""Who did what: each job names who asked for what became of it, and a caller's keys are its own."""

from __future__ import annotations

from typing import Any

import pytest
from falcon import testing

from runner.groups.group import GroupRows
from runner.manager import JobManager
from runner.stores.events import JobEvent, events_after
from runner.stores.tokens import TokenRows
from runner.token import Role
from tests.waiting import wait_for
from web.app import create_app

Body = dict[str, Any]
NAMES = {"ana": Role.OPERATOR, "ben": Role.OPERATOR, "zoe": Role.ADMIN}


class Callers:
    """Calls in the name of somebody."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        with manager.store.write() as tx:
            self._tokens = {name: TokenRows(tx).add(name, role) for name, role in NAMES.items()}
        self._client = testing.TestClient(create_app(manager))

    def ask(self, name: str, method: str, path: str, **how: Any) -> testing.Result:
        headers = {"Host": "localhost", "Authorization": f"Bearer {self._tokens[name]}"} | how.pop("headers", {})
        answer = self._client.simulate_request(method, f"/admin{path}", headers=headers, **how)
        assert answer.status_code < 300, answer.text
        return answer

    def start(self, name: str, body: Body, key: str | None = None) -> str:
        headers = {} if key is None else {"Idempotency-Key": key}
        return str(self.ask(name, "POST", "/jobs/start", json=body, headers=headers).json["jobId"])

    def turn(self, name: str, job_id: str, verb: str) -> Body:
        answered: Body = self.ask(name, "POST", f"/jobs/{job_id}/{verb}").json
        return answered

    def job(self, job_id: str) -> Body:
        found: Body = self.ask("ana", "GET", f"/jobs/{job_id}/status").json
        return found

    def events(self, job_id: str) -> list[JobEvent]:
        with self._manager.store.read() as tx:
            return events_after(tx, job_id, 0, 1000)

    def wait_until(self, job_id: str, status: str) -> Body:
        return wait_for(lambda: (job := self.job(job_id))["status"] == status and job, f"the job is {status}")

    def end(self, name: str, job_id: str) -> Body:
        self.turn(name, job_id, "cancel")
        return wait_for(
            lambda: (job := self.job(job_id))["cancellation"]["phase"] == "stopped" and job, "its tree is gone"
        )


@pytest.fixture(scope="module")
def callers(manager: JobManager) -> Callers:
    return Callers(manager)


def test_each_act_names_who_asked_for_it(callers: Callers, body: Body) -> None:
    job_id = callers.start("ana", body)
    assert callers.wait_until(job_id, "running")["createdBy"] == "ana"
    assert "pause" not in callers.job(job_id)
    callers.turn("ben", job_id, "pause")
    pause = callers.wait_until(job_id, "paused")["pause"]
    assert (list(pause), pause["requestedBy"]) == (["requestedAt", "requestedBy"], "ben")
    callers.turn("zoe", job_id, "resume")
    pause = callers.wait_until(job_id, "running")["pause"]
    assert list(pause) == ["requestedAt", "requestedBy", "resumedAt", "resumedBy"]
    assert (pause["requestedBy"], pause["resumedBy"]) == ("ben", "zoe")
    assert callers.end("ben", job_id)["cancellation"]["requestedBy"] == "ben"
    new_id = callers.turn("zoe", job_id, "retry")["jobId"]
    retried = callers.end("zoe", new_id)
    assert (retried["createdBy"], retried["retryOf"]) == ("zoe", job_id)
    callers.ask("zoe", "DELETE", f"/jobs/{job_id}")
    asked = [(event.kind, event.data["requestedBy"]) for event in callers.events(job_id) if "requestedBy" in event.data]
    assert asked == [("pausing", "ben"), ("resumed", "zoe"), ("cancelled", "ben"), ("deleted", "zoe")]
    assert callers.events(job_id)[0].data == {"createdBy": "ana"}
    assert callers.events(new_id)[0].data == {"createdBy": "zoe", "retryOf": job_id}


def test_a_pause_of_a_waiting_job_and_a_second_one(callers: Callers, body: Body) -> None:
    first, second = callers.start("ana", body), callers.start("ana", body)
    assert callers.wait_until(first, "running")
    callers.turn("ben", second, "pause")
    assert callers.job(second)["pause"]["requestedBy"] == "ben"
    callers.turn("zoe", second, "pause")
    assert callers.job(second)["pause"]["requestedBy"] == "ben", "it was paused already"
    callers.turn("ana", second, "resume")
    callers.turn("zoe", second, "pause")
    pause = callers.job(second)["pause"]
    assert (pause["requestedBy"], "resumedBy" in pause) == ("zoe", False), "the last pause, which goes on"
    for job_id in (second, first):
        callers.end("ana", job_id)


def test_a_second_cancel_leaves_who_was_first(callers: Callers, body: Body) -> None:
    job_id = callers.start("ana", body)
    callers.turn("ben", job_id, "cancel")
    callers.turn("zoe", job_id, "cancel")
    assert callers.end("zoe", job_id)["cancellation"]["requestedBy"] == "ben"


def test_keys_are_each_callers_own(callers: Callers, body: Body) -> None:
    key = f"nightly {body['groupWaId']}"
    by_ana, again, by_ben = (callers.start(name, body, key) for name in ("ana", "ana", "ben"))
    assert by_ana == again
    assert by_ben != by_ana
    for job_id in (by_ben, by_ana):
        callers.end("ana", job_id)


def test_the_older_names_of_a_start_name_who_asked_too(callers: Callers, manager: JobManager, group: str) -> None:
    with manager.store.write() as tx:
        GroupRows(tx).create(group)
    job_id = callers.ask("ben", "POST", "/removalQueue/run", json={"groupWaId": group, "delayMs": 10_000}).json["jobId"]
    assert callers.wait_until(job_id, "completed")["createdBy"] == "ben"
