"""What is read of a webhook: in every spelling that was seen, and nothing of what cannot be understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.webhook import Heard, Moved, Notice, Outcome, Renumbered, Sign, Someone, Step
from runner.webhooks import evolution, waha
from tests.webhooks import samples
from tests.webhooks.samples import GROUP, message, participants, row

NOW = 1_790_000_000_000
ANA, ANA_PN = "100000000000002@lid", "5511900000001@s.whatsapp.net"


def read(body: Any, in_path: str | None = None) -> Notice:
    return evolution.read(json.dumps(body).encode(), NOW, in_path)


def read_waha(event: str, payload: Any, **more: Any) -> Notice:
    return waha.read(json.dumps(samples.waha(event, payload, **more)).encode(), NOW)


def one(notice: Notice) -> Any:
    assert (len(notice.events), notice.left_out) == (1, ()), notice
    return notice.events[0]


# --- messages ---


def test_a_message_shows_both_ids_its_own_time_and_its_key() -> None:
    notice = read(message("3EB0AAAA", ANA, 1_760_000_000, alt=ANA_PN))
    assert one(notice) == Heard(GROUP, Someone(ANA, ANA_PN, "Ana"), 1_760_000_000_000, "3EB0AAAA")
    assert (notice.account, notice.event, notice.sign) == ("evolution/p2", "messages-upsert", Sign.TRAFFIC)


@pytest.mark.parametrize(
    ("participant", "alt"),
    [
        (ANA_PN, ANA),
        ("100000000000002:12@lid", "5511900000001:3@s.whatsapp.net"),
        ("100000000000002:99@hosted.lid", "5511900000001:99@hosted"),
    ],
)
def test_whichever_id_the_group_uses_and_from_whichever_device(participant: str, alt: str) -> None:
    assert one(read(message("1", participant, 1, alt=alt))).who == Someone(ANA, ANA_PN, "Ana")


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (1_760_000_000, 1_760_000_000_000),
        (" 1760000000", NOW),
        ("1760000001", 1_760_000_001_000),
        (1_760_000_000_123, 1_760_000_000_123),
        (1_760_000_000.5, 1_760_000_000_500),
        ({"low": 1_760_000_000, "high": 0, "unsigned": True}, 1_760_000_000_000),
        ({"low": -2_534_967_296, "high": 0, "unsigned": False}, 1_760_000_000_000),
        (NOW // 1000 + 3600, NOW),
        (NOW // 1000 + 1, NOW),
        (0, NOW),
        (-5, NOW),
        (None, NOW),
        (True, NOW),
        ("soon", NOW),
        (float("nan"), NOW),
        (10**40, NOW),
        (10**400, NOW),
        ({"low": None}, NOW),
        ([], NOW),
    ],
    ids=str,
)
def test_its_time_is_never_in_the_future(said: Any, at: int) -> None:
    assert one(read(message("1", ANA, said))).at == at


def test_our_own_messages_are_ours() -> None:
    assert one(read(message("1", ANA, 1, from_me=True))).is_me
    assert one(read(message("1", None, 1, from_me=True))).who is None


@pytest.mark.parametrize("kind", ["messages.set", "MESSAGES_UPSERT", "send.message"])
def test_a_list_of_messages_is_each_of_them(kind: str) -> None:
    body = message("1", ANA, 1) | {"event": kind}
    body["data"] = [body["data"], message("2", ANA, 2)["data"], None]
    notice = read(body)
    assert [event.key for event in notice.events] == ["1", "2"]
    assert notice.left_out == (Outcome.UNREADABLE,)


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"message": None, "messageStubType": 27}, Outcome.NOT_A_MESSAGE),
        ({"message": None, "messageStubType": "GROUP_PARTICIPANT_LEAVE"}, Outcome.NOT_A_MESSAGE),
        ({"message": None, "messageStubType": 2}, None),
        ({"message": None, "messageStubType": "CIPHERTEXT"}, None),
        ({"message": {"reactionMessage": {"text": "🚫"}}}, None),
        ({"message": {"pollUpdateMessage": {}}}, None),
        ({"message": None}, None),
    ],
)
def test_what_people_send_counts_and_what_the_group_says_of_itself_does_not(
    more: dict[str, Any], outcome: Outcome | None
) -> None:
    notice = read(message("1", ANA, 1, **more))
    assert (len(notice.events), notice.left_out) == ((1, ()) if outcome is None else (0, (outcome,)))


@pytest.mark.parametrize("chat", ["status@broadcast", ANA_PN, ANA, "120363000000000001@newsletter", ""])
def test_what_is_not_said_in_a_group_is_no_event(chat: str) -> None:
    assert read(message("1", ANA, 1, group=chat)).left_out == (Outcome.NOT_A_GROUP,)


@pytest.mark.parametrize("given", ["x" * 500, "a\0b", "é", "a b"])
def test_an_odd_key_is_kept_as_its_digest(given: str) -> None:
    key = one(read(message(given, ANA, 1))).key
    assert key.startswith("sha256:")
    assert key == one(read(message(given, ANA, 1))).key


def test_a_name_that_cannot_be_stored_is_kept_as_far_as_it_can() -> None:
    raw = json.dumps(message("1", ANA, 1, name="A\0na")).replace("Ana", "x").replace("A\\u0000na", "A\\u0000n\\ud800a")
    (event,) = evolution.read(raw.encode(), NOW).events
    assert isinstance(event, Heard)
    assert event.who is not None
    assert event.who.name == "An?a"


# --- who came and went ---


@pytest.mark.parametrize(
    ("action", "step"),
    [("add", Step.JOINED), ("remove", Step.LEFT), ("promote", Step.PROMOTED), ("demote", Step.DEMOTED)],
)
@pytest.mark.parametrize(
    ("rows", "more"),
    [
        ([row(ANA, ANA_PN)], {}),
        ([ANA], {"participantsData": [{"jid": ANA, "phoneNumber": ANA_PN}]}),
        ([{"jid": ANA_PN, "lid": ANA}], {}),
    ],
)
def test_steps_in_every_spelling(action: str, step: Step, rows: list[Any], more: dict[str, Any]) -> None:
    body = participants(action, rows)
    body["data"] |= more
    event = one(read(body))
    assert (event.step, event.who, event.group_wa_id) == (step, Someone(ANA, ANA_PN), GROUP)


def test_the_digits_of_a_lid_are_no_phone_number() -> None:
    body = participants("remove", [ANA])
    body["data"]["participantsData"] = [{"jid": ANA, "phoneNumber": "100000000000002@s.whatsapp.net"}]
    assert one(read(body)).who == Someone(ANA, None)


def test_a_change_of_number_goes_from_the_old_one_to_its_author() -> None:
    old = "5511900000009@s.whatsapp.net"
    event = one(read(participants("modify", [old], author=ANA_PN)))
    assert isinstance(event, Renumbered)
    assert (event.old, event.new) == (Someone(None, old), Someone(None, ANA_PN))
    for body in (participants("modify", [old]), participants("modify", [old, ANA], author=ANA)):
        assert read(body).left_out == (Outcome.UNREADABLE,)


def test_the_same_change_sent_again_has_the_same_key_and_another_has_not() -> None:
    def key(**more: Any) -> str:
        return str(one(read(participants("add", [row(ANA)], **more))).key)

    assert key() == key()
    assert key() != key(date_time="2026-01-01T10:00:01.000Z")


@pytest.mark.parametrize("zone_hours", [-9.5, 0, 5.75, 14])
@pytest.mark.parametrize("late_seconds", [0, 2, 300, 700])
def test_a_change_happened_when_the_gateways_own_clock_says_whatever_its_zone(
    zone_hours: float, late_seconds: int
) -> None:
    local = datetime.fromtimestamp(NOW / 1000 - late_seconds + zone_hours * 3600, UTC)
    body = participants("add", [row(ANA)], date_time=local.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    assert one(read(body)).at == NOW - late_seconds * 1000


@pytest.mark.parametrize("said", [None, 5, "", "yesterday", "9999-99-99", "0001-01-01T00:00:00Z"])
def test_a_change_without_a_time_happened_now(said: Any) -> None:
    assert NOW - 900_000 <= one(read(participants("add", [row(ANA)], date_time=said))).at <= NOW


# --- everything else ---


@pytest.mark.parametrize(
    ("state", "sign"),
    [("open", Sign.OPENED), ("close", Sign.CLOSED), ("connecting", Sign.LOST), ("refused", Sign.LOST)],
)
def test_what_a_connection_says_of_itself(state: str, sign: Sign) -> None:
    assert read(samples.connection(state)).sign is sign


def test_an_event_is_called_by_one_name() -> None:
    names = ["messages.upsert", "MESSAGES_UPSERT", "messages-upsert"]
    assert {read(message("1", ANA, 1) | {"event": name}).event for name in names} == {"messages-upsert"}
    without = message("1", ANA, 1)
    del without["event"]
    assert len(read(without, "messages-upsert").events) == 1


@pytest.mark.parametrize("name", ["x" * 41, "a/b", "<script>", "é", "\x1b[31m"])
def test_what_is_no_name_is_counted_as_other(name: str) -> None:
    assert (read({"event": name}).event, read({"event": name}).left_out) == ("other", (Outcome.UNKNOWN,))


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b'{"event":' + b"9" * 5000 + b"}", b'"x"', b"{}"],
)
def test_what_cannot_be_read_is_counted(raw: bytes) -> None:
    for notice in (evolution.read(raw, NOW), waha.read(raw, NOW)):
        assert notice.events == ()
        assert notice.left_out in ((Outcome.UNREADABLE,), (Outcome.UNKNOWN,))


@pytest.mark.parametrize("data", [None, 5, "x", [], {}, [[]], {"key": 5}, {"key": {"remoteJid": GROUP}}, {"id": GROUP}])
@pytest.mark.parametrize("event", ["messages.upsert", "group-participants.update", "connection.update"])
def test_an_event_with_anything_for_data_raises_nothing(event: str, data: Any) -> None:
    notice = read(samples.evolution(event, data))
    assert notice.events == ()
    assert notice.sign is not Sign.TRAFFIC or notice.left_out in ((), (Outcome.NOT_A_GROUP,))


# --- WAHA ---

WAHA_MESSAGE: dict[str, Any] = {
    "id": f"false_{GROUP}_3EB0AAAA_100000000000002@lid",
    "timestamp": 1_760_000_000,
    "from": GROUP,
    "fromMe": False,
    "participant": ANA,
    "body": "hello",
}


MESSAGES = ["message", "message.any", "message.reaction", "message.waiting"]


@pytest.mark.parametrize("event", [*MESSAGES, "event.response", "event.response.failed"])
def test_waha_what_people_send(event: str) -> None:
    found = one(read_waha(event, WAHA_MESSAGE | {"_data": {"key": {"participantAlt": ANA_PN}, "pushName": "Ana"}}))
    assert found == Heard(GROUP, Someone(ANA, ANA_PN, "Ana"), 1_760_000_000_000, WAHA_MESSAGE["id"])


def test_waha_of_another_engine() -> None:
    inside = {"Info": {"Sender": "100000000000002:7@lid", "SenderAlt": ANA_PN, "PushName": "Ana"}}
    assert one(read_waha("message", WAHA_MESSAGE | {"_data": inside})).who == Someone(ANA, ANA_PN, "Ana")
    phone = one(read_waha("message", WAHA_MESSAGE | {"participant": "5511900000001@c.us"}))
    assert phone.who == Someone(None, ANA_PN)


def test_waha_what_is_not_said_in_a_group_and_what_we_say() -> None:
    assert read_waha("message", WAHA_MESSAGE | {"from": "5511900000001@c.us"}).left_out == (Outcome.NOT_A_GROUP,)
    ours = WAHA_MESSAGE | {"from": "5511900000000@c.us", "to": GROUP, "fromMe": True, "participant": None}
    assert one(read_waha("message.any", ours)).is_me


@pytest.mark.parametrize(
    ("kind", "step"),
    [("join", Step.JOINED), ("leave", Step.LEFT), ("promote", Step.PROMOTED), ("demote", Step.DEMOTED)],
)
def test_waha_steps(kind: str, step: Step) -> None:
    people = [{"id": ANA, "pn": "5511900000001@c.us", "role": "participant"}, {"role": "left"}]
    payload = {"group": {"id": GROUP}, "type": kind, "timestamp": 1_760_000_000, "participants": people}
    notice = read_waha("group.v2.participants", payload)
    (event,) = notice.events
    assert isinstance(event, Moved)
    assert (event.who, event.step, event.at) == (Someone(ANA, ANA_PN), step, 1_760_000_000_000)
    assert notice.left_out == (Outcome.UNREADABLE,)


@pytest.mark.parametrize(("event", "step"), [("group.v2.join", Step.JOINED), ("group.v2.leave", Step.LEFT)])
def test_waha_tells_of_ourselves(event: str, step: Step) -> None:
    found = one(read_waha(event, {"group": {"id": GROUP}, "timestamp": 1_760_000_000_000}))
    assert (found.who, found.step, found.at) == (None, step, 1_760_000_000_000)


@pytest.mark.parametrize(
    ("status", "sign"),
    [("WORKING", Sign.OPENED), ("FAILED", Sign.CLOSED), ("STOPPED", Sign.CLOSED), ("SCAN_QR_CODE", Sign.OUT)],
)
def test_waha_sessions(status: str, sign: Sign) -> None:
    notice = read_waha("session.status", {"status": status})
    assert (notice.sign, notice.account) == (sign, "waha/default")
