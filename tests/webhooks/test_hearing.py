"""Whether silence was watched: what is one observation, what is a gap, and that nobody is removed over one."""

from __future__ import annotations

from typing import Any

import pytest

from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows
from runner.groups.judgement import look_again
from runner.groups.member import MemberEntry
from runner.groups.queue import QueueRows
from tests.unit.groupstore import DAY, NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, WINDOW, Days
from tests.webhooks.kept import HOUR, LIMITS, MINUTE, Kept
from tests.webhooks.samples import ACCOUNT, connection

START = NOW


def test_the_first_event_of_a_group_begins_its_observation_and_others_carry_it_on(days: Days) -> None:
    days.message(group=samples.GROUP)
    assert days.kept.watch() is None
    days.kept.now += HOUR
    days.message()
    days.kept.now += 5 * MINUTE
    days.hear_until(START + 6 * HOUR, group=samples.GROUP)
    watch = days.kept.watch()
    assert watch is not None
    assert (watch.since, watch.until) == (START + HOUR, START + 6 * HOUR)


def test_whoever_was_silent_for_the_whole_of_a_watched_window_is_queued(days: Days) -> None:
    days.hear_until(START + WINDOW + 12 * HOUR)
    assert days.queued() == 1


def _closed_for(days: Days, span: int) -> None:
    days.kept.receive(connection("close"))
    days.pass_quietly(span)
    days.kept.receive(connection("open"))


def _lost_for(days: Days, span: int) -> None:
    days.kept.look(ACCOUNT, True)
    days.pass_quietly(span)
    days.kept.receive(connection("connecting"), connection("connecting"), connection("open"))


def _opened_unannounced_after(days: Days, span: int) -> None:
    days.kept.look(ACCOUNT, True)
    days.pass_quietly(span)
    days.kept.receive(connection("open"))


def _lost_for_a_moment_unlooked_at_after(days: Days, span: int) -> None:
    days.pass_quietly(span)
    days.kept.receive(connection("connecting"), connection("open"))


def _opened_unlooked_at_after(days: Days, span: int) -> None:
    days.kept.look(ACCOUNT, True)
    days.pass_quietly(16 * MINUTE)  # the key is refused from then on
    days.message()
    days.pass_quietly(span)
    days.kept.receive(connection("open"))


def _lost_unlooked_at_for(days: Days, span: int) -> None:
    days.pass_quietly(HOUR)
    days.kept.receive(connection("connecting"))
    days.pass_quietly(span)
    days.kept.receive(connection("open"))


def _silent_for(days: Days, span: int) -> None:
    days.pass_quietly(span)


def _server_away_for(days: Days, span: int) -> None:
    days.pass_quietly(span, server=False)
    days.restart()


def _gateway_unreachable_for(days: Days, span: int) -> None:
    days.kept.look(ACCOUNT, True)
    days.kept.look(ACCOUNT, False)
    days.pass_quietly(span)
    days.kept.look(ACCOUNT, True)


GAPS = [
    (_closed_for, 11 * MINUTE),
    (_lost_for, 14 * MINUTE),
    (_opened_unannounced_after, 14 * MINUTE),
    (_lost_unlooked_at_for, 11 * MINUTE),
    (_lost_for_a_moment_unlooked_at_after, 3 * HOUR),
    (_opened_unlooked_at_after, 3 * HOUR),
    (_silent_for, 13 * HOUR),
    (_server_away_for, 11 * MINUTE),
    (_gateway_unreachable_for, 11 * MINUTE),
]
NO_GAPS = [
    (_closed_for, 9 * MINUTE),
    (_lost_for, 2 * MINUTE),
    (_opened_unannounced_after, 2 * MINUTE),
    (_lost_for_a_moment_unlooked_at_after, 2 * HOUR),
    (_opened_unlooked_at_after, 2 * HOUR),
    (_lost_unlooked_at_for, 9 * MINUTE),
    (_silent_for, 11 * HOUR),
    (_server_away_for, 9 * MINUTE),
    (_gateway_unreachable_for, 9 * MINUTE),
]


@pytest.mark.parametrize(("happens", "span"), GAPS, ids=lambda given: getattr(given, "__name__", None))
def test_nobody_is_removed_over_a_gap(days: Days, happens: Any, span: int) -> None:
    days.hear_until(START + DAY)
    happens(days, span)
    begun_anew = days.kept.now
    days.hear_until(START + WINDOW + 12 * HOUR)
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == begun_anew
    assert days.queued() == 0
    days.hear_until(begun_anew + WINDOW)
    assert days.queued() == 1


@pytest.mark.parametrize(("happens", "span"), NO_GAPS, ids=lambda given: getattr(given, "__name__", None))
def test_what_is_shorter_is_no_gap(days: Days, happens: Any, span: int) -> None:
    days.hear_until(START + DAY)
    happens(days, span)
    days.hear_until(START + WINDOW + 12 * HOUR)
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == START
    assert days.queued() == 1


def test_where_nobody_looks_events_are_waited_for_after_a_reconnect(days: Days) -> None:
    days.message()
    for _ in range(24):
        days.kept.now += 30_000
        days.kept.beat()
    with days.kept.tx() as tx:
        assert HearingRows(tx, LIMITS).late_until(GroupRows(tx).get(WA_ID)) is None
    days.kept.receive(connection("connecting"), connection("open"))
    with days.kept.tx() as tx:
        assert HearingRows(tx, LIMITS).late_until(GroupRows(tx).get(WA_ID)) is not None


