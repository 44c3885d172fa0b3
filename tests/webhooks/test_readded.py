"""Thrown out of a group and added again, and of the first nothing was told: silence from before means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from runner.groups.member import MemberEntry
from tests.unit.groupstore import DAY, NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, WINDOW, Days
from tests.webhooks.kept import HOUR, MINUTE
from tests.webhooks.test_groups_heard import live

US = "100000000000009@lid"


def added(who: str, days: Days) -> dict[str, Any]:
    return samples.participants("add", [samples.row(who)], group=WA_ID, stamp=days.kept.now)


def we_joined(days: Days) -> dict[str, Any]:
    return samples.waha("group.v2.join", {"group": {"id": WA_ID}, "timestamp": days.kept.now}, id=str(days.kept.now))


@pytest.fixture
def known(days: Days) -> Days:
    """It is known who we are."""
    days.kept.put(MemberEntry(lid=US, is_me=True))
    return days


def test_when_we_are_added_again_what_was_heard_before_is_not_without_a_gap(known: Days) -> None:
    known.hear_until(NOW + WINDOW)
    last = known.kept.now
    for _ in range(8):  # other groups are heard all the while
        known.message(group=samples.GROUP)
        known.pass_quietly(HOUR)
    back = known.kept.now
    known.kept.receive(added(US, known))
    assert live(known.kept) == [(NOW, last, False), (back, back, True)]
    known.hear_until(back + WINDOW - HOUR)
    assert known.queued() == 0
    known.hear_until(back + WINDOW)
    assert known.queued() == 1


def test_waha_says_that_we_joined(known: Days) -> None:
    def say(number: int) -> None:
        payload = {"id": f"w{number}", "timestamp": known.kept.now // 1000, "from": WA_ID, "participant": ANA}
        known.kept.receive(samples.waha("message", payload))

    say(1)
    known.kept.now += 10_000
    known.kept.receive(we_joined(known))
    assert live(known.kept) == [(NOW, NOW, False), (NOW + 10_000, NOW + 10_000, True)]


def test_when_it_is_told_late_nothing_before_it_counts(known: Days) -> None:
    """The last that was surely heard before is what came before we joined."""
    known.message()
    known.pass_quietly(10 * MINUTE)
    told = we_joined(known) | {"session": "p2"}
    known.pass_quietly(5 * MINUTE)
    known.message()
    known.kept.receive(told)
    assert [row[:2] for row in live(known.kept) if not row[2]] == [(NOW, NOW)]


def test_when_somebody_else_is_added_it_goes_on(known: Days) -> None:
    known.message()
    known.kept.now += MINUTE
    known.kept.receive(added("100000000000077@lid", known))
    assert live(known.kept) == [(NOW, NOW + MINUTE, True)]


def test_who_we_are_is_known_by_the_envelope_too(days: Days) -> None:
    """Where a group is listed by lids alone, and we never wrote in it, nothing else says which of them is ours."""
    ours = samples.row("900000000000009@lid", "5511900000000@s.whatsapp.net")
    sender = "5511900000000@s.whatsapp.net"
    days.hear_until(NOW + HOUR)
    days.kept.receive(samples.participants("remove", [ours], group=WA_ID, sender=sender))
    assert days.kept.watch(0) is None
    days.hear_until(NOW + 3 * DAY, group=samples.GROUP)
    days.kept.receive(samples.participants("add", [ours], group=WA_ID, sender=sender))
    back = days.kept.now
    days.message()
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == back
    assert days.kept.member("900000000000009@lid").is_me


def test_that_another_number_of_ours_comes_ends_nothing(days: Days) -> None:
    """Each of our instances tells of it, and the one that comes says that it is itself."""
    ours = samples.row("900000000000008@lid", "5511900000088@s.whatsapp.net")
    days.hear_until(NOW + 3 * DAY)
    before = days.kept.watch()
    for instance, sender in (("other", "5511900000088@s.whatsapp.net"), ("p2", "5511900000000@s.whatsapp.net")):
        body = samples.participants("add", [ours], group=WA_ID, sender=sender)
        days.kept.receive(body | {"instance": instance})
    days.message()
    assert before is not None
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == before.since
