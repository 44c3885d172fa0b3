"""Webhooks of Evolution API v2, as 2.3.6 and 2.3.7 send them; reads those of 2.3.4, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from runner.groups.identity import is_group_id
from runner.webhook import Event, Heard, Moved, Notice, Outcome, Renumbered, Sign, Someone, Step
from runner.webhooks.fields import (
    OTHER,
    account_of,
    digest,
    event_name,
    is_of_poll,
    key_of,
    listed,
    mapping,
    moment,
    notice_of,
    object_of,
    someone,
)

GATEWAY = "evolution"
_MESSAGES = frozenset({"messages-upsert", "messages-set", "send-message"})
_NEWS = "messages-upsert"
"""What others write comes by this one alone: the others of them are of the past, and of what we sent ourselves."""

_PARTICIPANTS, _CONNECTION = "group-participants-update", "connection-update"
_TRAFFIC = [
    "messages-edited",
    "messages-update",
    "messages-delete",
    "send-message-update",
    "contacts-set",
    "contacts-upsert",
    "contacts-update",
    "presence-update",
    "chats-set",
    "chats-upsert",
    "chats-update",
    "chats-delete",
    "groups-upsert",
    "group-update",
    "groups-update",
    "labels-edit",
    "labels-association",
    "call",
]
_OURS = ["application-startup", "instance-create", "typebot-start", "typebot-change-status"]
_LOST = ("status-instance",)
_OUT = ("qrcode-updated", "logout-instance", "remove-instance", "instance-delete")
"""A code to scan is shown to whoever is logged out, and to nobody else."""

SIGNS: Mapping[str, Sign] = (
    dict.fromkeys((*_MESSAGES, _PARTICIPANTS, *_TRAFFIC), Sign.TRAFFIC)
    | dict.fromkeys((*_OURS, _CONNECTION), Sign.NONE)
    | dict.fromkeys(_LOST, Sign.LOST)
    | dict.fromkeys(_OUT, Sign.OUT)
)
"""All events that Evolution documents, by the names they have in a path, and what they say of its connection."""

_STATES = {"open": Sign.OPENED, "close": Sign.CLOSED}
_NOT_AGAIN = (401, 402, 403, 406)
"""The reasons for which Evolution does not connect again: logged out, and kin of it."""

_STEPS = {"add": Step.JOINED, "remove": Step.LEFT, "promote": Step.PROMOTED, "demote": Step.DEMOTED}
_PEOPLE = ("participant", "participantAlt", "participantPn", "participantLid")
_ROW = ("id", "jid", "lid", "phoneNumber")
_CIPHERTEXT = (2, "CIPHERTEXT")
"""The stub of a message that could not be deciphered. 2.3.6 and 2.3.7 send none; where one comes, somebody wrote."""

_QUARTER_MS, _AHEAD_MS = 900_000, 60_000


def read(raw: bytes, received_at: int, in_path: str | None = None) -> Notice:
    """``in_path``: the event's name where it stood in the address. Raises nothing."""
    body = object_of(raw)
    event = event_name(mapping(body).get("event")) or event_name(in_path) or OTHER
    if body is None:
        return Notice(None, event, Sign.NONE, left_out=(Outcome.UNREADABLE,))
    account = account_of(GATEWAY, body.get("instance"))
    sign = SIGNS.get(event, Sign.NONE)
    found: list[Event | Outcome]
    if event in _MESSAGES:
        found = [_message(mapping(one), received_at) for one in listed(body.get("data"))]
    elif event == _PARTICIPANTS:
        found = list(_participants(body, received_at))
    elif event == _CONNECTION:
        sign, found = _sign_of(mapping(body.get("data"))), [Outcome.STORED]
    else:
        found = [Outcome.NOT_USED if event in SIGNS else Outcome.UNKNOWN]
    return notice_of(account, event, sign, found, is_news=event == _NEWS)


