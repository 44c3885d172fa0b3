"""``runner token``: what it makes, what it says, and what it refuses."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from runner.settings import Settings
from runner.token import is_token
from web.cli import app
from web.configuration import WrongConfiguration, read_server_settings
from web.tokens import read_expiry

NOW = 1_750_000_000_000
DAY = 86_400_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["token", *arguments])


def test_a_token_is_made_listed_and_revoked() -> None:
    assert "No tokens" in run("list").stdout
    made = run("new", "ana", "--role", "admin")
    assert (made.exit_code, made.stderr) == (0, "")
    text = made.stdout.rstrip("\n")
    assert is_token(text)
    run("new", "ben", "--role", "viewer", "--expires", "30d")
    listed = json.loads(run("list", "--json").stdout)
    assert [(token["id"], token["name"], token["role"], token["state"]) for token in listed] == [
        (1, "ana", "admin", "valid"),
        (2, "ben", "viewer", "valid"),
    ]
    assert ["expiresAt" in token for token in listed] == [False, True]
    assert run("revoke", "ana").stdout == "The token of ana (id 1, admin) is revoked\n"
    assert run("revoke", "2").exit_code == 0
    shown = run("list").stdout.splitlines()
    assert [line.split()[:4] for line in shown] == [
        ["id", "name", "role", "state"],
        ["1", "ana", "admin", "revoked"],
        ["2", "ben", "viewer", "revoked"],
    ]
    assert text not in "".join(shown)
    assert text[-64:] not in json.dumps(listed)


def test_a_taken_name_and_an_unknown_one_are_refused() -> None:
    run("new", "ana", "--role", "admin")
    again = run("new", "ana", "--role", "admin")
    assert (again.exit_code, again.stdout, "ana already" in again.stderr) == (1, "", True)
    assert run("revoke", "nobody").exit_code == 1
    assert len(json.loads(run("list", "--json").stdout)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("ana",),
        ("ana", "--role", "root"),
        ("", "--role", "admin"),
        ("anonymous", "--role", "admin"),
        ("a b", "--role", "admin"),
        ("ana", "--role", "admin", "--expires", "soon"),
        ("ana", "--role", "admin", "--expires", "2001-01-01"),
    ],
)
def test_wrong_usage_makes_nothing(arguments: tuple[str, ...]) -> None:
    refused = run("new", *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
    assert json.loads(run("list", "--json").stdout) == []


def test_a_token_pasted_for_a_name_is_not_repeated() -> None:
    text = run("new", "ana", "--role", "admin").stdout.strip()
    for refused in (run("new", text, "--role", "admin"), run("revoke", text)):
        assert refused.exit_code in (1, 2)
        assert text[-20:] not in refused.output


def test_a_home_that_cannot_be_had_is_a_sentence(home: Path) -> None:
    home.write_text("a file")
    assert_refused(run("list"))


def test_a_file_that_is_no_database_is_a_sentence(home: Path) -> None:
    home.mkdir()
    (home / "runner.db").write_bytes(b"not a database, but somebody's only copy" * 50)
    assert_refused(run("new", "ana", "--role", "admin"))
    assert (home / "runner.db").read_bytes().startswith(b"not a database, but")


@pytest.mark.parametrize(
    "url", ["postgresql://ana:p@ss:swordfish@localhost/jobs", "swordfish", "postgresql://ana@h:swordfish/jobs"]
)
def test_an_address_that_is_none_of_a_database_is_a_sentence_that_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("RUNNER_DATABASE_URL", url)
    refused = run("list")
    assert_refused(refused)
    assert "RUNNER_DATABASE_URL" in refused.stderr
    with pytest.raises(WrongConfiguration) as of_server:
        read_server_settings()
    assert "swordfish" not in refused.stderr + str(of_server.value)


def assert_refused(refused: Result) -> None:
    assert (refused.exit_code, refused.stdout) == (78, ""), refused.output
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW + 30 * DAY),
        ("12h", NOW + DAY // 2),
        ("2030-01-01T00:00:00+00:00", 1_893_456_000_000),
        ("2030-01-01T02:00:00+02:00", 1_893_456_000_000),
    ],
)
def test_when_a_token_ends(text: str, expected: int) -> None:
    assert read_expiry(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "0d", "-1d", "1.5d", "30", "d", "30m", "999999d", "2025-06-15", "now", "2030-13-01", "²d", "30d "),
        *("9999-12-31T23:59-23:59", "0001-01-01T00:00+23:59"),
    ],
)
def test_ends_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_expiry(text, NOW)


def test_an_end_beyond_all_calendars_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        with pytest.raises(typer.BadParameter):
            read_expiry("9999-12-31T23:59", NOW)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_job_is_given_the_token_of_whoever_started_the_server() -> None:
    sent = Settings(token=SecretStr("runner_swordfish")).for_job()
    assert "swordfish" not in repr(sent)
    assert Settings.from_job(sent).token.get_secret_value() == ""
