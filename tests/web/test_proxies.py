"""Proxies: each is known by what it adds, and only those that are named are believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon import testing

from runner.clock import Clock
from runner.networks import networks_of
from runner.settings import Settings
from runner.stores.database import SqlStore
from runner.stores.migrate import migrate
from runner.stores.tokens import TokenRows
from runner.token import Role, new_token
from web.access import GuardedRouter
from web.configuration import WrongConfiguration, read_settings
from web.errors import add_error_answers
from web.gate import Gate
from web.guesses import FREE_GUESSES
from web.middleware import SameOrigin
from web.proxies import Proxies, was_passed_on

NEAR, FAR = "127.0.0.1", "203.0.113.7"


class Room:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {}


class House:
    """One room behind a gate that believes ``trusted``."""

    def __init__(self, folder: Path, trusted: str, public_url: str = "") -> None:
        url = f"sqlite:///{folder / 'runner.db'}"
        migrate(url)
        self.store = SqlStore(url)
        settings = Settings(home=folder, trusted_proxies=trusted, public_url=public_url)
        proxies = Proxies(settings.proxy_networks)
        router = GuardedRouter({"/look": {"GET": Role.VIEWER, "POST": Role.VIEWER}})
        gate = Gate(self.store, Clock(), router, proxies)
        checks: list[Any] = [SameOrigin(settings, proxies), gate]
        app = falcon.App(middleware=checks, router=router)
        add_error_answers(app)
        app.add_route("/look", Room())
        self._client = testing.TestClient(app)

    def status(self, address: str = NEAR, method: str = "GET", **headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.simulate_request(method, "/look", headers=given, remote_addr=address).status_code

    def token(self) -> str:
        with self.store.write() as tx:
            return TokenRows(tx).add("ana", Role.ADMIN, None)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, "")
    yield house
    house.store.close()


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, "127.0.0.1, 10.0.0.0/24, fd00::/64", "https://runner.example.com")
    yield house
    house.store.close()


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded", "Forwarded-For",
     "X-Real-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Ray", "True-Client-IP", "X-Client-IP", "Client-IP",
     "X-Cluster-Client-IP", "Fastly-Client-IP", "Fly-Client-IP", "X-Original-Forwarded-For", "X-Original-URL",
     "X-Envoy-External-Address", "X-Appengine-User-IP", "X-Azure-ClientIP", "X-Azure-SocketIP", "X-ProxyUser-IP",
     "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "CDN-Loop",
     "X-Amzn-Trace-Id", "X-Scheme", "Front-End-Https", "Tailscale-User-Login", "X-Coming-From", "ngrok-skip"],
)  # fmt: skip
def test_whatever_a_proxy_adds_needs_a_token(alone: House, name: str) -> None:
    assert alone.status() == 200
    assert alone.status(**{name: "127.0.0.1"}) == 401


def test_what_programs_of_this_machine_send_is_no_sign_of_a_proxy() -> None:
    sent = ("HOST", "USER_AGENT", "ACCEPT", "ACCEPT_ENCODING", "CONNECTION", "PROXY_CONNECTION", "X_REQUEST_ID",
            "AUTHORIZATION", "COOKIE", "ORIGIN", "REFERER", "IDEMPOTENCY_KEY", "IF_NONE_MATCH", "TRACEPARENT",
            "SEC_FETCH_SITE", "CACHE_CONTROL", "EXPECT", "X_REQUESTED_WITH", "UPGRADE_INSECURE_REQUESTS", "DNT",
            "X_WEBHOOK_SECRET", "X_WEBHOOK_HMAC", "PRIORITY", "SEC_CH_UA", "X_RUNNER_SIGNATURE")  # fmt: skip
    assert not was_passed_on(sent)


def test_a_trusted_proxy_still_needs_a_token_also_where_it_says_nothing(behind: House) -> None:
    assert behind.status() == 401
    assert behind.status(X_Forwarded_For=NEAR) == 401
    text = behind.token()
    assert behind.status(X_Forwarded_For=FAR, Authorization=f"Bearer {text}") == 200
    assert behind.status("10.0.0.9", X_Forwarded_For=FAR, Authorization=f"Bearer {text}") == 200


def test_guesses_are_counted_by_the_believed_address(behind: House) -> None:
    behind.token()
    wrong = {"Authorization": f"Bearer {new_token()}"}
    for number in range(FREE_GUESSES):
        assert behind.status("10.0.0.9", X_Forwarded_For=f"{number}.9.9.9, {FAR}", **wrong) == 401
    assert behind.status("10.0.0.9", X_Forwarded_For=FAR, **wrong) == 429
    assert behind.status(NEAR, X_Forwarded_For=f"{FAR}, 10.0.0.7", **wrong) == 429, "through two proxies of ours"
    assert behind.status("10.0.0.9", X_Forwarded_For="203.0.113.8", **wrong) == 401, "another caller is another"


def test_nobody_else_is_believed_on_an_address(alone: House) -> None:
    alone.token()
    wrong = {"Authorization": f"Bearer {new_token()}"}
    for number in range(FREE_GUESSES):
        assert alone.status(FAR, X_Forwarded_For=f"198.51.100.{number}", **wrong) == 401
    assert alone.status(FAR, X_Forwarded_For="198.51.100.99", **wrong) == 429


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({"X_FORWARDED_FOR": "203.0.113.7"}, "203.0.113.7"),
        ({"X_FORWARDED_FOR": "1.1.1.1, 203.0.113.7"}, "203.0.113.7"),
        ({"X_FORWARDED_FOR": "203.0.113.7, 10.0.0.3, 10.0.0.4"}, "203.0.113.7"),
        ({"X_FORWARDED_FOR": "203.0.113.7:4711"}, "203.0.113.7"),
        ({"X_FORWARDED_FOR": "::ffff:203.0.113.7"}, "203.0.113.7"),
        ({"X_FORWARDED_FOR": "10.0.0.3"}, "10.0.0.3"),
        ({"X_FORWARDED_FOR": "203.0.113.7, nonsense"}, "10.0.0.1"),
        ({"X_FORWARDED_FOR": ""}, "10.0.0.1"),
        ({"FORWARDED": 'for=1.1.1.1, For="[2001:db8::7]:4711";proto=https'}, "2001:db8::7"),
        ({"FORWARDED": "proto=https;for=203.0.113.7"}, "203.0.113.7"),
        ({"FORWARDED": "for=unknown"}, "10.0.0.1"),
        ({"FORWARDED": "for=1.1.1.1", "X_FORWARDED_FOR": "203.0.113.7"}, "203.0.113.7"),
        ({"X_REAL_IP": "203.0.113.7"}, "10.0.0.1"),
        ({}, "10.0.0.1"),
    ],
)
def test_the_caller_is_the_first_from_the_right_who_is_no_proxy_of_ours(headers: dict[str, str], caller: str) -> None:
    assert Proxies(networks_of("10.0.0.0/24")).caller("10.0.0.1", headers) == caller
    assert Proxies(networks_of("10.0.1.0/24")).caller("10.0.0.1", headers) == "10.0.0.1"


def test_a_page_is_ours_under_the_public_name_and_by_the_scheme_that_is_believed(behind: House) -> None:
    ours = {"X_Forwarded_For": FAR, "Authorization": f"Bearer {behind.token()}", "Host": "127.0.0.1:3000"}
    assert behind.status(method="POST", Origin="https://runner.example.com", **ours) == 200
    assert behind.status(method="POST", Origin="https://runner.example.com.evil.example", **ours) == 403
    assert behind.status(method="POST", Origin="http://runner.example.com", **ours) == 403
    by_tls = ours | {"Host": "runner.other:443", "X_Forwarded_Proto": "https"}
    assert behind.status(method="POST", Origin="https://runner.other", **by_tls) == 200
    plain_page = ours | {"Host": "runner.other:80", "X_Forwarded_Proto": "https"}
    assert behind.status(method="POST", Origin="http://runner.other", **plain_page) == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRUSTED_PROXIES", text) for text in ("nginx", "10.0.0.0/33", "10.0.0.5/24", "0.0.0.0/0", "10.0.0.1 10.0.0.2")]
    + [
        ("PUBLIC_URL", text)
        for text in ("runner.example.com", "ftp://x", "https://u:p@x", "https://x/path", "https://")
    ],
)
def test_a_wrong_setting_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RUNNER_{name}", value)
    with pytest.raises(WrongConfiguration, match=f"RUNNER_{name}: .*such as|RUNNER_{name}: .*(must be like|write )"):
        read_settings()
