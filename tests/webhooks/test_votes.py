"""A vote in a poll is its voter's activity, whichever gateway tells of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.webhook import Heard, Notice, Outcome, Sign, Someone
from runner.webhooks import evolution, waha
from tests.webhooks import samples
from tests.webhooks.samples import GROUP, message

NOW = 1_790_000_000_000
ANA, ANA_PN = "100000000000002@lid", "5511900000001@s.whatsapp.net"
POLL = {"id": f"true_{GROUP}_BAE5304BA1ECF704", "to": GROUP, "from": "5511900000000@c.us", "fromMe": True}
VOTE: dict[str, Any] = {
    "id": f"false_{GROUP}_1C18A7EA",
    "to": GROUP,
    "from": "5511900000001@c.us",
    "fromMe": False,
    "selectedOptions": ["Awesome!"],
    "timestamp": 1_760_000_000,
}


def read(vote: Any, event: str = "poll.vote", **more: Any) -> Notice:
    return waha.read(json.dumps(samples.waha(event, {"vote": vote, "poll": POLL} | more)).encode(), NOW)


def heard(vote: Any, event: str = "poll.vote", **more: Any) -> Heard:
    notice = read(vote, event, **more)
    assert (len(notice.events), notice.left_out) == (1, ()), notice
    (event_read,) = notice.events
    assert isinstance(event_read, Heard)
    return event_read


@pytest.mark.parametrize("event", ["poll.vote", "poll.vote.failed"])
def test_who_votes_has_been_heard_also_where_the_vote_cannot_be_read(event: str) -> None:
    vote = VOTE | ({"selectedOptions": []} if event == "poll.vote.failed" else {})
    found = heard(vote, event)
    assert (found.group_wa_id, found.who, found.at) == (GROUP, Someone(None, ANA_PN), 1_760_000_000_000)
    assert read(vote, event).sign is Sign.TRAFFIC


def test_the_group_and_the_voter_in_the_fields_of_a_message() -> None:
    vote = VOTE | {"from": GROUP, "to": None, "participant": ANA}
    assert heard(vote).who == Someone(ANA, None)
    inside: dict[str, Any] = {"_data": {"key": {"participantAlt": ANA_PN}, "pushName": "Ana"}}
    assert heard(vote, **inside).who == Someone(ANA, ANA_PN, "Ana")


def test_a_vote_that_is_told_again_is_one_and_a_changed_one_is_another() -> None:
    first, again, changed = heard(VOTE), heard(VOTE), heard(VOTE | {"timestamp": 1_760_000_060})
    anothers = heard(VOTE | {"from": "5511900000009@c.us"})
    assert first.key == again.key
    assert len({first.key, changed.key, anothers.key, POLL["id"], VOTE["id"]}) == 5


def test_our_own_vote_is_ours() -> None:
    assert heard(VOTE | {"from": "me", "fromMe": True}).is_me


@pytest.mark.parametrize(
    ("vote", "outcome"),
    [
        (VOTE | {"to": "me"}, Outcome.NOT_A_GROUP),
        (VOTE | {"from": GROUP}, Outcome.UNREADABLE),
        ({}, Outcome.UNREADABLE),
        (None, Outcome.UNREADABLE),
        ("vote", Outcome.UNREADABLE),
    ],
)
def test_what_is_no_vote_of_somebody_in_a_group(vote: Any, outcome: Outcome) -> None:
    assert read(vote).left_out == (outcome,)


def test_evolution_tells_of_a_vote_as_of_a_message() -> None:
    """Read in Evolution's source: its ``messages.upsert`` of a vote names the voter, as of any message."""
    vote: dict[str, Any] = {"message": {"pollUpdateMessage": {"vote": {"selectedOptions": []}}}, "pollUpdates": []}
    body = message("3EB0AAAA", ANA, 1_760_000_000, alt=ANA_PN, messageType="pollUpdateMessage", **vote)
    (found,) = evolution.read(json.dumps(body).encode(), NOW).events
    assert found == Heard(GROUP, Someone(ANA, ANA_PN, "Ana"), 1_760_000_000_000, "3EB0AAAA")


def test_evolution_names_no_voter_and_no_time_in_an_update_of_a_poll() -> None:
    """Its key is the poll's own, and so is its participant: whoever wrote the poll did nothing now."""
    data = {"keyId": "3EB0AAAA", "remoteJid": GROUP, "fromMe": False, "participant": ANA, "pollUpdates": [{}]}
    notice = evolution.read(json.dumps(samples.evolution("messages.update", data)).encode(), NOW)
    assert (notice.events, notice.left_out, notice.sign) == ((), (Outcome.NOT_USED,), Sign.TRAFFIC)
