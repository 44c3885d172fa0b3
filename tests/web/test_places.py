"""Connections that drip, crowd or do not read: others are served all the same, this machine always.

Addresses of 127.0.0.0/8 stand for other machines: only 127.0.0.1 is this one here, by an argument.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from waitress import wasyncore

from runner.groups.missed import Missed
from runner.networks import networks_of
from runner.settings import Settings
from tests.waiting import wait_for
from web.intake import parser_for
from web.listening import listening
from web.places import Bounds, Places
from web.proxies import Proxies

NEAR, FAR, OTHER, PROXY = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.9"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 30_000_000


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = b"x" * LARGE if environ["PATH_INFO"] == "/large" else b"served"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


class House:
    """A server with bounds of its own, and those who come to it."""

    def __init__(self, home: Path, bounds: Bounds) -> None:
        settings = Settings(home=home, trusted_proxies=PROXY)
        places = Places(bounds, lambda address: address == NEAR, Proxies(networks_of(PROXY)))
        self._server = listening(
            app, places, parser_for(settings, Missed()), host=NEAR, port=0, threads=2, max_request_body_size=1000,
            channel_request_lookahead=1, asyncore_use_poll=True,
        )  # fmt: skip
        self._open = ExitStack()
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    def come(self, address: str = NEAR, sent: bytes = b"") -> socket.socket:
        where = (NEAR, self._server.effective_port)
        found = self._open.enter_context(socket.create_connection(where, 30, source_address=(address, 0)))
        if sent:
            found.sendall(sent)
        return found

    def close(self) -> None:
        self._open.close()
        self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._server._map))
        self._thread.join(30)
        self._server.task_dispatcher.shutdown()
        assert not self._thread.is_alive()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(**bounds: float) -> House:
        made.append(House(tmp_path, Bounds(**bounds)))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for house in made:
        house.close()


def answer(there: socket.socket) -> str:
    """All up to the end of the connection; "" where it was cut off."""
    found = b""
    try:
        while more := there.recv(65_536):
            found += more
    except ConnectionResetError:
        pass
    return found.decode()


def read_one(there: socket.socket) -> str:
    found = ""
    while not found.endswith("served"):
        more = there.recv(65_536).decode()
        assert more, f"cut off after {found!r}"
        found += more
    return found


def is_served(house: House, address: str = NEAR) -> bool:
    text = answer(house.come(address, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    return text.startswith("HTTP/1.1 200") and text.endswith("served")


def drip(there: socket.socket, byte: bytes = b"a") -> bool:
    """One byte more; whether the server has hung up."""
    there.setblocking(False)
    try:
        there.send(byte)
        return there.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def status_and_type(text: str) -> tuple[str, str]:
    head, _, body = text.partition("\r\n\r\n")
    assert "content-type: application/problem+json" in head.lower()
    found = json.loads(body)
    assert found["error"] == found["detail"]
    return head.split(" ")[1], found["title"]


def test_however_many_drip_others_are_served_and_this_machine_always(build: Callable[..., House]) -> None:
    house = build(most=40, kept=5, of_one=12)
    for number in range(10, 50):
        drip(house.come(f"127.0.0.{number % 8 + 20}"))
    assert is_served(house)
    assert is_served(house, OTHER), "whoever has most makes room for whoever has none"
    for _ in range(60):
        drip(house.come(NEAR))
    assert is_served(house), "also where it was this machine that took all places"


def test_who_drips_a_header_is_told_and_hung_up_on(build: Callable[..., House]) -> None:
    house = build(header_seconds=0.5)
    silent, dripping = house.come(FAR), house.come(FAR, b"GET / HTTP/1.1\r\nX: ")
    dripping.settimeout(30)
    assert (
        wait_for(lambda: peek(dripping) or (drip(dripping) and "HTTP/1.1 408"), "it is told", 20)[:12] == "HTTP/1.1 408"
    )
    assert answer(silent) == "", "whoever has said nothing is told nothing"
    assert is_served(house, FAR)


def peek(there: socket.socket) -> str:
    there.setblocking(False)
    try:
        return there.recv(65_536, socket.MSG_PEEK).decode()
    except OSError:
        return ""


@pytest.mark.parametrize("kind", [b"Content-Length: 900", b"Transfer-Encoding: chunked"])
def test_who_drips_a_body_is_told_and_hung_up_on(build: Callable[..., House], kind: bytes) -> None:
    house = build(body_seconds=0.5)
    there = house.come(FAR, b"POST / HTTP/1.1\r\nHost: x\r\n" + kind + b"\r\n\r\n")
    assert status_and_type(answer(there)) == ("408", "Request Timeout")


def test_the_next_request_of_a_connection_has_its_own_time(build: Callable[..., House]) -> None:
    house = build(header_seconds=1, idle_seconds=1.5)
    there = house.come(FAR)
    for _ in range(3):
        there.sendall(GET)
        assert read_one(there).startswith("HTTP/1.1 200")
    there.sendall(b"GET / HTT")
    text = answer(there)
    assert status_and_type(text)[0] == "408"
    idle = house.come(FAR, GET)
    assert answer(idle).count("served") == 1, "an idle one is closed in the end, and nothing said"


def test_one_address_has_so_many_connections_and_no_more(build: Callable[..., House]) -> None:
    house = build(of_one=3)
    for _ in range(3):
        read_one(house.come(FAR, GET))
    refused = answer(house.come(FAR))
    assert status_and_type(refused) == ("429", "Too Many Requests")
    assert "Retry-After: 10" in refused
    assert is_served(house, OTHER)
    for _ in range(5):
        read_one(house.come(NEAR, GET))
    assert is_served(house)


def test_a_place_is_free_again_when_its_connection_ends(build: Callable[..., House]) -> None:
    house = build(of_one=1)
    for _ in range(3):
        wait_for(lambda: is_served(house, FAR), "the one before has left")


def test_what_a_trusted_proxy_passes_on_counts_for_whom_it_names(build: Callable[..., House]) -> None:
    house = build(of_one=2)

    def ask(caller: str, last: bytes = b"Connection: close\r\n\r\n") -> socket.socket:
        return house.come(PROXY, f"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {caller}\r\n".encode() + last)

    slow = [ask("203.0.113.7", b"Content-Length: 5\r\n\r\n") for _ in range(2)]
    refused = wait_for(lambda: (text := answer(ask("203.0.113.7"))).startswith("HTTP/1.1 429") and text, "it is full")
    assert "from this address" in refused
    for number in range(5):
        assert "served" in answer(ask(f"203.0.113.{number + 20}")), "the proxy itself has no such bound"
    for there in slow:
        there.sendall(b"12345")
        assert read_one(there).startswith("HTTP/1.1 200")
    assert "served" in wait_for(
        lambda: "served" in (text := answer(ask("203.0.113.7"))) and text, "their requests are over"
    )
    forged = [house.come(FAR, GET.replace(b"Host", b"X-Forwarded-For: 1.1.1.1\r\nHost")) for _ in range(2)]
    assert [read_one(there)[:12] for there in forged] == ["HTTP/1.1 200"] * 2
    assert status_and_type(answer(house.come(FAR)))[0] == "429", "nobody else is believed"


def test_who_does_not_read_an_answer_is_hung_up_on(build: Callable[..., House]) -> None:
    house = build(answer_seconds=-LARGE / 50_000)
    there = house.come(FAR, GET.replace(b"/ ", b"/large "))
    wait_for(lambda: house._server.active_channels, "the server has let it in")
    wait_for(lambda: not house._server.active_channels, "the server has hung up", 20)
    assert len(answer(there)) < LARGE
    assert is_served(house)


def test_the_bounds_in_the_readme_are_those_in_force() -> None:
    said = " ".join((Path(__file__).parents[2] / "README.md").read_text().split())
    bounds = Bounds()
    assert f"{bounds.header_seconds:g} s for a whole header and {bounds.body_seconds:g} s for a whole body" in said
    assert f"may have {bounds.of_one} connections at a time (`429`), all together {bounds.most:,}" in said
