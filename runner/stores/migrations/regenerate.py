"""``python -m runner.stores.migrations.regenerate`` writes the first migrations anew from the tables as they are.

For the time before the first release only: from then on databases exist that have run them, so this file goes, and
changes come by further migrations.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import CreateIndexOp, CreateTableOp, MigrateOperation, UpgradeOps
from sqlalchemy import Table, create_engine

from runner.stores import group_schema, schema

VERSIONS = Path(__file__).with_name("versions")

_HEAD = '''"""{title}

Written by ``python -m runner.stores.migrations.regenerate`` until the first release, and never changed after it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down_revision}


def _where(condition: str) -> dict[str, Any]:
    return {{"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}}


'''
_WHERE = re.compile(r"sqlite_where=sa\.text\((?P<said>.+?)\), postgresql_where=sa\.text\((?P=said)\)")


def write(folder: Path = VERSIONS) -> None:
    of_jobs = {table.name for table in vars(schema).values() if isinstance(table, Table)}
    tables = schema.metadata.sorted_tables
    jobs = [table for table in tables if table.name in of_jobs]
    groups = [table for table in tables if table.name in vars(group_schema)]
    _write(folder, "The tables of jobs and their ledger.", "0001_foundation", None, jobs)
    _write(folder, "The tables of groups, members and removals.", "0002_groups", "0001_foundation", groups)


def _write(folder: Path, title: str, revision: str, down_revision: str | None, tables: list[Table]) -> None:
    with create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(connection)
        columns = [_columns(table, context) for table in tables]
        calls = [call for table in tables for call in _calls(table, context)]
    head = _HEAD.format(title=title, revision=revision, down_revision=down_revision and f'"{down_revision}"')
    upgrade = "\n\n\ndef upgrade() -> None:\n" + "\n".join(calls) + "\n"
    path = folder / f"{revision}.py"
    path.write_text(head + "\n\n".join(columns) + upgrade, encoding="utf-8")
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([str(ruff), "format", "--quiet", str(path)], check=True)


def _columns(table: Table, context: MigrationContext) -> str:
    """A table's columns as a constant: a function of so many lines would be too long to read."""
    body = _render(CreateTableOp.from_table(table), context)
    inside = re.sub(r"^op\.create_table\(\s*'\w+',", "", body).rsplit(")", 1)[0]
    return f"{table.name.upper()}: tuple[Any, ...] = ({inside.replace('sqlite_autoincrement=True', '')})"


def _calls(table: Table, context: MigrationContext) -> list[str]:
    numbered = ", sqlite_autoincrement=True" if table.dialect_options["sqlite"]["autoincrement"] else ""
    created = f'    op.create_table("{table.name}", *{table.name.upper()}{numbered})'
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    return [created, *("    " + _render(CreateIndexOp.from_index(index), context) for index in indexes)]


def _render(operation: MigrateOperation, context: MigrationContext) -> str:
    code = render_python_code(UpgradeOps([operation]), migration_context=context)
    lines = (line.replace(", nullable=True", "") for line in code.splitlines() if not line.strip().startswith("#"))
    return _WHERE.sub(r"**_where(\g<said>)", "\n".join(lines)).replace(", unique=False", "").strip()


if __name__ == "__main__":
    write()
