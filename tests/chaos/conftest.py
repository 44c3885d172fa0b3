"""Homes whose database has witnesses; servers that may die; and the proof that nobody is left of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.stores.migrate import migrate
from tests.chaos.client import Client, FragileServer, people_of
from tests.chaos.witness import install
from tests.processes.conftest import nobody_left, open_jobs
from tests.waiting import wait_for

__all__ = ["nobody_left", "open_jobs"]


@pytest.fixture(scope="session")
def witnessed_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("witnessed") / "runner.db"
    migrate(f"sqlite:///{path}")
    install(path)
    return path


@pytest.fixture
def home(tmp_path: Path, witnessed_database: Path, nobody_left: None) -> Path:
    shutil.copy(witnessed_database, tmp_path / "runner.db")
    return tmp_path


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    """Its server is not started yet; when the test is over, nobody of it is left."""
    found = Client(FragileServer(home))
    yield found
    found.server.close()
    wait_for(lambda: not people_of(home), f"nobody is left: {people_of(home)}")
