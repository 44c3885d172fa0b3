"""Webhooks over HTTP, through waitress: who may send them, what is answered, and what is kept of them."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest

from runner.groups.member import MemberEntry
from tests.endtoend.server import Server
from tests.unit.groupstore import DAY, NOW, WA_ID
from tests.waiting import wait_for
from tests.webhooks import samples
from tests.webhooks.kept import Kept
from tests.webhooks.sender import SECRET, WAHA_KEY
from web.intake import BODY_BYTES

ANA = "100000000000002@lid"
FIXED = {"X-Webhook-Secret": SECRET}
BACK_AT = "SELECT back_at FROM webhook_accounts WHERE account = 'evolution/p2'"


class Gateway:
    """Sends to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def post(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)) as connection:
            sent = {"Content-Type": "application/json"} | headers
            connection.request("POST", path, body=raw, headers=sent)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, json.loads(answer.read())

    def say(self, body: Any, path: str = "/webhook", **headers: str) -> int:
        return self.post(path, body, headers or FIXED)[0]

    def say_as_waha(self, body: Any, **more: str) -> int:
        raw = json.dumps(body).encode()
        proof = hmac.new(WAHA_KEY.encode(), raw, hashlib.sha512).hexdigest()
        return self.post("/webhook/waha", raw, {"X-Webhook-Hmac": proof} | more)[0]

    def tallies(self) -> dict[tuple[str, str], int]:
        found = self.server.call("GET", "/admin/webhooks")[1]["events"]
        return {(one["event"], one["outcome"]): one["number"] for one in found}

    def last_active(self, who: str) -> str | None:
        path = f"/admin/members?groupWhatsappId={WA_ID}&userWhatsappId={who}"
        active: str | None = self.server.call("GET", path)[1].get("lastActiveAt")
        return active


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def gateway(home: Path) -> Iterator[Gateway]:
    url = f"sqlite:///{home / 'groups.db'}"
    kept = Kept(home)
    kept.put(MemberEntry(lid=ANA))
    kept.store.close()
    server = Server(home, webhook_secret=SECRET, waha_hmac_key=WAHA_KEY, database_url=url, log_level="DEBUG")
    server.start()
    yield Gateway(server)
    server.close()


