"""What every test may rely on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.postgres import empty_database, postgres_server
from tests.processes.oracle import MARK, TOKEN

os.environ[MARK] = TOKEN  # before the first fork server starts: all that comes of it can be told by it


@pytest.fixture(scope="session", autouse=True)
def _a_job_process_does_not_run_pytest_again() -> Iterator[None]:
    """multiprocessing re-runs the main script in each process it starts; that of pytest takes 0.2 s and is no use."""
    main = sys.modules["__main__"]
    with pytest.MonkeyPatch.context() as patch:
        if getattr(main, "__spec__", None) is None:
            patch.delattr(main, "__file__", raising=False)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of this test run."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database there."""
    with empty_database(postgres) as url:
        yield url
