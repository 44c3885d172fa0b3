"""A demo is in a home of its own: nothing of it stands beside real groups, jobs and tokens."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.waiting import free_port
from tests.web.test_server import SCRIPT, environment, start_server

DEMO_GROUP = "120363403645737238@g.us"


def run(home: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [SCRIPT, *arguments], env=environment(home), capture_output=True, text=True, timeout=60, check=True
    )
    return ran.stdout.strip()


def tables(database: Path, query: str) -> list[str]:
    with sqlite3.connect(database) as opened:
        return [str(row[0]) for row in opened.execute(query)]


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """The home of somebody who has made a token."""
    home = tmp_path / "real"
    run(home, "token", "new", "me", "--role", "admin")
    return home


def test_a_demo_leaves_the_real_home_alone(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_size for path in real.iterdir() if path.name != "demo"}
    elsewhere = tmp_path / "elsewhere.db"
    kept = environment(real) | {"RUNNER_DATABASE_URL": f"sqlite:///{elsewhere}"}
    monkeypatch.setattr("tests.web.test_server.environment", lambda _home: kept)
    server = start_server(real, free_port(), "--demo")
    try:
        home = next(line for line in server.banner if line.startswith("  home"))
        assert f"{real / 'demo'} (the demo's own" in home
        assert server.paste("curl http://localhost:3000/admin/jobs") == [], "the real token does not lock it"
        monkeypatch.undo()
        assert run(real, "demo-home") == str(real / "demo")
        run(real / "demo", "token", "new", "walker", "--role", "admin")
        assert server.paste("curl http://localhost:3000/admin/jobs")["status"] == 401
    finally:
        assert server.stop(signal.SIGTERM) == 0
        assert server.process.stdout is not None
        server.process.stdout.close()
    assert {path: path.stat().st_size for path in real.iterdir() if path.name != "demo"} == before
    assert not elsewhere.exists()
    assert tables(real / "demo" / "runner.db", "SELECT wa_id FROM groups") == [DEMO_GROUP]
    assert tables(real / "runner.db", "SELECT wa_id FROM groups") == []
    assert tables(real / "runner.db", "SELECT name FROM tokens") == ["me"]


def test_a_demo_that_is_started_in_its_own_home_stays_there(real: Path) -> None:
    (real / "demo").mkdir()
    (real / "demo" / "this-is-a-demo").touch()
    assert run(real / "demo", "demo-home") == str(real / "demo")