def message(key: str, seconds: int = NOW // 1000, **more: Any) -> dict[str, Any]:
    return samples.message(key, ANA, seconds, group=WA_ID, **more)


def token(key: str = SECRET, algorithm: str | None = "HS256", **claims: Any) -> str:
    """``iat`` and ``exp``: whole seconds from now; None: without it; anything else: as it is."""
    times = {name: claims.pop(name, usual) for name, usual in (("iat", 0), ("exp", 600))}
    now = int(time.time())
    moments = {n: now + ahead if isinstance(ahead, int) else ahead for n, ahead in times.items() if ahead is not None}
    said = moments | {"app": "evolution", "action": "webhook"} | claims
    return "Bearer " + jwt.encode(said, key, algorithm=algorithm)


Proof = dict[str, str | Callable[[], str]]


def made(proof: Proof) -> dict[str, str]:
    """A token is made when it is sent: it ages."""
    return {name: value if isinstance(value, str) else value() for name, value in proof.items()}


# --- who may send them ---


@pytest.mark.parametrize(
    "headers",
    [
        FIXED,
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": lambda: token()},
        {"Authorization": lambda: token(iat=-620, exp=-20)},
        {"Authorization": lambda: token(iat=-2100, exp=-1500)},
    ],
    ids=["fixed", "bearer", "jwt", "jwt of a clock that is late", "jwt of an event that is sent for the tenth time"],
)
def test_a_gateway_proves_itself(gateway: Gateway, headers: Proof) -> None:
    assert gateway.post("/webhook", message("proof"), made(headers))[::2] == (200, {"received": True})


REFUSED = [
    *("nothing", "empty", "one letter short", "other alphabet", "far too long", "basic", "bearer alone", "no token"),
    *("other key", "unsigned", "other algorithm", "longer key", "out of date", "of tomorrow", "without end"),
    *("end is no number", "end is no moment", "without beginning", "other app", "other action"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Secret": ""},
        {"X-Webhook-Secret": SECRET[:-1]},
        {"X-Webhook-Secret": "\xe9" * 40},
        {"X-Webhook-Secret": "x" * 100_000},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xe9.\xe9.\xe9"},
        {"Authorization": lambda: token("another-key-that-is-long-enough-as-well")},
        {"Authorization": lambda: token("", algorithm=None)},
        {"Authorization": lambda: token("x" * 64, algorithm="HS512")},
        {"Authorization": lambda: token(SECRET + "x" * 40, algorithm="HS512")},
        {"Authorization": lambda: token(exp=-3600)},
        {"Authorization": lambda: token(iat=3600)},
        {"Authorization": lambda: token(exp=None)},
        {"Authorization": lambda: token(exp=[1])},
        {"Authorization": lambda: token(exp=float("inf"))},
        {"Authorization": lambda: token(iat=None)},
        {"Authorization": lambda: token(app="another")},
        {"Authorization": lambda: token(action="login")},
    ],
    ids=REFUSED,
)
def test_whoever_does_not_is_turned_away(gateway: Gateway, headers: Proof) -> None:
    before = gateway.tallies()
    status, answered, problem = gateway.post("/webhook", message("forged"), made(headers))
    assert status in (401, 431)
    if status == 401:
        assert answered["www-authenticate"] == "Bearer"
        assert SECRET not in json.dumps(problem)
    assert gateway.tallies() == before


def test_waha_proves_the_body_itself(gateway: Gateway) -> None:
    payload = {"id": "w1", "timestamp": NOW // 1000, "from": WA_ID, "participant": ANA}
    body = samples.waha("message", payload)
    assert gateway.say_as_waha(body) == 200
    assert gateway.say_as_waha(body, **{"X-Webhook-Hmac-Algorithm": "sha512"}) == 200
    assert gateway.say_as_waha(body, **{"X-Webhook-Hmac-Algorithm": "sha256"}) == 401
    for forged in ({}, {"X-Webhook-Hmac": "0" * 128}, {"X-Webhook-Hmac": "\xe9"}, FIXED):
        assert gateway.post("/webhook/waha", body, forged)[0] == 401


def test_without_secrets_nothing_is_taken(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        for path, name in (("/webhook", "RUNNER_WEBHOOK_SECRET"), ("/webhook/waha", "RUNNER_WAHA_HMAC_KEY")):
            status, _, problem = Gateway(server).post(path, message("1"), FIXED)
            assert status == 401
            assert f"not taken until {name} is set" in problem["detail"]
    finally:
        server.close()


def test_a_gateway_may_have_a_name_of_its_own_for_this_machine(gateway: Gateway) -> None:
    assert gateway.post("/webhook", message("named"), FIXED | {"Host": "bot.example"})[0] == 200
    assert gateway.post("/admin/jobs/start", {}, FIXED | {"Host": "bot.example"})[0] == 421


# --- where they may be sent ---


@pytest.mark.parametrize("path", ["/", "/webhook", "/webhook/messages-upsert", "/messages-upsert"])
def test_evolution_sends_to_any_of_its_addresses(gateway: Gateway, path: str) -> None:
    before = gateway.tallies().get(("messages-upsert", "stored"), 0)
    assert gateway.say(message(f"sent to {path}"), path) == 200
    assert gateway.tallies()["messages-upsert", "stored"] == before + 1


def test_other_addresses_are_what_they_were(gateway: Gateway) -> None:
    assert gateway.say({}, "/no-event-of-evolution") == 404
    assert gateway.server.call("GET", "/no-event-of-evolution")[0] == 404
    assert gateway.say({}, "/webhook/an-event-of-tomorrow") == 200
    assert gateway.tallies()["an-event-of-tomorrow", "unknown"] >= 1


# --- what is answered, and kept ---


def test_activity_is_kept_before_the_answer(gateway: Gateway) -> None:
    assert gateway.say(message("kept", (NOW + 5 * DAY) // 1000)) == 200
    assert gateway.last_active(ANA) == "2025-06-20T15:06:40.000Z"


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"", b"[1]", b"[" * 50_000, b'{"event":"messages.upsert","data":7}'])
def test_what_cannot_be_understood_is_counted_and_does_no_harm(gateway: Gateway, raw: bytes) -> None:
    before = sum(number for (_, outcome), number in gateway.tallies().items() if outcome == "unreadable")
    assert gateway.say(raw) == 200
    after = sum(number for (_, outcome), number in gateway.tallies().items() if outcome == "unreadable")
    assert after == before + 1


@pytest.mark.parametrize("size", [BODY_BYTES * 2, 12_000_000])
def test_a_message_may_have_its_picture_in_it(gateway: Gateway, size: int) -> None:
    picture = {"imageMessage": {}, "base64": "A" * size}
    before = gateway.tallies()["messages-upsert", "stored"]
    assert gateway.say(message(f"picture {size}", message=picture)) == 200
    assert gateway.tallies()["messages-upsert", "stored"] == before + 1


def test_what_is_too_large_is_refused_before_it_is_taken_in(gateway: Gateway) -> None:
    """By its announced length: nothing of the body is sent here at all."""
    refused = [(FIXED["X-Webhook-Secret"], 16_000_000, 422), ("not the secret", BODY_BYTES, 413)]
    for secret, size, status in refused:
        with closing(http.client.HTTPConnection("127.0.0.1", gateway.server.port, timeout=30)) as connection:
            connection.putrequest("POST", "/webhook")
            connection.putheader("Content-Length", str(size))
            connection.putheader("X-Webhook-Secret", secret)
            connection.endheaders()
            assert connection.getresponse().status == status
    wait_for(lambda: gateway.tallies().get(("too-large", "failed")), "what is lost is counted")


def test_while_the_store_cannot_be_written_it_is_to_be_sent_again(gateway: Gateway, home: Path) -> None:
    assert gateway.say(message("before it is locked")) == 200
    with closing(sqlite3.connect(home / "groups.db", isolation_level=None)) as other:
        before = other.execute(BACK_AT).fetchone()
        other.execute("BEGIN EXCLUSIVE")
        status, headers, _ = gateway.post("/webhook", message("while locked", (NOW + 9 * DAY) // 1000), FIXED)
        assert status == 503
        assert int(headers["retry-after"]) > 0
        assert gateway.server.call("GET", "/livez")[0] == 200
        other.execute("ROLLBACK")
        wait_for(lambda: other.execute(BACK_AT).fetchone() != before, "removals wait for it")
    wait_for(
        lambda: gateway.say(message("while locked", (NOW + 9 * DAY) // 1000)) == 200, "it is taken when sent again"
    )
    assert gateway.last_active(ANA) == "2025-06-24T15:06:40.000Z"


def test_how_events_come_in_is_shown(gateway: Gateway) -> None:
    gateway.say(message("shown"))
    accounts = gateway.server.call("GET", "/admin/webhooks")[1]["accounts"]
    shown = next(one for one in accounts if one["account"] == samples.ACCOUNT)
    assert shown["heard"] is True
    assert "lastGroupMessageAt" in shown
    assert "downSince" not in shown
    gateway.say(samples.connection("close"))
    accounts = gateway.server.call("GET", "/admin/webhooks")[1]["accounts"]
    assert "downSince" in next(one for one in accounts if one["account"] == samples.ACCOUNT)
    gateway.say(samples.connection("open"))


def test_an_account_of_whose_groups_nothing_came_is_not_heard(gateway: Gateway) -> None:
    gateway.say_as_waha(samples.waha("session.status", {"status": "WORKING"}, session="ignores-groups"))
    accounts = gateway.server.call("GET", "/admin/webhooks")[1]["accounts"]
    shown = next(one for one in accounts if one["account"] == "waha/ignores-groups")
    assert shown.keys() == {"account", "heard", "lastEventAt"}
    assert shown["heard"] is False


def test_neither_keys_nor_words_are_in_log_or_store(gateway: Gateway, home: Path) -> None:
    gateway.say(message("secretive", message={"conversation": "what nobody else should read"}))
    gateway.say(b'{"apikey": "' + samples.API_KEY.encode() + b'", "conversation": "what nobody else should read"')
    secrets = (samples.API_KEY, SECRET, WAHA_KEY, "what nobody else should read")
    for path in home.rglob("*"):
        if path.is_file():
            found = path.read_bytes()
            assert [secret for secret in secrets if secret.encode() in found] == [], path
