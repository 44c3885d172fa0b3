"""Where the verbs' calls go, and where their token must not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.waiting import free_port
from web.client import Client, NotReachable

TOKEN = "runner_" + "0" * 64


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """Its address, and the beginning of whatever is sent there; it answers nothing."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # nobody came
            with connection:
                heard.append(connection.recv(65_536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_of_the_environment_reads_the_token(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with listener() as (proxy, heard):
        monkeypatch.setenv(variable, proxy)
        with pytest.raises(NotReachable):
            Client(f"http://127.0.0.1:{free_port()}", TOKEN).status("job_1")
    assert heard == []


def test_what_is_sent_by_tls_may_go_through_a_proxy_that_cannot_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as (proxy, heard):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(NotReachable):
            Client("https://runner.example", TOKEN).status("job_1")
    assert heard[0].startswith(b"CONNECT runner.example:443 ")
    assert TOKEN.encode() not in heard[0]
