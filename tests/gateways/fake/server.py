"""The fake behind waitress, on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from waitress.server import create_server

from tests.gateways.fake import evolution, waha
from tests.gateways.fake.wire import OF_THE_WIRE, Request, StartResponse, end, give, misbehave
from tests.gateways.fake.world import CALLS, EFFECTS, Json, World, lines

_pause = threading.Event()


class FakeServer:
    """Answers while it is entered. ``url``: for either gateway."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.world = World(folder)
        server: Any = create_server(
            self._answer,
            host="127.0.0.1",
            port=port,
            threads=32,
            channel_request_lookahead=1,
            ident=None,
            outbuf_overflow=100_000_000,  # what nobody reads stays in memory, not in files that nobody closes
        )
        self._server = server
        self._thread = threading.Thread(target=self._server.run, name="fake gateway", daemon=True)
        self.url = f"http://127.0.0.1:{server.effective_port}"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._server, self._thread)

    def effects(self, wa_id: str | None = None) -> list[str]:
        """Everybody who was really removed, in order; somebody removed twice is in it twice."""
        found = lines(self.world.folder / EFFECTS)
        return [known for line in found if wa_id in (None, line["group"]) for known in line["ids"]]

    def calls(self, kind: str | None = None) -> list[Json]:
        return [line for line in lines(self.world.folder / CALLS) if kind in (None, line["kind"])]

    def wrong(self) -> list[Json]:
        """Calls that no adapter may make."""
        return [line for line in self.calls() if line["wrong"]]

    def _answer(self, environ: Json, start: StartResponse) -> Iterable[bytes]:
        request = Request.read(environ)
        spoken: ModuleType = waha if request.path.startswith("/api/") else evolution
        kind = spoken.kind_of(request)
        call, fault = self.world.begin(kind, request.method, request.path, request.body, spoken.wrong_with(request))
        _pause.wait(fault.before)
        if not fault.acts and fault.name in OF_THE_WIRE:
            reply = spoken.answer(self.world, request, call, fault)  # done by nobody: the fault does not act
            return misbehave(fault, reply, request, start, self.world.settings)
        reply = spoken.answer(self.world, request, call, fault)
        _pause.wait(fault.after)
        if fault.acts and (text := evolution.text_of(fault)):
            reply = spoken.failed_after(request, text)
        if fault.name in OF_THE_WIRE:
            return misbehave(fault, reply, request, start, self.world.settings)
        return give(reply, start)
