"""One server on one PostgreSQL database: its session marks it, and no call begins while the session is gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.store import Transaction
from runner.stores.database import SqlStore
from runner.stores.jobs import JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import RunRows
from runner.stores.session import DatabaseSession, ServedAlready, demand_server
from tests.postgres import end_sessions
from tests.waiting import wait_for


@pytest.fixture
def session(postgres_url: str) -> Iterator[DatabaseSession]:
    found = DatabaseSession(postgres_url)
    found.take()
    yield found
    found.close()


def is_held(url: str) -> bool:
    with SqlStore(url, pooled=False).read() as tx:
        try:
            demand_server(tx.connection)
        except StoreUnavailable:
            return False
    return True


def test_a_second_server_is_refused_and_told_who_the_first_is(session: DatabaseSession, postgres_url: str) -> None:
    with pytest.raises(ServedAlready, match=f"process {os.getpid()} on {socket.gethostname()[:30]}"):
        DatabaseSession(postgres_url).take()
    session.close()
    second = DatabaseSession(postgres_url)
    second.take()
    second.close()


def test_a_session_that_ends_is_taken_again(session: DatabaseSession, postgres_url: str) -> None:
    lost: list[str] = []
    session.watch(lost.append)
    assert is_held(postgres_url)
    end_sessions(postgres_url)
    assert not is_held(postgres_url), "no call begins meanwhile"
    wait_for(lambda: is_held(postgres_url), "the session is taken again")
    assert lost == []
    assert session.state() == "ok"


def test_who_cannot_take_it_again_is_told_that_another_has_it(session: DatabaseSession, postgres_url: str) -> None:
    other = DatabaseSession(postgres_url)
    lost: list[str] = []
    end_sessions(postgres_url)
    other.take()
    session.watch(lost.append)
    wait_for(lambda: lost, "it is said that another server holds the database")
    assert "A server works on this database already: process" in lost[0]
    other.close()


def test_a_database_that_stays_away_is_given_up_after_a_while(
    session: DatabaseSession, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.stores.session.PATIENCE_SECONDS", 0.0)
    name = postgres_url.rpartition("/")[2].partition("?")[0]
    admin = create_engine(postgres_url.replace(name, "postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    lost: list[str] = []
    with admin.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        ending = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        connection.execute(ending, {"name": name})
        session.watch(lost.append)
        wait_for(lambda: lost, "it is given up")
        connection.exec_driver_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    assert lost[0].startswith("The database cannot be had for a minute:")


def test_an_earlier_session_of_our_own_is_ended(session: DatabaseSession, postgres_url: str) -> None:
    """The network was gone: the database has not seen the old one end, and would keep it for us for ever."""
    forgotten = session._connection
    assert forgotten is not None
    session._connection = None
    session.take()
    assert is_held(postgres_url)
    with pytest.raises(OperationalError):
        forgotten.exec_driver_sql("SELECT 1")


def test_a_job_is_claimed_once_also_past_the_lock_on_writing(session: DatabaseSession, postgres_url: str) -> None:
    """Two claims at once, each in a transaction of its own that has read before the other wrote."""
    migrate(postgres_url)
    store = SqlStore(postgres_url, Clock(), pooled=False)
    with store.write() as tx:
        JobRows(tx).add(NewJob("job_1", "test", {}, {}, None, "me"))
    claimed: list[bool] = []

    def claim_too() -> None:
        with store.engine.connect() as connection, connection.begin():
            claimed.append(RunRows(Transaction(connection, Clock())).claim_next("another") is not None)

    with store.engine.connect() as connection, connection.begin():
        claimed.append(RunRows(Transaction(connection, Clock())).claim_next("one") is not None)
        second = threading.Thread(target=claim_too)
        second.start()
        wait_for(lambda: _waits_for_a_row(postgres_url), "the second claim waits for the row of the first")
    second.join(30)
    assert claimed == [True, False]


def _waits_for_a_row(url: str) -> bool:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return connection.exec_driver_sql(waiting).first() is not None
