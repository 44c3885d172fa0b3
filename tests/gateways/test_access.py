"""Which gateway is in force and how it is reached, by the variables that are set."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from runner.clock import Clock
from runner.gateways.access import access_to
from runner.opening import GatewayUnknown, call_seconds, open_gateway, open_job_store
from runner.settings import Settings
from web.banner import banner
from web.configuration import WrongConfiguration, read_server_settings, read_settings

EVOLUTION = {
    "EVOLUTION_API_URL": "http://127.0.0.1:8080/",
    "EVOLUTION_API_KEY": "a-key-that-is-secret",
    "EVOLUTION_INSTANCE_NAME": "p2",
}
WAHA = {"WAHA_URL": "https://waha.example/under/path", "WAHA_API_KEY": "a-key-that-is-secret"}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*EVOLUTION, *WAHA, "WAHA_SESSION", "RUNNER_GATEWAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def put(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("given", "gateway"),
    [
        ({}, "roster"),
        (EVOLUTION, "evolution"),
        (WAHA, "waha"),
        ({"WAHA_URL": "http://127.0.0.1:3000"}, "roster"),
        (EVOLUTION | {"EVOLUTION_API_KEY": ""}, "roster"),
        (EVOLUTION | {"RUNNER_GATEWAY": "roster"}, "roster"),
        (EVOLUTION | WAHA | {"RUNNER_GATEWAY": "waha"}, "waha"),
    ],
)
def test_the_variables_that_people_already_have_are_enough(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], gateway: str
) -> None:
    put(monkeypatch, given)
    settings = read_server_settings()
    assert settings.gateway == gateway
    assert Settings.from_job(settings.for_job()).gateway == gateway


def test_two_that_could_be_meant_are_asked_about_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, EVOLUTION | WAHA)
    with pytest.raises(WrongConfiguration) as raised:
        read_settings()
    said = str(raised.value)
    assert said.startswith("RUNNER_GATEWAY: ")
    assert "evolution" in said
    assert "waha" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "gateway   roster\n"),
        (EVOLUTION, "gateway   evolution, instance p2 at http://127.0.0.1:8080/\n"),
        (WAHA, "gateway   waha, session default at https://waha.example/under/path\n"),
        ({"EVOLUTION_API_KEY": "x"}, "roster, since EVOLUTION_API_URL and EVOLUTION_INSTANCE_NAME are not set"),
        ({"EVOLUTION_API_KEY": "x", "RUNNER_GATEWAY": "roster"}, "gateway   roster\n"),
    ],
)
def test_the_server_says_which_is_in_force(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], shown: str) -> None:
    put(monkeypatch, given)
    said = banner(read_server_settings(), 3000, demo=False, tokens=False)
    assert shown in said
    assert "secret" not in said


@pytest.mark.parametrize("missing", sorted(EVOLUTION))
def test_a_variable_that_is_missing_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    put(monkeypatch, EVOLUTION | {"RUNNER_GATEWAY": "evolution", missing: ""})
    with pytest.raises(WrongConfiguration) as raised:
        read_server_settings()
    assert str(raised.value) == f"RUNNER_GATEWAY=evolution: {missing} is not set, and this gateway needs it"


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "ftp://127.0.0.1",
        "http://",
        "http:///path",
        "http://me:secret@127.0.0.1:8080",
        "http://secret@127.0.0.1:8080",
        "http://127.0.0.1:8080/?key=secret",
        "http://127.0.0.1:8080/#secret",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://[::1",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: secret",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str, tmp_path: Path) -> None:
    key = SecretStr("a-key")
    evolution = Settings(
        home=tmp_path, gateway="evolution", evolution_api_url=url, evolution_api_key=key, evolution_instance_name="p2"
    )
    waha = Settings(home=tmp_path, gateway="waha", waha_url=url, waha_api_key=key)
    for settings, variable in ((evolution, "EVOLUTION_API_URL"), (waha, "WAHA_URL")):
        with pytest.raises(GatewayUnknown) as raised:
            call_seconds(settings)
        assert variable in str(raised.value)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("key", ["two\nlines-secret", "ключ-secret", "nul\0secret"])
def test_a_key_that_no_header_can_carry(key: str, tmp_path: Path) -> None:
    given = {"waha_url": "http://127.0.0.1:1", "waha_api_key": SecretStr(key)}
    settings = Settings(home=tmp_path, gateway="waha", **given)  # type: ignore[arg-type]
    with pytest.raises(GatewayUnknown) as raised:
        open_gateway(settings, open_job_store(settings, Clock()), Clock())
    assert "WAHA_API_KEY" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_what_is_opened_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, EVOLUTION | WAHA | {"RUNNER_GATEWAY": "evolution"})
    settings = Settings()
    assert access_to("evolution", settings).url == "http://127.0.0.1:8080"
    for shown in (settings, access_to("evolution", settings), access_to("waha", settings)):
        assert "a-key-that-is-secret" not in f"{shown!r} {shown}"


def test_a_call_may_take_longer_than_whatsapp_does_and_no_time_is_none(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).gateway_call_seconds > 60
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, gateway_call_seconds=0)
