"""A server that may die at any moment, and a client that asks until it is answered."""

from __future__ import annotations

import http.client
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from runner.crashpoint import ARMED, LOG
from tests.endtoend.server import Server
from tests.waiting import wait_for

TERMINAL = ("completed", "cancelled", "failed")
ENDS = (-signal.SIGKILL, 0, 3, 4)
"""Exit codes of a server that was killed or drained; the last when a second signal comes as it leaves already."""

_pause = threading.Event()


class FragileServer(Server):
    """Sample workflows, short ladders. Started again, it is another server on the same home."""

    def __init__(self, home: Path, **settings: Any) -> None:
        short = {"workflows": "tests.processes.samples", "grace_seconds": 5, "terminate_seconds": 2}
        super().__init__(home, **(short | settings))
        self._armings = 0
        self.armed_log = home / "crashpoint.0"

    def arm(self, point: str, times: int = 1) -> None:
        """From the next start on, and only once."""
        self._armings += 1
        self.armed_log = self.home / f"crashpoint.{self._armings}"
        self._environment |= {ARMED: f"{point}:{times}", LOG: str(self.armed_log)}

    def change(self, **settings: Any) -> None:
        """From the next start on."""
        self._environment |= {f"RUNNER_{name.upper()}": str(value) for name, value in settings.items()}

    def give(self, **environment: str) -> None:
        """These variables, from the next start on."""
        self._environment |= environment

    def is_dead(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def kill_at_once(self) -> None:
        """SIGKILL, without a look at what becomes of its processes."""
        self.send(signal.SIGKILL)
        self.wait()

    def _answers(self) -> bool:
        return self.is_dead() or super()._answers()


@dataclass
class Client:
    """Starts a server that was killed again, and repeats what was not answered. It holds the server to its word:
    what was said to be over stays as it was said, and progress never falls.

    ``on_refused``: called each time that a start is refused for now.
    """

    server: FragileServer
    deaths: int = 0
    accepted: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    on_refused: Callable[[], None] = lambda: None
    _last: dict[str, dict[str, Any]] = field(default_factory=dict)

    def open(self) -> None:
        """Starts the server, again if it is killed meanwhile."""
        self.server.start()
        if self.server.is_dead():
            self.revive()

    def revive(self) -> None:
        wait_for(self.server.is_dead, "a server that does not answer is dead")
        words = (self.server.home / "server.log").read_text()[-3000:]
        assert self.server.wait() in ENDS, words
        self.deaths += 1
        self.open()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        while True:
            try:
                return self.server.call(method, path, body, **headers)
            except (OSError, http.client.HTTPException):
                self.revive()

    def ask_once(self, method: str, path: str) -> int | None:
        """The status; None from a server that dies of it."""
        try:
            return self.server.call(method, path)[0]
        except (OSError, http.client.HTTPException):
            return None

    def start(self, **body: Any) -> str:
        """Once, however often it has to be asked for."""
        key = {"Idempotency-Key": f"key-{len(self.accepted)}"}
        while (answer := self.ask("POST", "/admin/jobs/start", body, **key))[0] == 503:
            self.on_refused()
            _pause.wait(0.05)
        assert answer[0] == 202, answer
        return self._accept(answer[1]["jobId"])

    def steer(self, job_id: str, verb: str, query: str = "") -> int:
        """cancel, pause, resume: the status of the answer. 409 where an earlier try was cut off after it was done."""
        status, answer = self.ask("POST", f"/admin/jobs/{job_id}/{verb}{query}")
        assert status in (200, 409, 503), answer
        if verb == "cancel" and status == 200:
            self.cancelled.add(job_id)
        return status

    def retry(self, job_id: str) -> str | None:
        """The new job; None where it cannot be retried. A retry has no key: after a cut it is looked for first."""
        while True:
            try:
                status, answer = self.server.call("POST", f"/admin/jobs/{job_id}/retry")
            except (OSError, http.client.HTTPException):
                self.revive()
                if found := self._unknown_retry_of(job_id):
                    return self._accept(found)
                continue
            assert status in (202, 409, 503), answer
            return self._accept(answer["jobId"]) if status == 202 else None

    def _accept(self, job_id: str) -> str:
        self.accepted.append(job_id)
        return job_id

    def _unknown_retry_of(self, job_id: str) -> str | None:
        listed = self.ask("GET", "/admin/jobs?limit=1000")[1]
        mine = (job["id"] for job in listed if job.get("retryOf") == job_id and job["id"] not in self.accepted)
        return next(mine, None)

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self.ask("GET", f"/admin/jobs/{job_id}/status")
        assert status == 200, answer
        found: dict[str, Any] = answer
        last = self._last.get(job_id, found)
        assert last["status"] not in TERMINAL or found["status"] == last["status"], (last, found)
        assert found["progress"]["processed"] >= last["progress"]["processed"], (last, found)
        self._last[job_id] = found
        return found

    def until(self, job_id: str, condition: Callable[[dict[str, Any]], object], sentence: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            _pause.wait(0.02)
            job = self.job(job_id)
            return job if condition(job) else None

        try:
            return wait_for(found, sentence)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.job(job_id)}") from None

    def until_over(self, job_id: str) -> dict[str, Any]:
        """Ended; and proved, where it was cancelled."""
        return self.until(job_id, is_over, "the job is over")

    def drain(self) -> int:
        """SIGTERM; the exit code."""
        return self.server.end(signal.SIGTERM)


def is_over(job: dict[str, Any]) -> bool:
    phase = job.get("cancellation", {}).get("phase", "stopped")
    return job["status"] in TERMINAL and phase == "stopped" and not job.get("result", {}).get("open")


def people_of(home: Path) -> list[psutil.Process]:
    """All living processes that come of a server on this home, wherever they were moved to."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RUNNER_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
