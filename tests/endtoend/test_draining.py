"""Going down: in order, by force, and at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.server import Server, is_living
from tests.waiting import wait_for

HOUR_MS = 3_600_000


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Any]:
    opened = []

    def serve(**settings: Any) -> Server:
        server = Server(tmp_path, workflows="tests.processes.samples", **settings)
        opened.append(server)
        server.start()
        return server

    yield serve
    for server in opened:
        server.close()


def at_work(server: Server, workflow: str, **config: Any) -> str:
    job_id = server.start_job(type=workflow, **config)
    wait_for(lambda: server.job(job_id)["progress"].get("message") == "here", "the job is at work")
    return job_id


def test_jobs_that_heed_go_on_at_the_next_start(servers: Any) -> None:
    first = servers()
    job_id = first.start_job(type="count", delayMs=HOUR_MS)
    wait_for(lambda: first.job(job_id)["progress"]["processed"] == 2, "a batch is done")
    family = first.family()
    assert first.end(signal.SIGTERM) == 0
    wait_for(lambda: not any(map(is_living, family)), "its processes end with it")
    second = servers()
    job = wait_for(lambda: (now := second.job(job_id))["status"] == "running" and now, "the job goes on")
    assert (job["progress"]["processed"], job["attempt"]) == (2, 2)
    assert second.end(signal.SIGINT) == 0


def test_a_job_that_does_not_heed_is_forced_while_the_server_still_answers(servers: Any) -> None:
    server = servers(grace_seconds=2, terminate_seconds=1)
    job_id = at_work(server, "heed", way="ignore")
    family = server.family()
    server.send(signal.SIGTERM)
    refused = wait_for(lambda: (now := server.call("POST", "/admin/jobs/start", COUNT))[0] == 503 and now, "it drains")
    assert "going down" in refused[1]["detail"]
    assert server.job(job_id)["status"] == "running"
    assert server.call("POST", f"/admin/jobs/{job_id}/cancel")[0] == 200
    assert server.wait() == 3
    wait_for(lambda: not any(map(is_living, family)), "its processes end with it")


def test_what_was_forced_before_says_nothing_of_how_it_went_down(servers: Any) -> None:
    server = servers()
    job_id = at_work(server, "heed", way="ignore")
    assert server.call("POST", f"/admin/jobs/{job_id}/cancel?force=true")[0] == 200
    wait_for(lambda: server.job(job_id)["cancellation"]["phase"] == "stopped", "it is gone")
    assert server.job(job_id)["cancellation"]["signals"]
    assert server.end(signal.SIGTERM) == 0


def test_a_second_signal_ends_at_once_and_the_next_start_takes_up_what_was_left(servers: Any) -> None:
    first = servers(grace_seconds=600)
    job_id = at_work(first, "heed", way="ignore")
    family = first.family()
    first.send(signal.SIGTERM)
    wait_for(lambda: first.call("POST", "/admin/jobs/start", COUNT)[0] == 503, "it drains")
    assert first.end(signal.SIGTERM) == 4
    wait_for(lambda: not any(map(is_living, family)), "its processes end with it")
    second = servers()
    wait_for(lambda: second.job(job_id)["attempt"] == 2, "the job goes on")
    assert second.job(job_id)["status"] == "running"


COUNT = {"type": "count"}
