"""The bare limit of HTTP: waitress as the server has it, and an application that does nothing.

``python -m scripts.bench_empty PORT [PIPE]``; with a named pipe each POST writes a byte on it.
"""

from __future__ import annotations

import http.client
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from scripts.bench_bare import sleep_on
from scripts.bench_server import ROOT, free_port, wait_until, with_us

BODY = b'{"status":"running"}'


@contextmanager
def empty_server(pipe: Path | None = None) -> Iterator[int]:
    """Its port, while it answers."""
    port = free_port()
    command = [sys.executable, "-m", "scripts.bench_empty", str(port), *([str(pipe)] if pipe else [])]
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=with_us)
    try:
        wait_until(lambda: _answers(port), "an empty waitress answers")
        yield port
    finally:
        process.kill()
        process.wait()


def empty_posts(count: int) -> list[float]:
    """Milliseconds of a POST that does nothing."""
    with empty_server() as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        return [_post(connection) for _ in range(count)]


def ringing_posts(start: ForkServerContext, folder: Path, count: int) -> list[float]:
    """Milliseconds from a POST, answered by one byte on a pipe, until the process that sleeps on it has woken."""
    path = folder / f"ring-{time.monotonic_ns()}"
    os.mkfifo(path)
    ours, theirs = start.Pipe()
    process = start.Process(target=sleep_on, args=(str(path), theirs))
    process.start()
    ours.recv()
    times = []
    try:
        with empty_server(path) as port, closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            for _ in range(count):
                began = time.monotonic_ns()
                _post(connection)
                times.append((ours.recv() - began) / 1e6)
    finally:
        process.kill()
        process.join()
    return times


def until_it_answers() -> float:
    """Milliseconds from the start of an empty waitress to its first answer."""
    began = time.monotonic_ns()
    with empty_server():
        return (time.monotonic_ns() - began) / 1e6


def _answers(port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/")
            connection.getresponse().read()
    except OSError:
        return False
    return True


def _post(connection: http.client.HTTPConnection) -> float:
    began = time.monotonic_ns()
    connection.request("POST", "/", body=b"{}", headers={"Content-Type": "application/json"})
    connection.getresponse().read()
    return (time.monotonic_ns() - began) / 1e6


def application(ring: Callable[[], object]) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    def answer(environ: dict[str, Any], begin: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            ring()
        begin("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
        return [BODY]

    return answer


def main(port: str, path: str | None = None) -> None:
    from waitress import serve

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # 64 connections queue up, as they are meant to
    descriptor = os.open(path, os.O_WRONLY) if path else -1
    app = application((lambda: os.write(descriptor, b"!")) if path else (lambda: None))
    serve(app, host="127.0.0.1", port=int(port), threads=16, asyncore_use_poll=True, channel_request_lookahead=1)


if __name__ == "__main__":
    main(*sys.argv[1:3])
