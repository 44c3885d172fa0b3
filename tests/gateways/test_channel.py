"""The channel: whole within its time, bounded in size, and never a key in what it says. By both adapters."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.gateway import (
    AuthFailed,
    BadRequest,
    GatewayError,
    GroupGateway,
    NotConnected,
    OutcomeKind,
    RateLimited,
    Transient,
)
from runner.gateways.access import Access
from runner.gateways.channel import Channel, NoAnswer, _retry_after
from runner.gateways.evolution import EvolutionGateway
from runner.gateways.waha import WahaGateway
from tests.gateways.fake import FakeServer, control
from tests.waiting import free_port

G = "120363000000000001@g.us"
ONE, TWO, ME = "100000000000001@lid", "100000000000002@lid", "100000000000009@lid"
P9 = "5511900000009@s.whatsapp.net"
KEYS = {"evolution": "key-of-evolution", "waha": "key-of-waha"}
SECONDS = 2.0
KINDS: dict[str, Callable[[Access, float], GroupGateway]] = {"evolution": EvolutionGateway, "waha": WahaGateway}


def access(url: str, kind: str = "evolution") -> Access:
    return Access(url, SecretStr(KEYS[kind]), {"evolution": "p2", "waha": "default"}[kind])


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeServer]:
    whims(tmp_path)
    with FakeServer(tmp_path) as server:
        yield server


@pytest.fixture
def gateway(kind: str, fake: FakeServer) -> GroupGateway:
    return KINDS[kind](access(fake.url, kind), SECONDS)


def whims(folder: Path, **more: Any) -> None:
    people = [{"lid": ONE}, {"lid": TWO}, {"lid": ME, "pn": P9, "role": "admin"}]
    control(folder, **({"me": {"pn": P9}, "groups": {G: {"people": people}}, "drip_seconds": 0.2} | more))


def in_time() -> float:
    return SECONDS


def kinds(gateway: GroupGateway, *ids: str) -> list[OutcomeKind]:
    return [outcome.kind for outcome in gateway.remove(G, ids, in_time).values()]


@pytest.mark.parametrize(
    "fault",
    ["hang", "reset", "drip", "garbage", "html", "cut", "huge", "502", "empty", "packed", "closed", "timed_out"],
)
@pytest.mark.parametrize("done", [False, True])
def test_after_sending_whatever_is_no_answer_is_unknown(
    gateway: GroupGateway, fake: FakeServer, fault: str, done: bool
) -> None:
    whims(fake.world.folder, faults={"remove": {"1": f"{fault}_after" if done else fault}})
    began = time.monotonic()
    assert kinds(gateway, ONE, TWO) == [OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN]
    assert time.monotonic() - began < 15, "it ended long after its time"
    assert len(fake.calls("remove")) == 1
    assert fake.effects() == ([ONE, TWO] if done else [])
    assert {one.id for one in gateway.list_group(G).participants} == ({ME} if done else {ME, ONE, TWO})


@pytest.mark.parametrize(
    "fault",
    ["hang", "reset", "drip", "garbage", "html", "cut", "huge", "502", "packed", "text:Error: the moon is full"],
)
def test_a_listing_that_does_not_come_may_be_asked_for_again(
    gateway: GroupGateway, fake: FakeServer, fault: str
) -> None:
    whims(fake.world.folder, faults={"list": {"1": fault}})
    with pytest.raises(Transient) as raised:
        gateway.list_group(G)
    assert raised.value.nothing_sent
    assert len(str(raised.value)) < 500
    assert len(gateway.list_group(G).participants) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [("401", AuthFailed), ("redirect", BadRequest), ("http429", RateLimited), ("text:Error: forbidden", GatewayError)],
)
def test_what_is_certain_is_told_and_nothing_was_done(
    gateway: GroupGateway, fake: FakeServer, fault: str, error: type[GatewayError]
) -> None:
    whims(fake.world.folder, faults={"remove": {"1": fault}})
    with pytest.raises(error) as raised:
        gateway.remove(G, [ONE, TWO], in_time)
    assert raised.value.nothing_sent
    if isinstance(raised.value, RateLimited):
        assert raised.value.after_seconds == 7
    assert fake.effects() == []


@pytest.mark.parametrize("fault", ["hang", "reset", "garbage", "502", "http429"])
def test_where_the_state_cannot_be_had_nothing_is_sent(gateway: GroupGateway, fake: FakeServer, fault: str) -> None:
    whims(fake.world.folder, faults={"state": {"1": fault}})
    with pytest.raises(NotConnected) as raised:
        gateway.remove(G, [ONE], in_time)
    assert raised.value.nothing_sent
    assert fake.calls("remove") == []


def test_nothing_is_sent_with_too_little_time_left(gateway: GroupGateway, fake: FakeServer) -> None:
    for left in (0.0, -5.0, SECONDS * 0.8):
        with pytest.raises(Transient, match="too little time") as raised:
            gateway.remove(G, [ONE], lambda left=left: left)  # type: ignore[misc]
    lefts = iter([SECONDS, SECONDS * 0.8])  # a process that was frozen between the look and the call
    with pytest.raises(Transient, match="too little time") as raised:
        gateway.remove(G, [ONE], lambda: next(lefts))
    assert raised.value.nothing_sent
    assert fake.calls("remove") == []


def test_nobody_there_is_no_connection(kind: str) -> None:
    gateway = KINDS[kind](access(f"http://127.0.0.1:{free_port()}", kind), SECONDS)
    assert not gateway.connection().is_open
    for ask in (lambda: gateway.list_group(G), lambda: gateway.remove(G, [ONE], in_time)):
        with pytest.raises(NotConnected) as raised:
            ask()
        assert raised.value.nothing_sent


def test_a_hundred_thousand_people_in_one_list(gateway: GroupGateway, fake: FakeServer) -> None:
    people = [{"lid": f"{10**14 + number}@lid", "pn": f"55119{number:08d}@s.whatsapp.net"} for number in range(100_000)]
    whims(fake.world.folder, groups={G: {"people": people}})
    patient = type(gateway)(access(fake.url, gateway.via), 60)  # type: ignore[call-arg]
    assert len(patient.list_group(G).participants) == 100_000


# -- the wire itself --------------------------------------------------------------------------------------------------


@contextmanager
def wire(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Whoever connects is talked to by ``talk``, byte by byte where it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(20)


def drip(connection: socket.socket) -> None:
    """Headers without an end: each byte comes well within any limit of a single read."""
    never = threading.Event()
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):
            connection.sendall(b"x")
            never.wait(0.1)
    except OSError:
        return  # the other side has had enough


def test_headers_that_never_end_do_end() -> None:
    began = time.monotonic()
    with wire(drip) as url, pytest.raises(NoAnswer):
        Channel(access(url), "apikey").ask("GET", "/", seconds=1.0)
    assert time.monotonic() - began < 15, "it ended long after its time"


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
def test_an_answer_beyond_its_size_is_none(size: int, fits: bool) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"1" * size)

    with wire(talk) as url:
        channel = Channel(access(url), "apikey")
        if fits:
            assert len(channel.ask("GET", "/", seconds=20, most_bytes=100).sample) == 100
        else:
            with pytest.raises(NoAnswer, match="larger than 100 bytes"):
                channel.ask("GET", "/", seconds=20, most_bytes=100)


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else() -> None:
    elsewhere = free_port()

    def redirect(connection: socket.socket) -> None:
        head = (
            f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        )
        connection.sendall(head.encode())

    with socket.create_server(("127.0.0.1", elsewhere)) as other, wire(redirect) as url:
        assert Channel(access(url), "apikey").ask("POST", "/", body={}, seconds=5).status == 307
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_no_proxy_of_the_environment_gets_the_key(
    monkeypatch: pytest.MonkeyPatch, gateway: GroupGateway, fake: FakeServer
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert gateway.connection().is_open


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_a_key_that_the_other_side_repeats_is_not_repeated_by_us(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], kind: str, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    key = KEYS[kind]
    said = f'{{"instance": {{"state": "wrong {key}"}}, "message": "wrong {key}"}}'

    def parrot(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} {key}\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode())

    given = access("http://127.0.0.1:1", kind)
    shown = [repr(given), str(given), repr(Channel(given, "apikey"))]
    with wire(parrot) as url:
        gateway = KINDS[kind](access(url, kind), SECONDS)
        shown.append(repr(gateway) + repr(vars(gateway)))
        try:
            shown.append(gateway.connection().words)
        except GatewayError as error:
            shown += [str(error), repr(error)]
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpcore", "httpx"))]
    captured = capsys.readouterr()
    shown += [*logged, captured.out, captured.err]
    assert [text for text in shown if key in text] == []


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("1000000000", 3600),
        ("9" * 5000, 3600),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("NaN", None),
        ("Thu, 01 Jan 1970 00:10:00 GMT", 500),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Thu, 01 Jan 9999 00:00:00 GMT", 3600),
    ],
)
def test_for_how_long_it_asks(said: str, seconds: float | None) -> None:
    assert _retry_after({"retry-after": said}, now=lambda: 100.0) == seconds
