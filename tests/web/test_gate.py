"""The gate: open to this machine while there is no token, closed from the first one on; wrong headers; guesses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon import testing

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.stores.database import SqlStore
from runner.stores.migrate import migrate
from runner.stores.tokens import TokenRows
from runner.token import Role, new_token
from web.access import Access, GuardedRouter, Untokened
from web.errors import add_error_answers
from web.gate import Gate, caller_of
from web.guesses import FREE_GUESSES, MOST_ADDRESSES, WINDOW_SECONDS, Guesses

ROUTES: dict[str, dict[str, Access]] = {
    "/look": {"GET": Role.VIEWER},
    "/rule": {"GET": Role.ADMIN},
    "/open": {"GET": Untokened.OPEN},
    "/hook": {"GET": Untokened.OWN_SECRET},
    "/mixed": {"GET": Role.VIEWER, "POST": Untokened.OWN_SECRET},
}


class Who:
    """Says who calls."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"caller": caller_of(req)}


class Hook:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {}


class Mixed(Who):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {}


class House:
    """A gate with a few rooms behind it, and times that are moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.ms = 1_750_000_000_000
        url = f"sqlite:///{folder / 'runner.db'}"
        migrate(url)
        clock = Clock(lambda: self.ms, lambda: self.ms / 1000)
        self.store = SqlStore(url, clock)
        router = GuardedRouter(ROUTES)
        app = falcon.App(middleware=[Gate(self.store, clock, router)], router=router)
        add_error_answers(app)
        rooms = {"/look": Who(), "/rule": Who(), "/open": Hook(), "/hook": Hook(), "/mixed": Mixed()}
        for path, resource in rooms.items():
            app.add_route(path, resource)
        self._client = testing.TestClient(app)

    def token(self, name: str = "ana", role: Role = Role.VIEWER, expires_at: int | None = None) -> str:
        with self.store.write() as tx:
            return TokenRows(tx).add(name, role, expires_at)

    def revoke(self, named: str) -> None:
        with self.store.write() as tx:
            TokenRows(tx).revoke(named)

    def get(
        self, path: str = "/look", header: str | None = None, address: str = "127.0.0.1", method: str = "GET"
    ) -> testing.Result:
        headers = {} if header is None else {"Authorization": header}
        return self._client.simulate_request(method, path, headers=headers, remote_addr=address)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_without_tokens_this_machine_may_all(house: House, address: str) -> None:
    assert house.get("/rule", address=address).json == {"caller": "anonymous"}
    assert house.get("/rule", "Basic dXNlcjpwYXNz", address).status_code == 200, "as a proxy in front may send it"


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "localhost.example", "nonsense"])
def test_without_tokens_no_other_machine_may_anything(house: House, address: str) -> None:
    assert house.get("/look", address=address).status_code == 401
    assert house.get("/open", address=address).status_code == 200


def test_from_the_first_token_on_each_request_needs_one(house: House) -> None:
    assert house.get().status_code == 200
    text = house.token()
    assert house.get().status_code == 401
    assert house.get("/look", f"Bearer {text}").json == {"caller": "ana"}
    assert house.get("/look", f"bearer  {text}", "10.0.0.1").json == {"caller": "ana"}
    assert house.get("/rule", f"Bearer {text}").status_code == 403
    for path in ("/open", "/hook"):
        assert house.get(path).status_code == 200
        assert house.get(path, "Bearer nonsense").status_code == 200, "a secret of its own is looked at there"


def test_revoked_and_expired_count_at_once_and_never_open(house: House) -> None:
    text, brief = house.token(), house.token("brief", expires_at=house.ms + 1000)
    assert [house.get("/look", f"Bearer {one}").status_code for one in (text, brief)] == [200, 200]
    house.revoke("ana")
    assert house.get("/look", f"Bearer {text}").status_code == 401
    house.ms += 999
    assert house.get("/look", f"Bearer {brief}").status_code == 200
    house.ms += 1
    assert house.get("/look", f"Bearer {brief}").status_code == 401
    assert house.get().status_code == 401, "no valid one is left, and it stays closed"


def test_methods_of_a_route_with_two_kinds(house: House) -> None:
    house.token()
    assert house.get("/mixed", method="POST").status_code == 200
    assert house.get("/mixed").status_code == 401
    assert house.get("/mixed", method="PUT").status_code == 401
    assert house.get("/hook", method="PUT").status_code == 405


@pytest.mark.parametrize(
    "header",
    ["", " ", "Bearer", "Bearer ", "Bearer é", "é", "Bearer \x00", "Basic dXNlcjpwYXNz", "Bearer " + "x" * 1_000_000,
     "Bearer runner_", "runner_" + "0" * 64, "Bearer, Bearer", "x" * 1_000_000, "Bearer \u00ff" * 1000, "Bearer\t\t",
     "Bearer runner_" + "\u00b2" * 64],
)  # fmt: skip
def test_a_header_that_holds_no_token_is_401(house: House, header: str) -> None:
    house.token()
    answer = house.get("/look", header, "10.0.0.1")
    assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)
    assert len(answer.text) < 1000


def test_a_right_token_in_wrong_company_is_401(house: House) -> None:
    text = house.token()
    other = new_token()
    for header in (
        text,
        f"Basic {text}",
        f"Bearer {text}, Bearer {text}",
        f"Bearer {text} {text}",
        f"Bearer {text},Bearer {other}",
        f"Bearer {text.upper()}",
        f"Bearer {text}x",
        f"Bearer{text}",
    ):
        assert house.get("/look", header).status_code == 401, header
        house.ms += int(WINDOW_SECONDS * 1000)


def test_many_guesses_are_429_and_hurt_nobody_else(house: House, caplog: pytest.LogCaptureFixture) -> None:
    text, guess = house.token(), f"Bearer {new_token()}"
    first = [house.get("/look", guess, "10.0.0.1").status_code for _ in range(FREE_GUESSES)]
    assert first == [401] * FREE_GUESSES
    answer = house.get("/look", guess, "10.0.0.1")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    house.ms += 20_000
    assert house.get("/look", guess, "10.0.0.1").headers["retry-after"] == "40"
    assert house.get("/look", f"Bearer {text}", "10.0.0.1").status_code == 200, "a right one passes"
    assert house.get("/look", None, "10.0.0.1").status_code == 401, "to send none is no guess"
    assert house.get("/look", guess, "10.0.0.2").status_code == 401, "another address is another"
    house.ms += 40_000
    assert house.get("/look", guess, "10.0.0.1").status_code == 401
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["More than 10 wrong tokens from 10.0.0.1 within a minute"]


def test_to_send_no_token_is_never_a_guess(house: House) -> None:
    house.token()
    assert {house.get(address="10.0.0.1").status_code for _ in range(3 * FREE_GUESSES)} == {401}


def test_what_is_remembered_of_guesses_is_bounded() -> None:
    guesses = Guesses(lambda: 0.0)
    for number in range(MOST_ADDRESSES + 500):
        guesses.wrong(f"10.0.{number >> 8}.{number & 255}")
    assert len(guesses._bursts) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("nonsense", "x" * 1_000_000, True),
    ],
)
def test_which_addresses_are_one(one: str, other: str, same: bool) -> None:
    guesses = Guesses(lambda: 0.0)
    for _ in range(FREE_GUESSES):
        guesses.wrong(one)
    assert (guesses.wrong(other) is not None) is same


def test_a_store_that_cannot_be_read_lets_nobody_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    text = house.token()

    def broken(*_: Any) -> int:
        raise StoreUnavailable("disk I/O error")

    monkeypatch.setattr(house.store, "version", broken)
    answer = house.get("/look", f"Bearer {text}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
