"""A real server for scripts/bench, and a plain client for it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

LIMIT_SECONDS = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("bench: something did not happen within a minute")
        time.sleep(0.0005)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Client:
    """One kept connection, as a client library would have."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"bench: {method} {path} was answered {answer.status}: {text[:300]!r}")
        return json.loads(text)

    def start(self, **body: Any) -> str:
        return str(self.call("POST", "/admin/jobs/start", body)["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/admin/jobs/{job_id}/status")
        return found

    def wait(self, job_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            seen[:] = [self.job(job_id)]
            return condition(seen[0])

        wait_until(look)
        return seen[0]


class Server:
    """``python -m web`` on loopback, with a home of its own."""

    def __init__(self, home: Path, standby: int) -> None:
        self.port = free_port()
        settings = {"HOME": home, "PORT": self.port, "STANDBY": standby, "MAX_RUNNING": 2000}
        settings |= {"WORKFLOWS": "scripts.bench_workflows", "MAX_PENDING": 100_000}
        environment = os.environ | {f"RUNNER_{name}": str(value) for name, value in settings.items()}
        home.mkdir(parents=True, exist_ok=True)
        self._log = (home / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "web"], env=environment, stdout=self._log, stderr=self._log
        )
        wait_until(self._answers)

    def client(self) -> Client:
        return Client(self.port)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(f"bench: the server did not start; its words are in {self._log.name}")
        try:
            self.client().call("GET", "/livez")
        except OSError:
            return False
        return True

    def family(self) -> list[psutil.Process]:
        """All processes below the server."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(60)


@contextmanager
def serving(home: Path, standby: int = 8) -> Iterator[Server]:
    server = Server(home, standby)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end()


def wait_for_exit(pidfd: int) -> int:
    """Monotonic nanoseconds at which the process behind the handle was seen to be gone."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll(LIMIT_SECONDS * 1000)
    return time.monotonic_ns()
