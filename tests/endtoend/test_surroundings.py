"""What a server finds where it is started: secrets in its environment, odd names of folders, other servers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.settings import Settings
from runner.stores.session import DatabaseSession, ServedAlready
from tests.endtoend.server import ROOT, Server
from tests.postgres import end_sessions
from tests.waiting import free_port, wait_for

CANARY = "canary-that-nobody-may-see-0123456789abcdef"
WRONG_CONFIGURATION = 78


@pytest.mark.parametrize("lower", [False, True], ids=["as documented", "in small letters"])
def test_no_process_of_a_server_inherits_its_secrets(tmp_path: Path, lower: bool) -> None:
    secrets = dict.fromkeys(Settings.secret_variables() - {"RUNNER_DATABASE_URL"}, CANARY)
    secrets |= {"RUNNER_DATABASE_URL": f"sqlite:///{tmp_path / CANARY}.db"}
    given = {name.lower() if lower else name: value for name, value in secrets.items()}
    server = Server(tmp_path, gateway="roster")
    server.add_environment(given)
    server.start()
    try:
        family = server.family()
        assert len(family) >= 3, "the fork server, the Manager and a standby"
        told = [
            process.pid for process in family if CANARY.encode() in Path(f"/proc/{process.pid}/environ").read_bytes()
        ]
        assert told == []
        assert (tmp_path / f"{CANARY}.db").is_file(), "the settings were read all the same"
    finally:
        server.close()


def test_every_secret_of_the_settings_is_known_as_one() -> None:
    assert Settings.secret_variables() >= {
        *("RUNNER_TOKEN", "RUNNER_WEBHOOK_SECRET", "RUNNER_WAHA_HMAC_KEY", "RUNNER_DATABASE_URL"),
        *("EVOLUTION_API_KEY", "WAHA_API_KEY"),
    }


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", ["1%25?r=1#y", "50%", "a b+c&d", "é:@"])
def test_the_database_lies_in_the_home_whatever_its_name(tmp_path: Path, runtime: Path, name: str) -> None:
    home = tmp_path / name
    home.mkdir()
    server = Server(home)
    server.add_environment({"XDG_RUNTIME_DIR": str(runtime)})  # its sockets, where the path is too long
    server.start()
    server.kill()
    assert (home / "runner.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name], "and nothing beside it"


def test_a_home_whose_name_is_no_text_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refused = _start_in_vain(RUNNER_HOME=os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    assert "home must be a path in UTF-8" in refused
    assert "Traceback" not in refused


def test_a_second_server_on_a_link_to_the_database_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    server = Server(first)
    server.start()
    try:
        (second / "runner.db").symlink_to(first / "runner.db")
        (tmp_path / "linked").symlink_to(first)
        for given in (
            {"RUNNER_HOME": str(second)},
            {"RUNNER_HOME": str(tmp_path / "linked")},
            {
                "RUNNER_HOME": str(tmp_path / "third"),
                "RUNNER_DATABASE_URL": f"sqlite:///{tmp_path / 'linked/runner.db'}",
            },
        ):
            assert f"process {server.pid} holds" in _start_in_vain(**given)
    finally:
        server.close()


def _start_in_vain(**given: str) -> str:
    """What a server says that cannot start like this."""
    environment = os.environ | {"RUNNER_PORT": str(free_port())} | given
    command = [sys.executable, "-m", "web"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == WRONG_CONFIGURATION, done
    return done.stderr


def test_a_second_server_on_one_postgresql_database_is_refused(tmp_path: Path, postgres_url: str) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    server = Server(tmp_path / "first", database_url=postgres_url)
    server.start()
    try:
        refused = _start_in_vain(RUNNER_HOME=str(tmp_path / "second"), RUNNER_DATABASE_URL=postgres_url)
        assert f"A server works on this database already: process {server.pid} on" in refused
        assert server.call("GET", "/readyz")[0] == 200, "the first one goes on"
    finally:
        server.close()


def test_a_server_whose_database_another_has_taken_goes_down_in_order(tmp_path: Path, postgres_url: str) -> None:
    server = Server(tmp_path, database_url=postgres_url)
    server.start()
    other = DatabaseSession(postgres_url)
    try:
        wait_for(lambda: _takes(other, postgres_url), "the other has it")
        assert server.wait() == 0
        assert "Going down: A server works on this database already" in (tmp_path / "server.log").read_text()
    finally:
        other.close()
        server.close()


def _takes(session: DatabaseSession, url: str) -> bool:
    """Ends the session of whoever has it, and is quicker than they are."""
    end_sessions(url)
    try:
        session.take()
    except ServedAlready:
        return False
    return True
