"""The requests and answers of tests/data/gateways, and a server that says exactly them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from waitress.server import create_server

from tests.gateways.fake.wire import Request, StartResponse, end

FOLDER = Path(__file__).parent.parent / "data" / "gateways"
GROUP = "120363000000000001@g.us"
KEYS = {"apikey": "key-of-evolution", "x-api-key": "key-of-waha"}


@dataclass(frozen=True)
class Fixture:
    """One call. ``world``: how the fake must be set up to say the same; None if it does not speak of that."""

    name: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    status: int
    answer: Any
    world: dict[str, Any] | None

    def is_of(self, request: Request) -> bool:
        mine = (self.method, self.path, self.query, self.body)
        return mine == (request.method, request.path, request.query, request.body)


@cache
def fixture(name: str) -> Fixture:
    raw = json.loads((FOLDER / f"{name}.json").read_text())
    asked, answer = raw["request"], raw["answer"]
    asked = (asked["method"], asked["path"], asked["query"], asked["body"])
    return Fixture(name, *asked, answer["status"], answer["body"], raw.get("world"))


def names(prefix: str = "") -> list[str]:
    """Of all calls; events that come by webhook are not among them."""
    return [path.stem for path in sorted(FOLDER.glob(f"{prefix}*.json")) if "-webhook-" not in path.name]


class Canned:
    """A server that knows these fixtures alone. Whatever else is asked is noted in ``strange``."""

    def __init__(self, *known: str) -> None:
        self._fixtures = [fixture(name) for name in known]
        self.strange: list[str] = []
        self.asked: list[str] = []
        server: Any = create_server(self._answer, host="127.0.0.1", port=0, threads=4, channel_request_lookahead=1)
        self._server = server
        self._thread = threading.Thread(target=server.run, name="canned", daemon=True)
        self.url = f"http://127.0.0.1:{server.effective_port}"

    def __enter__(self) -> Canned:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._server, self._thread)

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        request = Request.read(environ)
        keys = {name: request.headers[name] for name in KEYS if name in request.headers}
        found = next((one for one in self._fixtures if one.is_of(request)), None)
        if found is None or keys not in ({name: key} for name, key in KEYS.items()):
            self.strange.append(f"{request.method} {request.path} {request.query} {request.body} {sorted(keys)}")
            start("599 Strange", [])
            return []
        self.asked.append(found.name)
        start(f"{found.status} {HTTPStatus(found.status).phrase}", [("Content-Type", "application/json")])
        return [json.dumps(found.answer).encode()]
