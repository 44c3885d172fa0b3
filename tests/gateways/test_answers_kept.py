"""What of a gateway's odd answers is said on, and what is kept: no secrets of others, nothing a database refuses."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from pydantic import SecretStr

from runner.gateway import BadRequest, GatewayError
from runner.gateways.access import Access
from runner.gateways.channel import Channel
from runner.gateways.people import plain_name
from runner.gateways.waha import WahaGateway
from tests.gateways.test_channel import wire

HMAC_KEY = "the-key-that-webhooks-of-waha-are-signed-with"
SESSION: dict[str, Any] = {"config": {"webhooks": [{"hmac": {"key": HMAC_KEY}}]}, "name": "default"}


@pytest.mark.parametrize("session", [SESSION | {"status": None}, [SESSION | {"status": "WORKING"}], SESSION])
def test_a_session_that_is_not_understood_is_not_quoted(session: Any) -> None:
    raw = json.dumps(session).encode()

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + raw)

    with wire(talk) as url:
        gateway = WahaGateway(Access(url, SecretStr("key-of-waha"), "default"), 75)
        connection = gateway.connection()
    assert not connection.is_open
    assert HMAC_KEY not in connection.words
    with wire(talk) as url, pytest.raises(GatewayError) as failed:
        WahaGateway(Access(url, SecretStr("key-of-waha"), "default"), 75).list_group("120363000000000001@g.us")
    assert HMAC_KEY not in str(failed.value)


@pytest.mark.parametrize(("said", "kept"), [("Neigh\0bours", "Neighbours"), ("\0", None), ("\ud83d", "?")])
def test_a_name_is_kept_as_any_database_takes_it(said: str, kept: str | None) -> None:
    assert plain_name(said) == kept


@pytest.mark.parametrize("host", ["gateway..example", "..", f"{'x' * 64}.example"])
def test_a_host_that_no_name_can_have_is_said_to_be_none(host: str) -> None:
    with pytest.raises(BadRequest, match="no address that can be called"):
        Channel(Access(f"http://{host}", SecretStr("key-of-waha"), "default"), "apikey").ask("GET", "/", seconds=5)
