"""A real manager on a real database, and a client that speaks to it as a program on this machine would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from runner.manager import JobManager
from runner.settings import Settings
from runner.stores.migrate import migrate
from web.app import create_app

SAMPLES = "tests.web.samples"
_numbers = count(1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, workflows=SAMPLES, max_running=4, standby=1, grace_seconds=5, terminate_seconds=2)


@pytest.fixture(scope="module")
def manager(settings: Settings) -> Iterator[JobManager]:
    migrate(settings.url)
    manager = JobManager(settings)
    manager.open()
    yield manager
    limit = threading.Event()
    threading.Timer(20, limit.set).start()
    manager.drain(limit)
    manager.close()


@pytest.fixture(scope="module")
def client(manager: JobManager) -> testing.TestClient:
    return testing.TestClient(create_app(manager), headers={"Host": "localhost:3000"})


@pytest.fixture
def group() -> str:
    """A group id that no other test has."""
    return f"1203634036{next(_numbers):08d}@g.us"


@pytest.fixture
def body(group: str) -> dict[str, Any]:
    """A start that is in order, and stays at work until it is cancelled."""
    return {"type": "walk", "groupWaId": group, "batchSize": 5, "delayMs": 10_000, "dryRun": False}