def test_whoever_is_queued_when_a_gap_comes_is_left_and_it_is_said_why(days: Days) -> None:
    days.hear_until(START + WINDOW + 12 * HOUR)
    assert days.queued() == 1
    _closed_for(days, HOUR)
    days.message()
    with days.kept.tx() as tx:
        group = GroupRows(tx).get(WA_ID)
        (finding,) = look_again(tx, group, QueueRows(tx).list(group), DAY)
    assert (finding.outcome, finding.stays) == ("skipped", True)
    assert finding.reason == "activity is not known for the whole window; stays in the queue"


@pytest.mark.parametrize("stopped", [_silent_for, _closed_for])
def test_when_events_have_stopped_nobody_is_inactive_any_more(days: Days, stopped: Any) -> None:
    """The slack of a day is for files, and for what goes on: not for what is known to have ended."""
    days.hear_until(START + WINDOW + 12 * HOUR)
    if stopped is _closed_for:
        days.kept.receive(connection("close"))
    days.pass_quietly(13 * HOUR if stopped is _silent_for else 11 * MINUTE)
    days.kept.beat()
    assert days.kept.watch() is None
    assert days.queued() == 0


def test_an_export_made_after_a_gap_bridges_it(days: Days) -> None:
    days.hear_until(START + DAY)
    _closed_for(days, 5 * HOUR)
    days.hear_until(START + WINDOW + 12 * HOUR)
    assert days.queued() == 0
    days.kept.observed(START + 20 * HOUR, START + 40 * HOUR, "chat export")
    assert days.queued() == 1


def test_that_the_gateway_says_it_is_connected_lengthens_nothing(days: Days) -> None:
    days.message()
    for _ in range(20):
        days.pass_quietly(HOUR)
        days.kept.look(ACCOUNT, True)
    assert days.kept.watch() is None


def test_a_gap_ends_the_observations_of_all_groups_of_the_account_and_no_other(days: Days) -> None:
    kept = days.kept
    with kept.tx() as tx:
        other = GroupRows(tx).create(samples.GROUP)
        HearingRows(tx, LIMITS).belongs(other, "waha/default")
    days.message()
    kept.receive(samples.waha("session.status", {"status": "WORKING"}))
    _silent_for(days, 13 * HOUR)
    assert kept.beat() == []
    assert kept.watch() is None


def test_when_we_are_thrown_out_the_observation_ends_at_once(days: Days) -> None:
    us = "100000000000009@lid"
    days.kept.put(MemberEntry(lid=us, is_me=True))
    days.message()
    days.kept.now += HOUR
    days.message()
    days.kept.receive(samples.participants("remove", [samples.row(us)], group=WA_ID))
    days.kept.now += HOUR
    days.kept.receive(samples.evolution("presence.update", {}))
    assert days.kept.watch() is None


def test_waha_is_not_forgiven_half_a_minute_without_a_server(kept: Kept) -> None:
    def say(number: int) -> None:
        payload = {"id": f"w{number}", "timestamp": kept.now // 1000, "from": WA_ID, "participant": ANA}
        kept.receive(samples.waha("message", payload))

    say(1)
    kept.now += 30_000
    kept.beat()
    say(2)
    watch = kept.watch()
    assert watch is not None
    assert watch.since == START + 30_000


@pytest.mark.parametrize("together", [False, True])
def test_what_was_said_before_the_connection_went_does_not_say_that_it_stands(days: Days, together: bool) -> None:
    """It was turned away and comes again, in any order; what is said after it went does say so."""
    days.hear_until(START + HOUR)
    closed_at = days.kept.now + MINUTE
    late = [samples.message(f"late {number}", ANA, days.kept.now // 1000, group=WA_ID) for number in range(2)]
    days.kept.now = closed_at
    days.kept.receive(connection("close"))
    days.kept.now += MINUTE
    days.kept.receive(*late, together=together)
    line = days.kept.line(ACCOUNT)
    assert line is not None
    assert (line.down_since, line.group_heard_at) == (closed_at, START + HOUR)
    days.pass_quietly(HOUR)
    days.kept.receive(connection("open"))
    days.message()
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == days.kept.now, "it was down for longer than is no gap"


def test_of_many_at_once_what_a_connection_said_last_counts(days: Days) -> None:
    days.hear_until(START + HOUR)
    days.kept.now += MINUTE
    days.kept.receive(connection("close"), connection("open"), connection("close"), together=True)
    line = days.kept.line(ACCOUNT)
    assert line is not None
    assert line.down_since == days.kept.now


@pytest.mark.parametrize("event", ["application.startup", "an.event.of.tomorrow"])
def test_what_tells_nothing_of_the_connection_does_not_shorten_how_long_it_was_away(days: Days, event: str) -> None:
    """A gateway that was away for hours may send it first when it begins anew."""
    days.hear_until(START + HOUR)
    days.pass_quietly(9 * HOUR)
    days.kept.receive(samples.evolution(event, {}), connection("connecting"), connection("open"))
    days.message()
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == days.kept.now


def test_what_is_said_after_the_connection_went_says_that_it_stands_again(days: Days) -> None:
    days.hear_until(START + HOUR)
    days.kept.receive(connection("close"))
    days.kept.now += MINUTE
    days.message()
    line = days.kept.line(ACCOUNT)
    assert line is not None
    assert (line.down_since, line.group_heard_at) == (None, days.kept.now)
