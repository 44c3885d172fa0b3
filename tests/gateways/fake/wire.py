"""What goes over the wire: requests as they are read, answers as they are given, and connections that are cut."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from waitress import wasyncore

from tests.gateways.fake.world import Fault, Json

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
_MUCH = 2_000_000_000
_never = threading.Event()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    channel: Any

    @classmethod
    def read(cls, environ: Json) -> Request:
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw.decode("utf-8", "replace")
        query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        path = unquote(environ["PATH_INFO"]).rstrip("/")
        channel = environ["waitress.client_disconnected"].__self__
        return cls(environ["REQUEST_METHOD"], path, query, headers, body, channel)


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def give(reply: Reply, start: StartResponse) -> Iterable[bytes]:
    content = reply.content()
    headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(content))} | reply.headers
    _begin(reply.status, headers, start)
    return [content]


def misbehave(fault: Fault, reply: Reply, request: Request, start: StartResponse, settings: Json) -> Iterable[bytes]:
    """The faults of the wire: ``reply`` is what would have been said."""
    match fault.name:
        case "hang" | "reset":
            _wait(settings.get("hang_seconds", 600) if fault.name == "hang" else 0, request)
            return _cut(request, start)
        case "drip":
            _begin(reply.status, {"Content-Type": "application/json"}, start)
            return _drops(reply.content(), settings.get("drip_seconds", 1.0), request)
        case "huge":
            _begin(reply.status, {"Content-Type": "application/json"}, start)
            return _flood()
        case _:
            return give(_spoilt(str(fault.name), reply), start)


def _spoilt(name: str, reply: Reply) -> Reply:
    if name == "cut":
        return Reply(reply.status, reply.content()[: len(reply.content()) // 2])
    if name == "packed":
        return Reply(reply.status, reply.body, {"Content-Encoding": "gzip"})
    return _STANDING.get(name, reply)


_STANDING = {
    "garbage": Reply(201, b'\x00\xff{"updateParticipants": [{"status": NaN'),
    "html": Reply(200, b"<html><body>It works!</body></html>", {"Content-Type": "text/html"}),
    "408": Reply(408, b"", {}),
    "502": Reply(502, b"<html><body>502 Bad Gateway</body></html>", {"Content-Type": "text/html"}),
    "redirect": Reply(302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}),
    "http429": Reply(429, b"slow down", {"Retry-After": "7", "Content-Type": "text/plain"}),
}
OF_THE_WIRE = frozenset({"hang", "reset", "drip", "huge", "cut", "packed", *_STANDING})


def _begin(status: int, headers: dict[str, str], start: StartResponse) -> None:
    start(f"{status} {HTTPStatus(status).phrase}", list(headers.items()))


def _wait(seconds: float, request: Request) -> None:
    """Until the time is over, or the client has gone."""
    for _ in range(int(seconds * 20)):
        if not request.channel.connected:
            return
        _never.wait(0.05)


def _drops(content: bytes, seconds: float, request: Request) -> Iterator[bytes]:
    for byte in content:
        yield bytes([byte])
        _wait(seconds, request)


def _flood() -> Iterator[bytes]:
    piece = b" " * 65_536
    for _ in range(_MUCH // len(piece)):
        yield piece


def _cut(request: Request, start: StartResponse) -> Iterable[bytes]:
    """The connection is reset, without a byte of an answer."""
    channel = request.channel
    if channel.connected:
        channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        channel.will_close = True
        channel.server.pull_trigger()
        _wait(5, request)
    start("200 OK", [])
    return []


def end(server: Any, thread: threading.Thread) -> None:
    """Ends a waitress server that runs in ``thread``: whatever is open is closed, also what nobody reads."""

    trigger = server.trigger

    def close() -> None:
        trigger.del_channel(server._map)  # it stays open: whoever pulls it now must find it
        for one in list(server._map.values()):
            if one is server:
                wasyncore.dispatcher.close(server)
            else:
                one.handle_close()

    trigger.pull_trigger(close)
    thread.join(30)
    server.task_dispatcher.shutdown(timeout=10)
    trigger.close()
