"""The world of one run: a folder and a store of its own, and a time that passes only where somebody sleeps."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from runner.clock import Clock
from runner.opening import open_job_store
from runner.settings import Settings, sqlite_url
from runner.store import Store
from runner.stores.migrate import migrate
from runner.warm import warm_up

EFFECTS = "effects.txt"
DATABASE = "runner.db"
_FIRST_MOMENT = 1_750_000_000_000
_DATABASE_FILES = frozenset({DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal"})


class World:
    """What ``setup`` fills before each run, and what its effects are read from afterwards.

    ``folder``: empty at first; it is the run's ``settings.home``. ``store``: empty too, on SQLite in that folder.
    What a run does must leave its mark in one of them, since every run is a process of its own: a list in the
    test's memory stays empty. The same two are used again, emptied, for the next run.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        effects: Callable[[World], list[str]] | None = None,
        scratch: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.passed = 0.0
        self.clock = Clock(
            lambda: _FIRST_MOMENT + int(self.passed * 1000), lambda: 1000.0 + self.passed, "the boot of a test"
        )
        own: dict[str, Any] = {"home": folder, "database_url": sqlite_url(folder / DATABASE), "min_delay_ms": 0}
        self.settings = Settings(_env_file=None, **(own | dict(settings)))
        self._effects = effects or World.noted
        self._scratch = scratch
        folder.mkdir(parents=True, exist_ok=True)
        _warm_up_once()  # each run inherits what was compiled here
        self.store: Store = open_job_store(self.settings, self.clock)
        self._engine: Engine | None = None

    def renew(self) -> None:
        """An empty folder, a store with nothing in it, and the first moment."""
        self.passed = 0.0
        shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        (self.folder / DATABASE).write_bytes(_empty_database())
        if self._engine is None:
            with self.store.read() as tx:
                self._engine = tx.connection.engine
            event.listen(self._engine, "connect", _in_no_hurry_to_the_disk)

    def close(self) -> None:
        if self._engine is not None:
            event.remove(self._engine, "connect", _in_no_hurry_to_the_disk)
        self.store.close()

    def note(self, effect: str) -> None:
        """Notes an effect, durably: for stand-ins that take the place of what a workflow would really act on."""
        descriptor = os.open(self.folder / EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, effect.encode() + b"\n")
        finally:
            os.close(descriptor)

    def noted(self) -> list[str]:
        """The lines of ``effects.txt`` in the folder, whoever wrote them."""
        path = self.folder / EFFECTS
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def effects(self) -> list[str]:
        """All effects there have been, in order: as ``effects=`` tells them, else as they were noted."""
        return [str(effect) for effect in self._effects(self)]

    def look(self) -> Look:
        return Look(self.effects(), dict(self._files()), self._rows())

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.is_file() and name not in _DATABASE_FILES and not any(fnmatch(name, one) for one in self._scratch):
                yield name, path.read_bytes()

    def _rows(self) -> dict[str, list[str]]:
        """Every row of every table, whoever made it."""
        connection = sqlite3.connect(self.folder / DATABASE)
        try:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: _rows_of(connection, name) for name in names}
        finally:
            connection.close()


class Look:
    """What was there at one moment, so that it can be told what came after."""

    def __init__(self, effects: list[str], files: dict[str, bytes], rows: dict[str, list[str]]) -> None:
        self._effects, self._files, self._rows = effects, files, rows

    def what_is_new(self, later: Look) -> list[str]:
        """In words, one line for each thing."""
        fresh = later._effects[len(self._effects) :] if later._effects != self._effects else []
        said = [f"the effect {effect!r}" for effect in fresh]
        names = sorted(self._files.keys() | later._files.keys())
        changed = [name for name in names if self._files.get(name) != later._files.get(name)]
        said += [f"a change to the file {name}" for name in changed if not (fresh and name == EFFECTS)]
        tables = [name for name, rows in later._rows.items() if rows != self._rows.get(name)]
        return said + [f"a change in the table {name}{self._columns(later, name)}" for name in tables]

    def _columns(self, later: Look, table: str) -> str:
        """Which columns changed, where it is only rows that changed."""
        before, after = ([json.loads(row) for row in look._rows.get(table, [])] for look in (self, later))
        if len(before) != len(after):
            return f" ({len(after) - len(before):+d} rows)"
        names = {name for old, new in zip(before, after, strict=True) for name in new if old[name] != new[name]}
        return f" ({', '.join(sorted(names - {'revision'}))})"


def _rows_of(connection: sqlite3.Connection, table: str) -> list[str]:
    found = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - the name is the database's own
    names = [column[0] for column in found.description]
    return [json.dumps(dict(zip(names, row, strict=True)), default=repr) for row in found]


def _in_no_hurry_to_the_disk(connection: Any, _record: object) -> None:
    """Processes die here, never the machine: what was handed to the system is not lost."""
    connection.execute("PRAGMA synchronous=OFF").close()


_warm_up_once = functools.cache(warm_up)


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE
        migrate(sqlite_url(path))
        return path.read_bytes()
