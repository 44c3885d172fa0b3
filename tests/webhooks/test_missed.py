"""Events that were turned away and come again: until they are there, nobody is removed for their silence."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from waitress.adjustments import Adjustments

from runner.errors import StoreUnavailable
from runner.groups.hearing import OLDEST_MS, HearingRows
from runner.groups.inbox import Inbox
from runner.groups.missed import Missed, Misses
from runner.groups.refused import Refusal
from runner.groups.watchman import Watchman
from runner.settings import Settings
from runner.stores.database import sqlite_path
from tests.unit.groupstore import NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, Days
from tests.webhooks.kept import HOUR, LIMITS, Kept
from tests.webhooks.sender import SECRET, WAHA_KEY
from tests.webhooks.test_groups_heard import live
from web.intake import BODY_BYTES, parser_for


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


def test_only_whose_events_were_answered_503_is_waited_for(days: Days) -> None:
    days.message()
    missed = Missed()
    beating = watchman(days.kept, missed)
    missed.put_off("waha/default")
    beating.beat()
    assert late_until(days.kept) is None
    missed.put_off(samples.ACCOUNT)
    beating.beat()
    assert late_until(days.kept) is not None


def test_where_nobody_knows_whose_they_were_every_account_is(days: Days) -> None:
    days.message()
    missed = Missed()
    missed.put_off()
    watchman(days.kept, missed).beat()
    assert late_until(days.kept) is not None


def test_what_was_too_large_outlives_a_server_that_is_killed_before_its_next_beat(days: Days, tmp_path: Path) -> None:
    days.message()
    path = tmp_path / "missed.journal"
    Missed(path).too_large("evolution")
    starting = watchman(days.kept, Missed(path))
    with locked(days.kept):
        starting.begin()
    assert path.exists()
    starting.beat()
    assert not path.exists()
    assert days.kept.watch() is None
    assert days.kept.tallies()["too-large", "failed"] == 1


def test_what_comes_while_it_is_noted_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "missed.journal"
    missed = Missed(path)
    missed.too_large("evolution")
    with missed.taken():
        missed.too_large("evolution")
    assert path.exists()
    with missed.taken() as more:
        assert more.too_large == 1
    assert not path.exists()


def test_what_may_be_anybodys_hurries_nobody(tmp_path: Path) -> None:
    """Else whoever can reach the server would have it write as often as it can."""
    path = tmp_path / "missed.journal"
    missed = Missed(path)
    missed.too_large(None)
    assert not missed.is_urgent
    assert not path.exists()
    missed.too_large("evolution")
    assert missed.is_urgent


def test_what_was_too_large_ends_what_its_gateway_observed_and_is_counted(days: Days) -> None:
    """Nobody knows who said it, of which account, nor when: it may be sent for the tenth time."""
    days.hear_until(NOW + 2 * HOUR, every=HOUR)
    missed = Missed()
    missed.too_large("evolution")
    beating = watchman(days.kept, missed)
    with locked(days.kept), pytest.raises(StoreUnavailable):
        beating.beat()
    days.kept.now += 1000
    beating.beat()
    assert days.kept.tallies()["too-large", "failed"] == 1
    assert live(days.kept) == [(NOW, days.kept.now - OLDEST_MS - 1, False)]
    assert days.kept.watch() is None
    beating.beat()
    assert days.kept.tallies()["too-large", "failed"] == 1
    begun = days.kept.now
    days.message()
    assert live(days.kept)[1:] == [(begun, begun, True)]


@pytest.mark.parametrize("proven", [None, "waha"])
def test_what_may_be_anybodys_is_counted_and_ends_nothing(days: Days, proven: str | None) -> None:
    """Nor does what was another gateway's."""
    days.message()
    missed = Missed()
    missed.too_large(proven)
    watchman(days.kept, missed).beat()
    assert days.kept.tallies()["too-large", "failed"] == 1
    assert days.kept.watch() is not None


def refused(path: str, size: int | None, secret: str = SECRET) -> Misses:
    """``size``: as it is announced; None: it is not, and more than anybody may send comes in pieces."""
    missed = Missed()
    settings = Settings(webhook_secret=SecretStr(SECRET), waha_hmac_key=SecretStr(WAHA_KEY))
    parser: Any = parser_for(settings, missed)(Adjustments(max_request_body_size=BODY_BYTES))
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    parser.received(f"POST {path} HTTP/1.1\r\nX-Webhook-Secret: {secret}\r\n{length}\r\n\r\n".encode())
    piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    while size is None and not parser.completed:
        parser.received(piece)
    parser.close()
    with missed.taken() as misses:
        return misses


ONE = Counter([Refusal.TOO_LARGE])


@pytest.mark.parametrize(
    ("path", "size", "secret", "misses"),
    [
        ("/webhook", 16_000_000, SECRET, Misses(too_large=1, lost_of=frozenset(["evolution"]), refused=ONE)),
        ("/messages-upsert", None, SECRET, Misses(too_large=1, lost_of=frozenset(["evolution"]), refused=ONE)),
        ("/webhook", 15_000_000, SECRET, Misses()),
        ("/webhook", 16_000_000, "another", Misses(refused=ONE)),
        ("/webhook/waha", 2_000_000, "none", Misses(too_large=1, refused=ONE)),
        ("/webhook/waha", 1_000_000, "none", Misses()),
        ("/admin/jobs/start", 16_000_000, SECRET, Misses()),
    ],
    ids=["its size", "in pieces", "small enough", "of anybody", "waha", "waha, small enough", "no webhook"],
)
def test_what_is_refused_for_its_size_is_told_of(path: str, size: int | None, secret: str, misses: Misses) -> None:
    assert refused(path, size, secret) == misses
