"""Webhooks of WAHA, as its API of 2026 documents them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from runner.groups.identity import is_group_id
from runner.webhook import Event, Heard, Moved, Notice, Outcome, Sign, Someone, Step
from runner.webhooks.fields import (
    OTHER,
    account_of,
    digest,
    event_name,
    is_of_poll,
    key_of,
    mapping,
    moment,
    notice_of,
    object_of,
    someone,
)

GATEWAY = "waha"
_MESSAGES = frozenset(
    {"message", "message-any", "message-reaction", "message-waiting", "event-response", "event-response-failed"}
)
_VOTES = frozenset({"poll-vote", "poll-vote-failed"})
ACTIVITY = _MESSAGES | _VOTES
"""What only a living person does; ``failed`` is what could not be deciphered, and was done all the same."""
_NEWS = ("message", "message-any")
"""What others write comes by these; a gateway may send the rest of them without these."""

_PARTICIPANTS, _WE_JOINED, _WE_LEFT = "group-v2-participants", "group-v2-join", "group-v2-leave"
_STATUS = "session-status"
_TRAFFIC = [
    "message-ack",
    "message-ack-group",
    "message-revoked",
    "message-edited",
    "presence-update",
    "chat-archive",
    "label-upsert",
    "label-deleted",
    "label-chat-added",
    "label-chat-deleted",
    "call-received",
    "call-accepted",
    "call-rejected",
    "group-v2-update",
    "group-join",
    "group-leave",
]
_OURS = ("engine-event", "state-change")

SIGNS: Mapping[str, Sign] = dict.fromkeys(
    (*ACTIVITY, _PARTICIPANTS, _WE_JOINED, _WE_LEFT, *_TRAFFIC), Sign.TRAFFIC
) | dict.fromkeys((*_OURS, _STATUS), Sign.NONE)
"""All events that WAHA documents, dots as dashes, and what they say of its connection."""

_STATES = {"WORKING": Sign.OPENED, "STOPPED": Sign.CLOSED, "FAILED": Sign.CLOSED, "SCAN_QR_CODE": Sign.OUT}
_STEPS = {"join": Step.JOINED, "leave": Step.LEFT, "promote": Step.PROMOTED, "demote": Step.DEMOTED}


def read(raw: bytes, received_at: int) -> Notice:
    """Raises nothing."""
    body = object_of(raw)
    event = event_name(mapping(body).get("event")) or OTHER
    if body is None:
        return Notice(None, event, Sign.NONE, left_out=(Outcome.UNREADABLE,))
    account = account_of(GATEWAY, body.get("session"))
    sign = SIGNS.get(event, Sign.NONE)
    payload = mapping(body.get("payload"))
    found: list[Event | Outcome]
    if event in _MESSAGES:
        found = [_message(payload, received_at)]
    elif event in _VOTES:
        found = [_vote(payload, received_at)]
    elif event in (_PARTICIPANTS, _WE_JOINED, _WE_LEFT):
        found = list(_participants(body, payload, event, received_at))
    elif event == _STATUS:
        state = payload.get("status")
        sign, found = _STATES.get(state, Sign.LOST) if isinstance(state, str) else Sign.LOST, [Outcome.STORED]
    else:
        found = [Outcome.NOT_USED if event in SIGNS else Outcome.UNKNOWN]
    return notice_of(account, event, sign, found, is_news=event in _NEWS)


def _message(payload: Mapping[str, Any], received_at: int) -> Heard | Outcome:
    is_me = payload.get("fromMe") is True
    chats = [chat for chat in (payload.get("from"), payload.get("to")) if isinstance(chat, str)]
    group = next((chat for chat in chats if is_group_id(chat)), None)
    if group is None:
        return Outcome.NOT_A_GROUP if chats else Outcome.UNREADABLE
    who = _author(payload)
    if who is None and not is_me:
        return Outcome.UNREADABLE
    # The same message comes as `message` and as `message.any`; a reaction has an id of its own.
    inside = mapping(payload.get("_data"))
    of_poll = is_of_poll(inside) or str(inside.get("type", "")).startswith("poll")
    at = moment(payload.get("timestamp"), received_at)
    return Heard(group, who, at, key_of(payload.get("id")), is_me, of_poll=of_poll)


def _vote(payload: Mapping[str, Any], received_at: int) -> Heard | Outcome:
    """A message of its own inside: in a group ``to`` is the group and ``from`` the voter, in other releases as of any
    message. Whether its id is another one for each change of mind is not documented, so its voter and time are in the
    key, too.
    """
    vote = mapping(payload.get("vote"))
    voter = vote.get("participant") or vote.get("from")
    heard = _message({"_data": payload.get("_data"), **vote, "participant": voter}, received_at)
    if isinstance(heard, Outcome):
        return heard
    again = None if heard.key is None else digest(heard.key, heard.who and heard.who.ids, vote.get("timestamp"))
    return replace(heard, key=again, of_poll=True)


def _author(payload: Mapping[str, Any]) -> Someone | None:
    """What the engine itself says, under ``_data``, may name the other id, too."""
    inside = mapping(payload.get("_data"))
    key, info = mapping(inside.get("key")), mapping(inside.get("Info"))
    ids = (
        payload.get("participant"),
        payload.get("author"),
        *(key.get(name) for name in ("participant", "participantAlt", "participantPn", "participantLid")),
        *(info.get(name) for name in ("Sender", "SenderAlt")),
    )
    return someone(ids, inside.get("notifyName") or inside.get("pushName") or info.get("PushName"))


def _participants(
    body: Mapping[str, Any], payload: Mapping[str, Any], event: str, received_at: int
) -> Iterator[Event | Outcome]:
    group = mapping(payload.get("group")).get("id")
    at = moment(payload.get("timestamp") or body.get("timestamp"), received_at)
    said = digest(body.get("id") or (group, payload, body.get("timestamp")))
    if not isinstance(group, str):
        yield Outcome.UNREADABLE
    elif not is_group_id(group):
        yield Outcome.NOT_A_GROUP
    elif event != _PARTICIPANTS:
        yield Moved(group, None, Step.JOINED if event == _WE_JOINED else Step.LEFT, at, said)
    elif not isinstance(rows := payload.get("participants"), list) or not isinstance(payload.get("type"), str):
        yield Outcome.UNREADABLE
    else:
        step = _STEPS.get(payload["type"])
        for place, row in enumerate(rows):
            who = someone(mapping(row).get(name) for name in ("id", "pn", "lid"))
            if who is None or step is None:
                yield Outcome.UNREADABLE if who is None else Outcome.UNKNOWN
            else:
                yield Moved(group, who, step, at, digest(said, place))
