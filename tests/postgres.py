"""PostgreSQL for tests: a server of the test run's own, and an empty database for each test that asks.

``RUNNER_TEST_POSTGRES_URL`` names another server, where databases may be made. Without it ``initdb`` and ``postgres``
must be on the PATH, as must the driver in the environment; where they are not, tests are skipped, but never in CI.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.waiting import wait_for

GIVEN = os.environ.get("RUNNER_TEST_POSTGRES_URL", "")
_BEHAVIOUR = ("-c", "fsync=off", "-c", "listen_addresses=", "-c", "max_connections=200")


@contextmanager
def postgres_server() -> Iterator[str]:
    """Its URL. Skips where there is no PostgreSQL; fails there in CI."""
    if GIVEN:
        yield GIVEN
        return
    missing = [name for name in ("initdb", "postgres") if shutil.which(name) is None]
    missing += [] if find_spec("psycopg") else ["psycopg"]
    if missing:
        assert not os.environ.get("CI"), f"PostgreSQL must be tried in CI, and {', '.join(missing)} is missing"
        pytest.skip(f"no PostgreSQL on this machine: {', '.join(missing)} is missing")
    folder = Path(tempfile.mkdtemp(prefix="runner-pg-"))
    try:
        with _running(folder):
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path) -> Iterator[None]:
    """It refuses to run as root, so that root runs it as somebody else. No TCP: a socket in the folder."""
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    data = folder / "data"
    made = ("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    subprocess.run(made, cwd=folder, check=True, capture_output=True, **owner)
    command = ("postgres", "-D", str(data), "-k", str(folder), *_BEHAVIOUR)
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, **owner) as server:
        try:
            wait_for(lambda: _answers(folder), "PostgreSQL answers")
            yield
        finally:
            server.send_signal(2)  # SIGINT: a fast shutdown, which does not wait for those who are connected
            server.wait(60)


def _answers(folder: Path) -> bool:
    try:
        with _admin(f"postgresql+psycopg://postgres@/postgres?host={folder}") as connection:
            return bool(connection.exec_driver_sql("SELECT 1").scalar())
    except OperationalError:
        return False


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """The URL of a new one, dropped afterwards with whoever is still connected to it."""
    name = f"test_{uuid.uuid4().hex}"
    with _admin(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with _admin(server) as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def end_sessions(url: str) -> None:
    """Ends those by which servers hold it, as an administrator of the database does, or its restart."""
    with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'runner %%' AND datname = current_database()"
        )


@contextmanager
def _admin(server: str) -> Iterator[Connection]:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
