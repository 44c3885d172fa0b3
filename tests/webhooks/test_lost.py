"""An event that cannot be taken in by a fault of ours: it is counted, and nobody is silent over it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.groups.inbox import Inbox
from runner.webhook import Notice
from tests.unit.groupstore import NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, WINDOW, Days
from tests.webhooks.kept import HOUR, LIMITS, Kept
from tests.webhooks.samples import ACCOUNT
from tests.webhooks.test_groups_heard import NO_MESSAGE_OF_A_GROUP, live


def poison(kept: Kept, account: str | None = ACCOUNT, at: int | None = None) -> Notice:
    """What no reader lets through, so it is put in behind them."""
    notice = kept.read(samples.message("poison", ANA, (at or kept.now) // 1000, group=WA_ID))
    object.__setattr__(notice.events[0], "key", ["cannot be looked up"])
    return replace(notice, account=account)


def lose(kept: Kept, notice: Notice) -> None:
    with pytest.raises(TypeError):
        Inbox(kept.store, LIMITS).take(notice)


def test_it_is_counted_and_ends_what_its_account_observed(days: Days) -> None:
    days.hear_until(NOW + HOUR)
    days.kept.now += 1000
    lose(days.kept, poison(days.kept))
    assert days.kept.tallies()["messages-upsert", "failed"] == 1
    assert live(days.kept) == [(NOW, NOW + HOUR, False)]
    assert days.kept.watch() is None
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], days.kept.now + HOUR)
    assert days.kept.watch() is None
    begun = days.kept.now
    days.hear_until(NOW + WINDOW + HOUR)
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == begun
    assert days.queued() == 0


def test_what_was_observed_ends_before_what_it_told(days: Days) -> None:
    """It may be late itself: sent again and again, while others came in."""
    days.hear_until(NOW + 5 * HOUR)
    lose(days.kept, poison(days.kept, at=NOW + 3 * HOUR))
    assert live(days.kept) == [(NOW, NOW + 3 * HOUR - 1, False)]


def test_of_no_known_account_it_ends_what_is_observed_of_its_group(days: Days) -> None:
    days.hear_until(NOW + HOUR)
    lose(days.kept, poison(days.kept, account=None))
    assert live(days.kept) == [(NOW, NOW + HOUR - 1, False)]
    assert days.kept.watch() is None


def test_another_account_is_heard_all_the_same(days: Days) -> None:
    days.hear_until(NOW + HOUR)
    lose(days.kept, poison(days.kept, account="evolution/other"))
    assert days.kept.watch() is not None


def test_when_it_is_taken_in_at_last_the_gap_stays(days: Days) -> None:
    days.hear_until(NOW + HOUR)
    notice = poison(days.kept)
    lose(days.kept, notice)
    lose(days.kept, notice)
    assert days.kept.tallies()["messages-upsert", "failed"] == 2
    object.__setattr__(notice.events[0], "key", "can be looked up now")
    Inbox(days.kept.store, LIMITS).take(notice)
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == NOW + HOUR
