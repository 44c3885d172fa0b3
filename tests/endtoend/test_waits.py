"""Jobs that wait, for the gateway or for their pace: seen over HTTP, kept over a killed server, ended by a cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.clock import Clock
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.stores.database import SqlStore
from runner.stores.migrate import migrate
from tests.endtoend.server import Server
from tests.gateways.slow import configure, effects, removed_ids
from tests.waiting import wait_for

GROUP = "120363403645737238@g.us"
BODY = {"type": "removal_queue", "groupWaId": GROUP, "batchSize": 5, "delayMs": 0, "dryRun": False}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A server whose group has twelve people in the queue, and some more."""
    url = f"sqlite:///{tmp_path / 'runner.db'}"
    migrate(url)
    with SqlStore(url, Clock(), pooled=False).write() as tx:
        group = GroupRows(tx).create(GROUP, "Neighbours")
        members = [MemberRows(tx).put(group, MemberEntry(lid=f"{1000 + n}@lid"), tx.now) for n in range(20)]
        QueueRows(tx).add(group, members[:12], "asked for")
    configure(tmp_path, call_ms=0)
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        servers.append(Server(tmp_path, gateway="tests.gateways.slow:open_slow", **settings))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def until_waiting(server: Server, job_id: str) -> dict[str, str]:
    found: dict[str, str] = wait_for(lambda: server.job(job_id).get("waiting"), "the job says that it waits")
    return found


def cancelled(server: Server, job_id: str) -> dict[str, Any]:
    assert server.call("POST", f"/admin/jobs/{job_id}/cancel")[0] == 200
    return wait_for(
        lambda: (job := server.job(job_id))["cancellation"]["phase"] == "stopped" and job, "the cancelled job is gone"
    )


def test_slow_down_is_shown_and_a_cancel_ends_the_wait(serve: Callable[..., Server], tmp_path: Path) -> None:
    configure(tmp_path, call_ms=0, calls={str(call): "rate_limited" for call in range(1, 9)}, later={})
    server = serve(slow_down_seconds=300)
    job_id = server.start_job(**BODY)
    waiting = until_waiting(server, job_id)
    assert waiting["reason"].startswith("slow down; next try ")
    assert waiting["kind"] == "gateway"
    assert server.job(job_id)["status"] == "running"
    job = cancelled(server, job_id)
    assert job["cancellation"]["signals"] == [], "it woke by itself"
    assert "waiting" not in job
    assert removed_ids(tmp_path) == []
    assert "unknownWhatsappIds" not in job["result"]


def test_a_cap_is_kept_over_a_killed_server(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(pace_group_per_hour=5)
    status, refused = server.call("POST", "/admin/jobs/start", BODY | {"batchSize": 6})
    assert status == 400
    assert refused["errors"] == [
        {"field": "batchSize", "message": "batchSize must be at most 5 (RUNNER_PACE_GROUP_PER_HOUR)"}
    ]
    status, answer = server.call("POST", "/admin/jobs/start", BODY, **{"Idempotency-Key": "once"})
    assert status == 202
    assert answer["pacing"] == {"groupPerHour": 5}
    assert answer["estimate"] == {"seconds": 7200, "words": "12 people, at this pace 2 hours"}
    job_id = str(answer["jobId"])
    waiting = until_waiting(server, job_id)
    assert waiting["kind"] == "pace"
    assert waiting["reason"].startswith("No more than 5 people an hour in this group are removed; next try ")
    assert server.job(job_id)["progress"]["etaSeconds"] > 3600
    again = server.call("POST", "/admin/jobs/start", BODY, **{"Idempotency-Key": "once"})[1]
    assert again["pacing"] == answer["pacing"]
    server.kill()
    server.start()
    until_waiting(server, job_id)
    job = cancelled(server, job_id)
    assert len(removed_ids(tmp_path)) == 5
    assert job["result"]["removedWhatsappIds"] == removed_ids(tmp_path)
    assert sum(line["event"] == "begin" for line in effects(tmp_path)) == 1
