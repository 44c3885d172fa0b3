"""Migrations: the same tables as in the code, at once or not at all, by one start or by several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from runner.stores import group_schema
from runner.stores.database import SqlStore, sqlite_path
from runner.stores.jobs import JobRows
from runner.stores.migrate import DatabaseTooNew, alembic_config, current_revision, migrate, newest_revision

METADATA = group_schema.groups.metadata


def revision(url: str) -> str | None:
    store = SqlStore(url, pooled=False)
    with store.read() as tx:
        return current_revision(tx.connection)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'runner.db'}"


def definitions(url: str) -> dict[tuple[str, str], set[Any]]:
    """Every table and index as the database has it: columns and keys of the one in any order, the text of the other."""
    store = SqlStore(url, pooled=False)
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    with store.read() as tx:
        run = tx.connection.exec_driver_sql
        return {
            (row.type, row.name): _parts(run, row.name) if row.type == "table" else {row.sql}
            for row in run(query).all()
        }


def _parts(run: Any, table: str) -> set[Any]:
    columns = {("column", *row[1:]) for row in run(f"PRAGMA table_info({table})")}
    keys = {("key", *row[2:]) for row in run(f"PRAGMA foreign_key_list({table})")}
    unique = {
        ("unique", tuple(name for *_, name in run(f"PRAGMA index_info({row[1]})")))
        for row in run(f"PRAGMA index_list({table})").all()
        if row[3] != "c"
    }
    return columns | keys | unique


def test_migrations_make_the_tables_of_the_code(url: str, tmp_path: Path) -> None:
    migrate(url)
    plain = f"sqlite:///{tmp_path / 'plain.db'}"
    METADATA.create_all(SqlStore(plain, pooled=False).engine)
    made, wanted = definitions(url), definitions(plain)
    assert made.keys() == wanted.keys()
    assert {key: made[key] ^ wanted[key] for key in made if made[key] != wanted[key]} == {}


@pytest.mark.filterwarnings("ignore:autogenerate skipping")
def test_alembic_finds_nothing_to_change(url: str) -> None:
    migrate(url)
    store = SqlStore(url, pooled=False)
    with store.read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True, "compare_server_default": True})
        changes = compare_metadata(context, METADATA)
    assert [change for change in changes if not _is_expression(change)] == []


def _is_expression(change: Any) -> bool:
    """An index on an expression (``priority DESC``) cannot be reflected; the test above compares it by its text."""
    return bool(change[0].endswith("_index") and change[1].name == "ix_jobs_waiting")


def test_a_database_of_the_foundation_keeps_its_jobs(url: str) -> None:
    """What an earlier version wrote loads for ever."""
    store = SqlStore(url, pooled=False)
    path = sqlite_path(url)
    assert path is not None
    path.parent.mkdir(parents=True)
    with store.write() as tx:
        command.upgrade(alembic_config(tx.connection), "0002_groups")
        tx.connection.exec_driver_sql(
            "INSERT INTO jobs (id, type, status, config, options, created_at, created_by)"
            " VALUES ('old', 'count', 'failed', '{}', '{}', 5, 'me')"
        )
    migrate(url)
    with store.read() as tx:
        job = JobRows(tx).get("old")
    assert (job.status, job.ran_ms, job.timeout_ms, job.post_mortem) == ("failed", 0, None, None)


def test_what_any_event_kept_going_is_no_observation_any_more(url: str) -> None:
    """Until then contacts and private chats did; what was taken in from files stays."""
    store = SqlStore(url, pooled=False)
    path = sqlite_path(url)
    assert path is not None
    path.parent.mkdir(parents=True)
    with store.write() as tx:
        command.upgrade(alembic_config(tx.connection), "0006_webhooks")
        run = tx.connection.exec_driver_sql
        run("INSERT INTO groups (id, wa_id, account, created_at) VALUES (1, '1@g.us', 'evolution/p2', 5)")
        run("INSERT INTO webhook_accounts VALUES ('evolution/p2', 90, 90, NULL, 90, 90)")
        insert = text("INSERT INTO observations (group_id, from_ms, to_ms, source, live) VALUES (1, :f, :t, :s, :l)")
        events = "events of evolution/p2"
        for values in ((10, 90, events, True), (1, 9, events, False), (2, 8, "an export", None)):
            tx.connection.execute(insert, dict(zip("ftsl", values, strict=True)))
    migrate(url)
    with store.read() as tx:
        found = tx.connection.execute(text("SELECT from_ms, to_ms, source FROM observations")).all()
        account = tx.connection.execute(text("SELECT group_heard_at, breaks_at, heard_at FROM webhook_accounts")).one()
    assert [tuple(row) for row in found] == [(2, 8, "an export")]
    assert tuple(account) == (None, None, 90)


def test_again_changes_nothing(url: str) -> None:
    migrate(url)
    before = definitions(url)
    migrate(url)
    assert definitions(url) == before
    assert revision(url) == newest_revision()


def test_half_a_migration_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", killed)
    with pytest.raises(KeyboardInterrupt):
        migrate(url)
    assert definitions(url) == {}
    monkeypatch.undo()
    migrate(url)
    assert revision(url) == newest_revision()


def test_a_newer_database_is_refused(url: str) -> None:
    migrate(url)
    with SqlStore(url, pooled=False).write() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999_later'"))
    with pytest.raises(DatabaseTooNew, match=r"made by a newer version .it stands at 9999_later"):
        migrate(url)
