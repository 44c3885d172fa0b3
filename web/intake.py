"""How much of a request is taken in before the application sees it."""

from __future__ import annotations

import copy
from typing import Any

from waitress.parser import HTTPRequestParser

from runner.settings import Settings
from web.signatures import SECRET_HEADER, is_evolution
from web.webhooks import MAX_BYTES, is_webhook

BODY_BYTES = 131_072
"""Of most requests: twice what the application takes, so that a body a little too large gets a proper answer."""

WAHA_BYTES = 2_000_000
"""WAHA sends the address of a picture, not the picture; its proof needs the whole body, and cannot be seen before."""

_SECRET = SECRET_HEADER.upper().replace("-", "_")


def parser_for(settings: Settings) -> type[HTTPRequestParser]:
    """A parser that takes in more of a webhook: its size is seen, and refused with 413, before any of it is kept.

    Messages with a picture in them are for those alone who have proved themselves by their headers.
    """

    class Intake(HTTPRequestParser):
        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            this: Any = self  # its stubs lack what a header line has given it by now
            is_small = self.content_length < BODY_BYTES and not self.chunked
            if is_small or not is_webhook(this.command, this.path):
                return
            most = BODY_BYTES
            if this.path == "/webhook/waha":
                most = WAHA_BYTES if settings.waha_hmac_key.get_secret_value() else BODY_BYTES
            elif is_evolution(self.headers.get("AUTHORIZATION"), self.headers.get(_SECRET), settings):
                most = MAX_BYTES
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = most

    return Intake
