"""A real server for scripts/bench, and a plain client for it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from scripts.bench_rows import NotMeasured

LIMIT_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1


def wait_until(condition: Callable[[], bool], what: str, seconds: float = LIMIT_SECONDS, pause: float = 0.0005) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise NotMeasured(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def with_us() -> None:
    """In a child, before it becomes another program: it is killed when this process is gone, however that went."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Client:
    """One kept connection, as a client library would have."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        status, text = self.ask(method, path, body)
        if status >= 300:
            raise NotMeasured(f"{method} {path} was answered {status}: {text[:200]!r}")
        return json.loads(text)

    def start(self, **body: Any) -> str:
        return str(self.call("POST", "/admin/jobs/start", body)["jobId"])

    def cancel(self, job_id: str, query: str = "") -> None:
        self.call("POST", f"/admin/jobs/{job_id}/cancel{query}")

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/admin/jobs/{job_id}/status")
        return found

    def wait(
        self, job_id: str, condition: Callable[[dict[str, Any]], bool], what: str, pause: float = 0.0005
    ) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            seen[:] = [self.job(job_id)]
            return condition(seen[0])

        wait_until(look, f"a job {what}", pause=pause)
        return seen[0]

    def wait_stopped(self, job_id: str, pause: float = 0.0005) -> dict[str, Any]:
        """Until the server says that nobody of the job is left."""
        return self.wait(job_id, lambda job: job["cancellation"]["phase"] == "stopped", "is proved to be gone", pause)


class Server:
    """``python -m web`` on loopback, with a home of its own. ``settings``: names without RUNNER_."""

    def __init__(self, home: Path, words: tuple[str, ...], settings: dict[str, Any]) -> None:
        self.port = free_port()
        self.home = home
        given = {"HOME": home, "PORT": self.port, "MAX_RUNNING": 2000, "MAX_PENDING": 100_000}
        given |= {"WORKFLOWS": "scripts.bench_workflows,scripts.bench_shapes", "MIN_DELAY_MS": 0} | settings
        environment = clean_environment() | {f"RUNNER_{name}": str(value) for name, value in given.items()}
        home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "web", *words]
        with (home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=with_us
            )
        try:
            wait_until(self._answers, "the server answers")
        except BaseException:
            self.end()
            raise

    def client(self) -> Client:
        return Client(self.port)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise NotMeasured(f"the server did not start: {self.last_words()}")
        try:
            return self.client().ask("GET", "/livez")[0] == 200
        except OSError:
            return False

    def last_words(self) -> str:
        lines = (self.home / "server.log").read_text(errors="replace").strip().splitlines()
        return lines[-1][-200:] if lines else "it said nothing"

    def select(self, query: str) -> int:
        """One number, asked of the file on disk, so that the server is not kept from its work."""
        with closing(sqlite3.connect(f"file:{self.home / 'runner.db'}?mode=ro", uri=True)) as database:
            return int(database.execute(f"SELECT {query}").fetchone()[0])

    def count(self, condition: str) -> int:
        """How many jobs on disk are like this."""
        return self.select(f"count(*) FROM jobs WHERE {condition}")

    def family(self) -> list[psutil.Process]:
        """All processes below the server."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> float:
        """SIGKILL; milliseconds until the server and all below it are gone. Whoever stays is killed and told of."""
        handles = dict(_handles([self.process.pid] + ([c.pid for c in self._family_or_nobody()])))
        began = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        left = wait_for_exits(handles.values(), 5.0)
        gone = (time.monotonic_ns() - began) / 1e6
        survivors = [pid for pid, handle in handles.items() if handle in left]
        for handle in handles.values():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        if survivors:
            raise NotMeasured(f"{len(survivors)} processes of a killed server lived on for 5 s; they were killed")
        return gone

    def _family_or_nobody(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return self.family()
        return []


@contextmanager
def serving(home: Path, *words: str, **settings: Any) -> Iterator[Server]:
    server = Server(home, words, {"STANDBY": 8} | settings)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end()


def clean_environment() -> dict[str, str]:
    """Without the runner's own variables: a server under test is what it is by default, and what is said here."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RUNNER_")}


def wait_for_exit(pidfd: int) -> int:
    """Monotonic nanoseconds at which the process behind the handle was seen to be gone."""
    if wait_for_exits([pidfd], LIMIT_SECONDS):
        raise NotMeasured(f"a process lived on for {LIMIT_SECONDS:.0f} s")
    return time.monotonic_ns()


def wait_for_exits(pidfds: Any, seconds: float) -> set[int]:
    """Those whose process is still there in the end."""
    left, end = set(pidfds), time.monotonic() + seconds
    poller = select.poll()
    for pidfd in left:
        poller.register(pidfd, select.POLLIN)
    while left and (now := time.monotonic()) < end:
        for pidfd, _ in poller.poll((end - now) * 1000):
            poller.unregister(pidfd)
            left.discard(pidfd)
    return left


def _handles(pids: list[int]) -> Iterator[tuple[int, int]]:
    for pid in pids:
        with contextlib.suppress(OSError):
            yield pid, os.pidfd_open(pid)
