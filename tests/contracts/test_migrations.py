"""What migrations make of a database, and of the rows in it: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, column, insert, select, table

from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows, Limits
from runner.groups.member import MemberEntry, MemberRows
from runner.stores import group_schema
from runner.stores.database import SqlStore
from runner.stores.migrate import alembic_config, current_revision, migrate, newest_revision

METADATA = group_schema.groups.metadata
LIMITS = Limits(silence_ms=43_200_000, reconnect_ms=600_000)
LATE = 1_750_000_000_000
_OF_NO_CONCERN = {
    *("job_secrets", "batches", "batch_items", "idempotency_keys", "job_events", "tokens"),
    *("polls", "gateway_versions"),
}
OLD_JOBS = """
    INSERT INTO jobs (id, type, status, config, options, created_at, created_by)
    VALUES ('old', 'count', 'failed', '{}', '{"a": [1, "ü"]}', 1750000000000, 'me')
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    on_sqlite = request.param == "sqlite"
    return f"sqlite:///{tmp_path / 'runner.db'}" if on_sqlite else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def stores(tmp_path: Path, postgres_url: str) -> Iterator[list[SqlStore]]:
    found = [SqlStore(url, pooled=False) for url in (f"sqlite:///{tmp_path / 'runner.db'}", postgres_url)]
    yield found
    for store in found:
        store.close()


def upgrade(store: SqlStore, revision: str, fill: Callable[[Connection], None]) -> None:
    with store.write() as tx:
        command.upgrade(alembic_config(tx.connection), revision)
        fill(tx.connection)


def put(connection: Connection, name: str, /, **values: Any) -> None:
    """Into a table as it was then, which may be another than the code's."""
    connection.execute(insert(table(name, *map(column, values))).values(values))


def old_groups(connection: Connection) -> None:
    """As a version without access and webhooks wrote them."""
    connection.exec_driver_sql(OLD_JOBS)
    for n in (1, 2):
        both = {"group_id": n, "person_id": n}
        put(connection, "groups", wa_id=f"{n}@g.us", name="Bär", created_at=LATE)
        put(connection, "people", lid=f"{n}@lid", pn=f"{n}@s.whatsapp.net", name="Zoë")
        seen = {"first_seen_at": LATE, "last_active_at": LATE + 1}
        put(connection, "memberships", **both, role="member", is_me=n == 2, **seen)
        put(connection, "whitelist", **both, created_at=LATE)
        put(connection, "removal_queue", **both, created_at=LATE, reason="by hand")
        put(connection, "removal_history", **both, job_id="old", at=LATE, outcome="SUCCESS", reason="s", via="roster")
        put(connection, "observations", group_id=n, from_ms=LATE - 9, to_ms=LATE, source="chat export")
        put(connection, "author_matches", **both, name="Ana")
        times = {"first_at": LATE, "last_at": LATE}
        put(connection, "unmatched_authors", group_id=n, name="Bo", messages=3, **times, source="chat.txt")
        put(connection, "roster_removals", **both, removed_at=LATE)
        put(connection, "job_people", job_id="old", person_id=n)


def old_events(connection: Connection) -> None:
    """As the first version with webhooks wrote them: 0007 ends what it observed."""
    connection.exec_driver_sql("UPDATE groups SET account = 'evolution/p2'")
    times = {"heard_at": LATE, "open_at": LATE, "alive_at": LATE, "extended_at": LATE}
    put(connection, "webhook_accounts", account="evolution/p2", **times)
    put(connection, "webhook_messages", group_id=1, message_id="ABC", seen_at=LATE)
    put(connection, "webhook_counts", event="messages-upsert", outcome="stored", number=5, last_at=LATE)
    for begin, end, live in ((10, LATE, True), (1, 9, False)):
        put(connection, "observations", group_id=1, from_ms=begin, to_ms=end, source="events", live=live)


def rows(store: SqlStore) -> dict[str, list[Any]]:
    with store.read() as tx:
        run = tx.connection.execute
        tables = METADATA.sorted_tables
        return {one.name: [tuple(row) for row in run(select(one).order_by(*one.primary_key))] for one in tables}


@pytest.mark.filterwarnings("ignore:autogenerate skipping")
def test_from_nothing_to_the_tables_of_the_code(url: str) -> None:
    migrate(url)
    migrate(url)
    store = SqlStore(url, pooled=False)
    with store.read() as tx:
        assert current_revision(tx.connection) == newest_revision()
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True, "compare_server_default": True})
        changes = compare_metadata(context, METADATA)
    # An index on an expression (priority DESC) cannot be reflected.
    assert [one for one in changes if not (one[0].endswith("_index") and one[1].name == "ix_jobs_waiting")] == []
    store.close()


def test_several_starts_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    starts = [context.Process(target=migrate, args=(url,)) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join(60)
    assert [start.exitcode for start in starts] == [0, 0, 0, 0]
    store = SqlStore(url, pooled=False)
    with store.read() as tx:
        assert current_revision(tx.connection) == newest_revision()
    store.close()


def test_what_earlier_versions_wrote_is_the_same_after_it_on_both(stores: list[SqlStore]) -> None:
    for store in stores:
        upgrade(store, "0004_settling", old_groups)
        upgrade(store, "0006_webhooks", old_events)
        migrate(store.url)
    on_sqlite, on_postgresql = (rows(store) for store in stores)
    assert on_sqlite == on_postgresql
    assert {name for name, found in on_sqlite.items() if not found} == _OF_NO_CONCERN
    assert [row[2:] for row in on_sqlite["observations"]] == 2 * [(LATE - 9, LATE, "chat export", None)]


def test_what_comes_after_it_is_written_as_ever(stores: list[SqlStore]) -> None:
    for store in stores:
        upgrade(store, "0004_settling", old_groups)
        migrate(store.url)
        with store.write() as tx:
            group = GroupRows(tx).get("1@g.us")
            HearingRows(tx, LIMITS).belongs(group, "evolution/p2")
            MemberRows(tx).put(group, MemberEntry(lid="9@lid"), LATE)
            tx.connection.execute(
                insert(group_schema.observations).values(group_id=1, from_ms=1, to_ms=2, source="x", live=True)
            )
    on_sqlite, on_postgresql = (rows(store) for store in stores)
    assert on_sqlite == on_postgresql
    assert len(on_sqlite["people"]) == 3
