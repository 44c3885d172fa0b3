"""What the server's own parser refuses is problem+json like all else, and its connection is closed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from waitress import wasyncore

from runner.groups.missed import Missed
from runner.manager import JobManager
from web.server import listen

HEAD = b"POST /admin/jobs/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LOOK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def port(manager: JobManager) -> Iterator[int]:
    settings = manager.settings
    manager.settings = settings.model_copy(update={"port": 0})
    server = listen(manager, Missed())
    thread = threading.Thread(target=server.run)
    thread.start()
    yield int(server.effective_port)
    server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
    thread.join(30)
    server.task_dispatcher.shutdown()
    manager.settings = settings


def ask(port: int, *parts: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status, headers, and all that came until the server closed the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as there:
        found = b""
        try:
            for part in parts:
                there.sendall(part)
            while more := there.recv(65_536):
                found += more
        except ConnectionResetError:
            pass
    head, _, body = found.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first.split(" ", 2)[1], dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("status", "title", "sent"),
    [
        ("413", "Content Too Large", (HEAD, b"Content-Length: 999999999\r\n\r\n")),
        ("413", "Content Too Large", (HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"20001\r\n", b"x" * 131_073)),
        ("431", "Request Header Fields Too Large", (HEAD, b"X: " + b"y" * 262_144 + b"\r\n\r\n")),
        ("400", "Bad Request", (HEAD, b"Content-Length: -1\r\n\r\n")),
        ("400", "Bad Request", (HEAD, b"Content-Length: 5, 6\r\n\r\n")),
        ("400", "Bad Request", (HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n")),
        ("400", "Bad Request", (HEAD, b"no colon\r\n\r\n")),
        ("400", "Bad Request", (b"nonsense\r\n\r\n",)),
        ("400", "Bad Request", (b"\x16\x03\x01\x02\x00\x01\r\n\r\n",)),
        ("400", "Bad Request", (b"get / HTTP/1.1\r\n\r\n",)),
        ("501", "Not Implemented", (HEAD, b"Transfer-Encoding: gzip\r\n\r\n")),
    ],
)
def test_what_the_parser_refuses_is_an_error_like_all(
    port: int, status: str, title: str, sent: tuple[bytes, ...]
) -> None:
    got, headers, body = ask(port, *sent)
    found = json.loads(body)
    assert (got, found["status"], found["title"]) == (status, int(status), title)
    assert headers["content-type"] == "application/problem+json"
    assert (headers["connection"], headers["cache-control"]) == ("close", "no-store")
    assert headers["x-request-id"]
    assert list(found) == ["type", "title", "status", "detail", "instance", "error"]
    assert found["detail"] == found["error"] != ""
    assert "Traceback" not in found["detail"]
    assert found["instance"] in ("/admin/jobs/start", "", "/")


def test_the_sentence_says_what_to_change(port: int) -> None:
    assert "131072 bytes" in json.loads(ask(port, HEAD, b"Content-Length: 999999999\r\n\r\n")[2])["error"]
    assert "chunked" in json.loads(ask(port, HEAD, b"Transfer-Encoding: gzip\r\n\r\n")[2])["error"]


def test_a_client_finds_its_own_request_id(port: int) -> None:
    sent = b"X-Request-Id: mine-1\r\nTransfer-Encoding: gzip\r\n\r\n"
    assert ask(port, HEAD, sent)[1]["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_request_of_two_lengths_is_answered_and_its_connection_closed(port: int, sent: bytes) -> None:
    status, headers, body = ask(port, sent + LOOK)
    assert (status, headers["connection"]) == ("200", "close")
    assert json.loads(body) == {"status": "ok"}, "what comes after it is not taken for a request"


def test_an_ordinary_request_keeps_its_connection(port: int) -> None:
    status, _, body = ask(port, LOOK, LOOK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert status == "200"
    assert body.count(b"HTTP/1.1 200") == 1, "the second answer"
