"""Events that were turned away and come again: until they are there, nobody is removed for their silence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from runner.errors import StoreUnavailable
from runner.groups.hearing import HearingRows
from runner.groups.inbox import Inbox
from runner.groups.missed import Missed
from runner.groups.watchman import Watchman
from runner.settings import Settings
from runner.stores.database import sqlite_path
from tests.unit.groupstore import WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, Days
from tests.webhooks.kept import LIMITS, Kept
from tests.webhooks.test_groups_heard import live


def watchman(kept: Kept, missed: Missed | None = None) -> Watchman:
    return Watchman(Settings(), kept.store, kept.store.clock, missed)


def late_until(kept: Kept) -> int | None:
    with kept.store.read() as tx:
        return HearingRows(tx, LIMITS).late_until(kept.group)


@contextmanager
def locked(kept: Kept) -> Iterator[None]:
    path = sqlite_path(kept.store.url)
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("seconds", [1, 25])
def test_a_server_that_starts_was_away_however_shortly(days: Days, seconds: int) -> None:
    """Whoever spoke meanwhile was refused the connection, and is told of again seconds later."""
    days.message()
    days.kept.now += seconds * 1000
    watchman(days.kept).begin()
    until = late_until(days.kept)
    assert until is not None
    assert until > days.kept.now + 300_000
    assert [row[2] for row in live(days.kept)] == [True]  # no gap


def test_a_start_with_a_locked_database_is_told_by_the_next_beat(days: Days) -> None:
    days.message()
    starting = watchman(days.kept)
    with locked(days.kept):
        starting.begin()
    assert late_until(days.kept) is None
    starting.beat()
    assert late_until(days.kept) is not None


def test_what_was_answered_503_is_waited_for_from_the_next_beat_on(days: Days) -> None:
    days.message()
    missed = Missed()
    beating = watchman(days.kept, missed)
    beating.beat()
    assert late_until(days.kept) is None
    notice = days.kept.read(samples.message("put off", ANA, days.kept.now // 1000, group=WA_ID))
    with locked(days.kept), pytest.raises(StoreUnavailable):
        Inbox(days.kept.store, LIMITS, missed).take(notice)
    days.kept.now += 2000
    beating.beat()
    told = late_until(days.kept)
    assert told is not None
    days.kept.now += 2000
    beating.beat()  # told once
    assert late_until(days.kept) == told