def _sign_of(data: Mapping[str, Any]) -> Sign:
    """Of a connection, by its state, and by why it has that."""
    state = data.get("state")
    sign = _STATES.get(state, Sign.LOST) if isinstance(state, str) else Sign.LOST
    return Sign.OUT if sign is Sign.CLOSED and data.get("statusReason") in _NOT_AGAIN else sign


def _message(message: Mapping[str, Any], received_at: int) -> Heard | Outcome:
    key = mapping(message.get("key"))
    group = key.get("remoteJid")
    if not isinstance(group, str):
        return Outcome.UNREADABLE
    if not is_group_id(group):
        return Outcome.NOT_A_GROUP
    stub = message.get("messageStubType")
    if stub not in (None, 0, *_CIPHERTEXT) and not message.get("message"):
        return Outcome.NOT_A_MESSAGE  # the group's own: somebody came, its name was changed
    is_me = key.get("fromMe") is True
    who = someone((key.get(name) for name in _PEOPLE), message.get("pushName"))
    if who is None and not is_me:
        return Outcome.UNREADABLE
    at = moment(message.get("messageTimestamp"), received_at)
    return Heard(group, who, at, key_of(key.get("id")), is_me, of_poll=is_of_poll(message.get("message")))


def _participants(body: Mapping[str, Any], received_at: int) -> Iterator[Event | Outcome]:
    data = mapping(body.get("data"))
    group, action, rows = data.get("id"), data.get("action"), data.get("participants")
    if not isinstance(group, str) or not isinstance(action, str) or not isinstance(rows, list):
        yield Outcome.UNREADABLE
        return
    if not is_group_id(group):
        yield Outcome.NOT_A_GROUP
        return
    people = _people(data, rows)
    author = someone(_ids(data.get("author")))
    at = _told_at(body.get("date_time"), received_at)
    said = digest(group, action, data.get("author"), rows, body.get("date_time"))
    if action == "modify":
        # Baileys names the number that was given up; who did it is the same person under the new one.
        if author is None or len(people) != 1 or people[0] is None or set(author.ids) & set(people[0].ids):
            yield Outcome.UNREADABLE
        else:
            yield Renumbered(group, people[0], author, at, said)
        return
    step, me = _STEPS.get(action), someone([body.get("sender")])
    for place, who in enumerate(people):
        if who is None or step is None:
            yield Outcome.UNREADABLE if who is None else Outcome.UNKNOWN
        else:
            yield Moved(group, who, step, at, digest(said, place), is_me=_shares_an_id(who, me))


def _people(data: Mapping[str, Any], rows: list[Any]) -> list[Someone | None]:
    """Who they are: objects since 2.3.6; before, strings, with the same people as objects beside them."""
    details: dict[str, list[Any]] = {}
    for one in listed(data.get("participantsData")):
        for known in _ids(one):
            details.setdefault(known, _ids(one))
    ids = (_ids(row) for row in rows)
    return [someone([*known, *(more for one in known for more in details.get(one, ()))]) for known in ids]


def _ids(row: Any) -> list[str]:
    values = [row] if isinstance(row, str) else [mapping(row).get(name) for name in _ROW]
    return [value for value in values if isinstance(value, str)]


def _told_at(date_time: Any, received_at: int) -> int:
    """When a change of the group was told.

    Evolution's ``date_time`` is the local time of its machine, whatever it says of a zone. Zones lie whole quarters of
    an hour apart, so it is believed for how far within a quarter it lies before the receipt: enough for the order of
    two events of which one was sent again.
    """
    try:
        said = datetime.fromisoformat(str(date_time)[:40]).replace(tzinfo=UTC)
        told = int(said.timestamp() * 1000)
    except (ValueError, OverflowError):
        return received_at
    ago = (received_at - told + _AHEAD_MS) % _QUARTER_MS - _AHEAD_MS
    return min(received_at, received_at - ago)


def _shares_an_id(who: Someone, me: Someone | None) -> bool:
    return me is not None and not set(who.ids).isdisjoint(me.ids)
