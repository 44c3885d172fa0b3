"""The server's own database, for commands that work on it themselves, whether the server runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from runner.clock import Clock
from runner.errors import RunnerError
from web.configuration import WrongConfiguration, check_database_url, check_home, read_settings, unusable_database
from web.printing import complain

if TYPE_CHECKING:  # what needs database code is loaded by the command that runs, not by `runner --help`
    from runner.settings import Settings
    from runner.store import Store

REFUSED, WRONG_CONFIGURATION = 1, 78


@contextmanager
def opened_store(*refusals: type[Exception]) -> Iterator[Store]:
    """The store, brought up to date first. A RunnerError, an OSError and ``refusals`` end the command in a sentence."""
    from runner.opening import open_store

    try:
        settings = read_and_migrate()
    except (WrongConfiguration, RunnerError, OSError) as error:
        complain(error)
        raise typer.Exit(WRONG_CONFIGURATION) from None
    store = open_store(settings, Clock())
    known: tuple[type[Exception], ...] = (RunnerError, OSError, *refusals)
    try:
        yield store
    except known as error:
        complain(error)
        raise typer.Exit(REFUSED) from None
    finally:
        store.close()


def read_and_migrate() -> Settings:
    """The settings, and their database brought up to date. Raises WrongConfiguration, RunnerError, OSError."""
    from sqlalchemy.exc import SQLAlchemyError

    from runner.stores.migrate import migrate

    settings = read_settings()
    check_home(settings)
    check_database_url(settings)
    try:
        migrate(settings.url)
    except SQLAlchemyError as error:
        raise unusable_database(settings, error) from error
    return settings
