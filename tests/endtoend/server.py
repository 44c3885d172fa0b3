"""A real server in a process of its own, to be killed at will."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from tests.waiting import free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """``python -m web``; started again, it is another server on the same home."""

    command: Sequence[str] = (sys.executable, "-m", "web")
    folder = ROOT
    console: int | None = None
    """Its stdout and stderr; else server.log in its home."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.port = free_port()
        given = {"home": home, "port": self.port, "min_delay_ms": 0, "standby": 1} | settings
        self._environment = os.environ | {f"RUNNER_{name.upper()}": str(value) for name, value in given.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def add_environment(self, variables: dict[str, str]) -> None:
        """For the next start: those that do not begin with RUNNER_."""
        self._environment |= variables

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        log = (self.home / "server.log").open("ab")
        console = log if self.console is None else self.console
        self._process = subprocess.Popen(
            self.command, cwd=self.folder, env=self._environment, stdout=console, stderr=console
        )
        log.close()
        wait_for(self._answers, "the server answers; its words are in server.log")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "server.log").read_text()[-3000:]
        try:
            return self.call("GET", "/livez")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, answer)"""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            sent = None if body is None else json.dumps(body)
            given = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, body=sent, headers=given | headers)
            answer = connection.getresponse()
            text = answer.read()
        return answer.status, json.loads(text) if text else None

    def start_job(self, **body: Any) -> str:
        status, answer = self.call("POST", "/admin/jobs/start", body)
        assert status == 202, answer
        return str(answer["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self.call("GET", f"/admin/jobs/{job_id}/status")
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    def family(self) -> list[psutil.Process]:
        """All processes below the server now."""
        return psutil.Process(self.pid).children(recursive=True)

    def kill(self) -> None:
        """SIGKILL; returns when the server and every process of it are gone."""
        family = self.family()
        self.end(signal.SIGKILL)
        wait_for(lambda: not any(map(is_living, family)), "all processes of a killed server are gone")

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(60)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.send(number)
        return self.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


def is_living(process: psutil.Process) -> bool:
    """A zombie is not living."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
