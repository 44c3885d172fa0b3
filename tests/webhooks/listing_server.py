"""As much of Evolution's HTTP as an ingest needs: one listing, and who we are. What it says is the test's to set."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.webhooks.samples import INSTANCE

KEY = "the-key-of-the-listing-server"
OURSELVES = "5511900000000@s.whatsapp.net"


class ListingServer:
    """``groups``: what findGroupInfos answers, by the group's id; before that, whatever is in ``first``, one by one.
    ``status``: of every answer but 200.

    ``told``: what was sent to be kept there: call, headers, body.
    """

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, Any]] = {}
        self.first: list[dict[str, Any] | None] = []
        self.status = 200
        self.asked: list[str] = []
        self.told: list[tuple[str, dict[str, str], Any]] = []
        outer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = outer.answer(self.path, self.headers.get("apikey"))
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                outer.told.append((f"{self.command} {self.path}", dict(self.headers), json.loads(raw)))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, target: str, key: str | None) -> tuple[int, Any]:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.asked.append(path)
        if key != KEY:
            return 401, _error(401, "Unauthorized")
        if self.status != 200:
            return self.status, _error(self.status, "Error: Connection Closed")
        if path == "/instance/fetchInstances":
            return 200, [{"name": INSTANCE, "ownerJid": OURSELVES}]
        if path == f"/instance/connectionState/{INSTANCE}":
            return 200, {"instance": {"instanceName": INSTANCE, "state": "open"}}
        found = self.first.pop(0) if self.first else self.groups.get(query.get("groupJid", [""])[0])
        return (200, found) if found else (404, _error(404, "Error fetching group", "Error: item-not-found"))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def group(wa_id: str, people: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    plain = {"id": wa_id, "subject": "Neighbours", "size": len(people), "announce": False, "isCommunity": False}
    return plain | {"isCommunityAnnounce": False, "participants": people} | more


def person(number: int, admin: str | None = None) -> dict[str, Any]:
    lid, phone = f"{100_000_000_000_000 + number}@lid", f"5511900{number:06d}@s.whatsapp.net"
    return {"id": lid, "phoneNumber": phone, "admin": admin}


def _error(status: int, *message: str) -> dict[str, Any]:
    return {"status": status, "error": "Error", "response": {"message": list(message)}}
