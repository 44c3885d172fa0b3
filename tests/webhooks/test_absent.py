"""We are out of a group, and what was said there before comes late: it begins no observation of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runner.groups.hearing import HearingRows
from runner.groups.member import MemberEntry
from tests.unit.groupstore import NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, Days
from tests.webhooks.kept import LIMITS, MINUTE
from tests.webhooks.samples import ACCOUNT
from tests.webhooks.test_groups_heard import live
from tests.webhooks.test_readded import US


def say(days: Days, at: int) -> None:
    days.kept.receive(samples.message(f"said at {at}", ANA, at // 1000, group=WA_ID))


def is_observed(days: Days) -> bool:
    return any(row[2] for row in live(days.kept))


@pytest.fixture
def gone(days: Days) -> Days:
    """A group that was heard, and that we have been taken out of."""
    days.kept.put(MemberEntry(lid=US, is_me=True))
    days.message()
    days.kept.now += MINUTE
    days.kept.receive(samples.participants("remove", [samples.row(US)], group=WA_ID))
    days.kept.now += MINUTE
    assert not is_observed(days)
    return days


def test_a_late_event_of_before_begins_nothing(gone: Days) -> None:
    say(gone, NOW + MINUTE - 2000)
    gone.message(group=samples.GROUP)
    assert not is_observed(gone)


def test_so_it_is_where_a_list_without_us_said_so(days: Days) -> None:
    """Also of a group of which nothing was heard before."""
    with days.kept.tx() as tx:
        HearingRows(tx, LIMITS).over(days.kept.group, ACCOUNT)
    days.kept.now += MINUTE
    say(days, NOW - 2000)
    assert not is_observed(days)
    say(days, days.kept.now)
    assert is_observed(days)


def test_what_is_said_after_it_begins_another(gone: Days) -> None:
    say(gone, gone.kept.now)
    assert is_observed(gone)
    gone.kept.now += MINUTE
    say(gone, NOW + MINUTE - 2000)
    assert is_observed(gone)


@pytest.mark.parametrize("by_waha", [False, True])
def test_our_return_begins_another_unless_it_was_before(gone: Days, by_waha: bool) -> None:
    def join(at: int) -> None:
        if by_waha:
            payload = {"group": {"id": WA_ID}, "timestamp": at}
            gone.kept.receive(samples.waha("group.v2.join", payload, session="p2", id=str(at)))
        else:
            joined = samples.participants("add", [samples.row(US)], group=WA_ID)
            gone.kept.receive(joined | {"date_time": datetime.fromtimestamp(at / 1000, UTC).isoformat()})

    other = {"id": "w", "timestamp": NOW // 1000, "from": samples.GROUP, "participant": ANA}
    gone.kept.receive(samples.waha("message", other, session="p2"))
    join(NOW + MINUTE - 2000)
    assert not is_observed(gone)
    join(gone.kept.now)
    assert is_observed(gone)


def test_an_ingest_begins_another(gone: Days) -> None:
    with gone.kept.tx() as tx:
        HearingRows(tx, LIMITS).belongs(gone.kept.group, ACCOUNT, surely=True)
    assert is_observed(gone)
