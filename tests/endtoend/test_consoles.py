"""A terminal that is paused, and a pipe that nobody reads: nothing waits for them, and nothing is late."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endtoend.server import Server, is_living
from tests.waiting import wait_for


@pytest.fixture(params=["terminal", "pipe"])
def console(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """(its reading end, its writing end); no byte more goes into it until it is read."""
    reading, writing = pty.openpty() if request.param == "terminal" else os.pipe()
    os.set_blocking(writing, False)
    for size in (1024, 1):
        try:
            while os.write(writing, b"." * size):
                pass
        except BlockingIOError:
            continue
    os.set_blocking(writing, True)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_nothing_waits_for_a_console_that_takes_nothing(tmp_path: Path, console: tuple[int, int]) -> None:
    _, writing = console
    server = Server(tmp_path, workflows="tests.processes.samples", log_level="DEBUG", grace_seconds=600)
    server.console = writing
    server.start()
    try:
        deaf = server.start_job(type="heed", way="ignore")
        wait_for(lambda: server.job(deaf)["progress"].get("message") == "here", "the job is at work")
        ids = [server.start_job(type="count", total=1) for _ in range(20)]
        for job_id in ids:
            wait_for(lambda one=job_id: server.job(one)["status"] == "completed", "each completes")  # type: ignore[misc]
        assert server.call("POST", f"/admin/jobs/{deaf}/cancel?force=true")[0] == 200
        wait_for(lambda: server.job(deaf)["cancellation"]["phase"] == "stopped", "its process is gone")
        status, ready = server.call("GET", "/readyz")
        assert (status, ready["checks"]["supervisor"]) == (200, "ok")
        family = server.family()
        assert server.end(signal.SIGTERM) == 0
        wait_for(lambda: not any(map(is_living, family)), "its processes end with it")
    finally:
        server.close()


def test_the_last_words_are_said(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    server = Server(tmp_path)
    server.console = writing
    server.start()
    os.close(writing)
    try:
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.close()
    with os.fdopen(reading) as reader:
        said = reader.read()
    assert "cancellable-jobs" in said
    assert said.splitlines()[-1].count('"event": "Stopped"') == 1, "the last words, too"


def test_a_console_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    server = Server(tmp_path)
    server.console = writing
    server.start()
    os.close(writing)
    try:
        assert server.call("GET", "/readyz")[0] == 200
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.close()
