"""Where the server listens, by the name that it is given."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from waitress import wasyncore

from runner.groups.missed import Missed
from runner.manager import JobManager
from web.configuration import WrongConfiguration
from web.server import listen, port_of

LISTENS = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


def listening(manager: JobManager, monkeypatch: pytest.MonkeyPatch, host: str) -> Any:
    monkeypatch.setattr(manager, "settings", manager.settings.model_copy(update={"host": host, "port": 0}))
    return listen(manager, Missed())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_a_name_may_have_several_addresses(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """As localhost has on most machines."""
    found = [(socket.AF_INET, *LISTENS, (address, 0)) for address in addresses]
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        server = listening(manager, monkeypatch, "localhost")
    port = port_of(server)
    with socket.create_connection((addresses[0], port), timeout=10):
        pass
    server.task_dispatcher.shutdown()
    wasyncore.close_all(server.map if len(addresses) > 1 else server._map)


@pytest.mark.parametrize("host", ["", "no.such.name.invalid", "gateway..example"])
def test_a_name_of_no_address_is_a_sentence(manager: JobManager, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with pytest.raises(WrongConfiguration, match="RUNNER_HOST"):
        listening(manager, monkeypatch, host)
