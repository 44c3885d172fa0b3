"""Only messages of groups prove that messages of groups come in: without them nobody is silent, whatever else comes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows
from runner.groups.member import MemberEntry
from runner.groups.summary import summary_of
from runner.stores.group_schema import observations
from tests.unit.groupstore import DAY, NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, WINDOW, Days
from tests.webhooks.kept import HOUR, LIMITS, MINUTE, Kept
from tests.webhooks.samples import ACCOUNT, connection

PRIVATE = "5511900000001@s.whatsapp.net"
SECONDS = NOW // 1000


def waha_message(event: str, *, from_me: bool = False, group: str = WA_ID) -> dict[str, Any]:
    payload = {"id": f"w-{event}-{from_me}", "timestamp": SECONDS, "from": group, "participant": ANA, "fromMe": from_me}
    return samples.waha(event, payload)


NO_MESSAGE_OF_A_GROUP = {
    "contacts": samples.evolution("contacts.update", [{"remoteJid": PRIVATE}]),
    "presence": samples.evolution("presence.update", {"id": WA_ID, "presences": {}}),
    "a private chat": samples.message("p1", None, SECONDS, group=PRIVATE),
    "who joined": samples.participants("add", [samples.row("100000000000044@lid")], group=WA_ID),
    "what we sent": samples.message("s1", "100000000000009@lid", SECONDS, group=WA_ID, from_me=True),
    "what we sent by the gateway": samples.message("s2", ANA, SECONDS, group=WA_ID) | {"event": "send.message"},
    "history": samples.message("h1", ANA, SECONDS, group=WA_ID) | {"event": "messages.set"},
    "of the group itself": samples.message("g1", ANA, SECONDS, group=WA_ID, message=None, messageStubType=27),
    "connection": connection("open"),
    "waha: who read": samples.waha("message.ack", {"id": "w1", "from": WA_ID}),
    "waha: reactions alone": waha_message("message.reaction"),
    "waha: what we sent": waha_message("message.any", from_me=True),
}
MESSAGES_OF_GROUPS = {
    "of a group that is known": samples.message("k1", ANA, SECONDS, group=WA_ID),
    "that could not be deciphered": samples.message(
        "c1", ANA, SECONDS, group=WA_ID, message=None, messageStubType=2, messageStubParameters=["No session"]
    ),
    "waha, by message": waha_message("message"),
    "waha, by message.any": waha_message("message.any"),
}


def live(kept: Kept) -> list[tuple[int, int, bool]]:
    table = observations.c
    with kept.store.read() as tx:
        rows = tx.connection.execute(select(table.from_ms, table.to_ms, table.live).order_by(table.from_ms))
        return [(row.from_ms, row.to_ms, row.live) for row in rows]


@pytest.mark.parametrize("body", NO_MESSAGE_OF_A_GROUP.values(), ids=NO_MESSAGE_OF_A_GROUP)
def test_other_events_begin_no_observation(days: Days, body: dict[str, Any]) -> None:
    with days.kept.tx() as tx:
        HearingRows(tx, LIMITS).belongs(days.kept.group, "waha/default" if "session" in body else ACCOUNT)
    days.hear_only(body, NOW + 2 * HOUR)
    assert live(days.kept) == []
    assert days.kept.watch() is None


@pytest.mark.parametrize("body", MESSAGES_OF_GROUPS.values(), ids=MESSAGES_OF_GROUPS)
def test_a_message_of_a_group_begins_one(days: Days, body: dict[str, Any]) -> None:
    days.kept.receive(body)
    assert live(days.kept) == [(NOW, NOW, True)]


@pytest.mark.parametrize("body", NO_MESSAGE_OF_A_GROUP.values(), ids=NO_MESSAGE_OF_A_GROUP)
def test_other_events_do_not_keep_it_going_when_messages_of_groups_have_stopped(
    days: Days, body: dict[str, Any]
) -> None:
    """As when somebody sets the gateway to ignore groups. The observation ends with what was really heard."""
    say = waha_message("message") if "session" in body else samples.message("first", ANA, SECONDS, group=WA_ID)
    days.kept.receive(say)
    days.hear_only(body, NOW + WINDOW + DAY, every=HOUR)
    assert days.queued() == 0
    assert days.kept.watch() is None
    assert live(days.kept) == [(NOW, NOW, False)]


def test_in_a_quiet_hour_other_events_keep_it_going(days: Days) -> None:
    days.message()
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], NOW + 11 * HOUR)
    days.message(group=samples.GROUP)
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], NOW + 20 * HOUR)
    assert live(days.kept) == [(NOW, NOW + 19 * HOUR, True)]


def test_after_a_gap_other_events_begin_nothing_until_a_message_comes(days: Days) -> None:
    days.message()
    days.kept.receive(connection("close"))
    days.pass_quietly(HOUR)
    days.kept.receive(connection("open"))
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], days.kept.now + HOUR, every=MINUTE)
    assert live(days.kept) == [(NOW, NOW, False)]
    begun = days.kept.now
    days.message()
    assert live(days.kept)[1:] == [(begun, begun, True)]


def test_a_group_taken_in_later_is_observed_only_where_messages_of_groups_come(days: Days) -> None:
    kept = days.kept
    kept.receive(NO_MESSAGE_OF_A_GROUP["presence"])
    with kept.tx() as tx:
        HearingRows(tx, LIMITS).belongs(GroupRows(tx).get(WA_ID), ACCOUNT, surely=True)
    assert live(kept) == []
    days.message(group=samples.GROUP)
    assert live(kept) == [(NOW, NOW, True)]


def test_when_the_last_message_of_a_group_came_is_kept_over_a_gap(days: Days) -> None:
    days.message()
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], NOW + 20 * HOUR)
    line = days.kept.line(ACCOUNT)
    assert line is not None
    assert (line.group_heard_at, line.is_watching) == (NOW, False)
    assert line.heard_at == NOW + 19 * HOUR


def test_an_export_does_not_bridge_what_could_not_be_heard(days: Days) -> None:
    """Of the hours before the gap was seen nothing is known either."""
    days.hear_until(NOW + DAY)
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], NOW + DAY + 14 * HOUR)
    days.kept.observed(NOW + DAY + 2 * HOUR, NOW + DAY + 15 * HOUR, "chat export")
    days.kept.put(MemberEntry(lid=ANA))
    days.hear_until(NOW + WINDOW + 12 * HOUR)
    assert days.queued() == 0


def test_where_nothing_is_watched_it_is_said_what_to_do(days: Days) -> None:
    """In the words of the job and of a dry run."""

    def words() -> str:
        with days.kept.tx() as tx:
            group = GroupRows(tx).get(WA_ID)
            return str(summary_of(tx, group, WINDOW, days.kept.now, DAY)["watched"])

    assert "webhook" not in words()
    with days.kept.tx() as tx:
        HearingRows(tx, LIMITS).belongs(days.kept.group, ACCOUNT)
    days.kept.receive(NO_MESSAGE_OF_A_GROUP["presence"])
    unheard = "activity known for 0 of 2 days, 1 person unknown; no group message has come in by webhook yet: run"
    assert words().startswith(unheard)
    days.message()
    assert "webhook" not in words()
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], NOW + DAY)
    assert "no group message has come in by webhook since 2025-06-15 15:06 UTC: run 'runner gateway check'" in words()
