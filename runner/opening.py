"""The one place that knows which store is behind a URL, and which gateway behind a name."""

from __future__ import annotations

from collections.abc import Callable

from runner.clock import Clock
from runner.gateways.access import GatewayUnknown
from runner.gateways.opening import call_seconds, open_gateway, preload_gateway
from runner.job import JsonDict
from runner.settings import Settings
from runner.store import Store
from runner.stores.database import SqlStore

__all__ = [
    "GatewayUnknown",
    "call_seconds",
    "guard",
    "marks_of",
    "open_gateway",
    "open_job_store",
    "open_store",
    "preload_gateway",
]


def open_store(settings: Settings, clock: Clock) -> Store:
    """The server's store: keeps connections."""
    return SqlStore(settings.url, clock, pooled=True)


def open_job_store(settings: Settings, clock: Clock) -> Store:
    """A job's store: opens a connection for a transaction and lets it go."""
    return SqlStore(settings.url, clock, pooled=False, marks=settings.database_marks)


def guard(store: Store, on_lost: Callable[[], object]) -> None:
    """From here on the server's store notices when its file is removed or replaced, and tells each second.

    Raises StoreUnavailable.
    """
    if isinstance(store, SqlStore):
        store.guard(on_lost)


def marks_of(store: Store) -> JsonDict:
    """What a job needs to know its store by, beside its settings; nothing where it is no file."""
    marks = store.marks if isinstance(store, SqlStore) else None
    return {} if marks is None else {"database_marks": marks}
