"""What the database itself saw, in the order of its commits: triggers write it down as part of each transaction.

No clock has a say in it: two rows of one millisecond still come one after the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HELD = "claimed_at IS NOT NULL AND released_at IS NULL"
_PROCESSED = "coalesce(json_extract({row}.progress, '$.processed'), 0)"
_SEEN = {
    "status": ("UPDATE OF status ON jobs", "OLD.status <> NEW.status", "NEW.id", "OLD.status", "NEW.status"),
    "processed": (
        "UPDATE OF progress ON jobs",
        f"{_PROCESSED.format(row='OLD')} <> {_PROCESSED.format(row='NEW')}",
        "NEW.id",
        _PROCESSED.format(row="OLD"),
        _PROCESSED.format(row="NEW"),
    ),
    "cancel": (
        "UPDATE OF cancel_requested_at ON jobs",
        "OLD.cancel_requested_at IS NOT NEW.cancel_requested_at",
        "NEW.id",
        "OLD.cancel_requested_at",
        "NEW.cancel_requested_at",
    ),
    "claim": (
        "UPDATE OF epoch ON jobs",
        "OLD.epoch <> NEW.epoch",
        "NEW.id",
        "NEW.epoch",
        f"(SELECT count(*) FROM jobs WHERE lock_key = NEW.lock_key AND id <> NEW.id AND {_HELD})",  # noqa: S608 - all of it is ours
    ),
    "intent": ("INSERT ON batches", "NEW.intended_at IS NOT NULL", "NEW.job_id", "NEW.seq", "NEW.epoch"),
    "call": ("UPDATE OF called_at ON batches", "1", "NEW.job_id", "NEW.seq", "NEW.epoch"),
}
"""What is seen: on which change, under which condition, of which job, and two values, by name."""


@dataclass(frozen=True)
class Sight:
    """One change. status, processed, cancel: from ``was`` to ``became``. claim: its epoch, and how many others held
    its lock. intent, call: the number of the batch, and the epoch.
    """

    seq: int
    job_id: str
    what: str
    was: Any
    became: Any


def install(database: Path) -> None:
    """On a database that has its tables, before anybody works on it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE seen (seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id, what, was, became)")
        for what, (change, condition, *values) in _SEEN.items():
            columns = ", ".join([values[0], f"'{what}'", *values[1:]])
            row = f"INSERT INTO seen (job_id, what, was, became) VALUES ({columns})"  # noqa: S608 - all of it is ours
            connection.execute(f"CREATE TRIGGER seen_{what} AFTER {change} WHEN {condition} BEGIN {row}; END")
        connection.commit()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can write meanwhile."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def seen(database: Path) -> list[Sight]:
    """All of it, in order."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [Sight(*row) for row in connection.execute("SELECT * FROM seen ORDER BY seq")]


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """What the database says, past the runner's own reading of it."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
