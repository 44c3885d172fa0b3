"""How much of a request is taken in before the application sees it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from waitress.parser import HTTPRequestParser
from waitress.utilities import Error, RequestEntityTooLarge

from runner.groups.missed import Missed
from runner.groups.refused import Refusal
from runner.settings import Settings
from runner.webhooks import evolution, waha
from web.signatures import SECRET_HEADER, is_evolution
from web.webhooks import MAX_BYTES, is_webhook

BODY_BYTES = 131_072
"""Of most requests: twice what the application takes, so that a body a little too large gets a proper answer."""

WAHA_BYTES = 2_000_000
"""WAHA sends the address of a picture, not the picture; its proof needs the whole body, and cannot be seen before."""

_SECRET = SECRET_HEADER.upper().replace("-", "_")


class NeverFits(RequestEntityTooLarge):
    """Evolution sends whatever is answered 413 nine times more, and never again what is answered 422."""

    code = 422
    reason = "Unprocessable Content"


class Intake(HTTPRequestParser):
    """``on_header``: told of a header that is whole, and may refuse its request. Of one that says its length in two
    ways nobody knows for sure where it ends: it is answered, and the connection closed.
    """

    def __init__(self, adj: Any, on_header: Callable[[Intake], Error | None] | None = None) -> None:
        super().__init__(adj)
        self._on_header = on_header

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self._on_header is not None and self.headers_finished and not (self.error or self.empty):
            self.error, self._on_header = self._on_header(self), None
            self.completed = self.completed or self.error is not None
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        is_doubtful = "CONTENT_LENGTH" in self.headers if self.chunked else "TRANSFER_ENCODING" in self.headers
        if is_doubtful:
            headers: Any = self.headers
            headers["CONNECTION"] = "close"


def parser_for(settings: Settings, missed: Missed) -> type[Intake]:
    """A parser that takes in more of a webhook: its size is seen, and refused (Evolution's with 422, else 413), before
    any of it is kept.

    Messages with a picture in them are for those alone who have proved themselves by their headers. ``missed`` is told
    of what is refused of theirs, that it is lost; of WAHA's and of others', which prove nothing, only that it was.
    """

    class WebhookIntake(Intake):
        sender: str | None = None
        is_event = False

        def received(self, data: bytes) -> int:
            was_completed = self.completed
            consumed: int = super().received(data)
            if self.is_event and not was_completed and isinstance(self.error, RequestEntityTooLarge):
                self._refuse(self.error)
            return consumed

        def _refuse(self, error: RequestEntityTooLarge) -> None:
            missed.refused(Refusal.TOO_LARGE)
            if self.sender == evolution.GATEWAY:
                missed.too_large(evolution.GATEWAY)
                self.error = NeverFits(error.body)
            elif self.sender == waha.GATEWAY:
                missed.too_large(None)

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            this: Any = self  # its stubs lack what a header line has given it by now
            is_small = self.content_length < BODY_BYTES and not self.chunked
            if is_small or not is_webhook(this.command, this.path):
                return
            self.is_event = True
            self.sender = _sender(this.path, self.headers, settings)
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = _MOST[self.sender] if self.sender else BODY_BYTES

    return WebhookIntake


_MOST = {waha.GATEWAY: WAHA_BYTES, evolution.GATEWAY: MAX_BYTES}


def _sender(path: str, headers: Mapping[str, str], settings: Settings) -> str | None:
    """The gateway that it may be from, as far as headers tell; None: from none."""
    if path == "/webhook/waha":
        return waha.GATEWAY if settings.waha_hmac_key.get_secret_value() else None
    proven = is_evolution(headers.get("AUTHORIZATION"), headers.get(_SECRET), settings)
    return evolution.GATEWAY if proven else None
