"""Whoever runs jobs, ours or a peer, for scripts/bench_peers.py: starts them, ends them, and says what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil

from scripts.bench_pipe import Pipe
from scripts.bench_rows import NotMeasured
from scripts.bench_server import ROOT, Server, clean_environment, wait_until, with_us

_ANSWER_SECONDS = 20.0


class Runner(Protocol):
    """``start`` and ``cancel`` say when they were called: monotonic nanoseconds. ``work``: as in bench_peer_work."""

    version: str

    def start(self, work: str, said: Pipe) -> tuple[str, int]:
        """(id, when)"""

    def cancel(self, job_id: str) -> int:
        """Ends a running job."""

    def processes(self, pid: int) -> list[int]:
        """All that are there for one running job, whose own is ``pid``."""


class Ours:
    """The server, over HTTP."""

    version = "this tree"

    def __init__(self, server: Server) -> None:
        self._client = server.client()

    def start(self, work: str, said: Pipe) -> tuple[str, int]:
        began = time.monotonic_ns()
        return self._client.start(type=f"bench_{work}", said=said.path), began

    def cancel(self, job_id: str) -> int:
        began = time.monotonic_ns()
        self._client.cancel(job_id)
        return began

    def processes(self, pid: int) -> list[int]:
        return [pid]


class Theirs:
    """A peer: its worker and a client of it, both in its own virtual environment."""

    def __init__(self, name: str, worker: subprocess.Popen[str], client: subprocess.Popen[str]) -> None:
        self.name, self._worker, self._client = name, worker, client
        self.version = str(self._answer())

    def start(self, work: str, said: Pipe) -> tuple[str, int]:
        job_id, began = self._ask("start", work, said.path)
        return str(job_id), int(began)

    def cancel(self, job_id: str) -> int:
        _, began = self._ask("cancel", job_id)
        return int(began)

    def processes(self, pid: int) -> list[int]:
        """For RQ also the worker that forked the job's process: it needs one for each job at once."""
        return [pid, psutil.Process(pid).ppid()] if self.name == "rq" else [pid]

    def _ask(self, *words: str) -> list[Any]:
        if self._client.stdin is None:
            raise NotMeasured("its client takes no questions")
        self._client.stdin.write(json.dumps(words) + "\n")
        self._client.stdin.flush()
        found: list[Any] = self._answer()
        return found

    def _answer(self) -> Any:
        """One line; read bare, so that nothing waits in a buffer where it cannot be seen."""
        if self._client.stdout is None:
            raise NotMeasured("its client gives no answers")
        end, line = self._client.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            if not select.select([end], [], [], _ANSWER_SECONDS)[0] or not (data := os.read(end, 65536)):
                raise NotMeasured(f"{self.name} did not answer; its worker: {self._worker.poll()}")
            line += data
        return json.loads(line)


@contextmanager
def peer(name: str, python: Path, port: int, log: Path) -> Iterator[Theirs]:
    """Its worker, with all that it starts, is ended in the end."""
    command = [str(python), "-m", "scripts.bench_peer_apps"]
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    with log.open("w") as words:
        worker = subprocess.Popen(
            [*command, "worker", name, str(port)],
            cwd=log.parent,
            env=environment,
            text=True,
            stdout=words,
            stderr=words,
            start_new_session=True,
            preexec_fn=with_us,
        )
        client = subprocess.Popen(
            [*command, "client", name, str(port)],
            cwd=log.parent,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            preexec_fn=with_us,
        )
    try:
        with client:
            yield Theirs(name, worker, client)
    finally:
        client.kill()
        end_tree(worker)


def end_tree(process: subprocess.Popen[str]) -> None:
    """All below it as well: a peer leaves its own to init."""
    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                one.kill()
    process.kill()
    process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def redis(folder: Path, port: int) -> Iterator[None]:
    """On loopback, with nothing kept on disk."""
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        ["redis-server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=with_us
    )
    try:
        wait_until(lambda: _listens(port), "Redis answers", 10.0, pause=0.05)
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1.0).close()
        return True
    return False
