"""The WAHA adapter against what is written down of WAHA and of its three engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.gateway import (
    AuthFailed,
    BadRequest,
    GatewayError,
    GroupGone,
    NotAdmin,
    NotConnected,
    OutcomeKind,
    Participant,
    RateLimited,
    Transient,
)
from runner.gateways.access import Access
from runner.gateways.waha import WahaGateway
from tests.gateways.fake import FakeServer, control
from tests.gateways.fixtures import GROUP, Canned

L1, L3, L4 = "100000000000001@lid", "100000000000003@lid", "100000000000004@lid"
P1, P3 = "5511900000000@s.whatsapp.net", "5511900000002@s.whatsapp.net"
NOT_THERE = "999999999999999@lid"
REMOVED, GONE, REFUSED = OutcomeKind.REMOVED, OutcomeKind.ALREADY_GONE, OutcomeKind.REFUSED
UNKNOWN = OutcomeKind.UNKNOWN


@contextmanager
def waha(*known: str) -> Iterator[tuple[WahaGateway, Canned]]:
    """Against these answers; whatever else is asked fails the test."""
    with Canned(*known) as canned:
        yield at(canned.url), canned
        assert canned.strange == []


def at(url: str) -> WahaGateway:
    return WahaGateway(Access(url, SecretStr("key-of-waha"), "default"), 75)


def in_time() -> float:
    return 75.0


def kinds(gateway: WahaGateway, *ids: str) -> list[OutcomeKind]:
    return [outcome.kind for outcome in gateway.remove(GROUP, ids, in_time).values()]


def test_a_group_by_its_description_and_its_people() -> None:
    with waha("waha-session", "waha-group-noweb", "waha-participants") as (gateway, canned):
        listing = gateway.list_group(GROUP)
        assert gateway.list_group(GROUP) == listing
        assert canned.asked.count("waha-group-noweb") == 1
    assert (listing.name, listing.size, listing.lacks_us) == ("Neighbours", None, False)
    assert listing.participants == (
        Participant(L1, L1, P1, "superadmin", is_me=True),
        Participant(L3, L3, P3, "member"),
        Participant(L4, L4, None, "member"),
    )


@pytest.mark.parametrize(
    ("engine", "flags"), [("noweb", (False, False)), ("gows", (False, True)), ("webjs", (True, False))]
)
def test_the_kinds_of_groups_by_engine(engine: str, flags: tuple[bool, bool]) -> None:
    with waha("waha-session", f"waha-group-{engine}", "waha-participants") as (gateway, _):
        listing = gateway.list_group(GROUP)
    assert (listing.name, listing.is_community, listing.is_announcement) == ("Neighbours", *flags)


@pytest.mark.parametrize(("name", "is_open"), [("waha-session", True), ("waha-session-scan", False)])
def test_the_state_of_the_session(name: str, is_open: bool) -> None:
    with waha(name) as (gateway, _):
        connection = gateway.connection()
    assert connection.is_open is is_open
    assert ("scanned" in connection.words) is not is_open


@pytest.mark.parametrize(("name", "error"), [("waha-session-unknown", BadRequest), ("waha-wrong-key", AuthFailed)])
def test_a_session_that_cannot_be_asked(name: str, error: type[GatewayError]) -> None:
    with waha(name) as (gateway, _):
        for ask in (gateway.connection, lambda: gateway.list_group(GROUP), lambda: kinds(gateway, L3)):
            with pytest.raises(error) as raised:
                ask()
            assert raised.value.nothing_sent


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("waha-not-connected", NotConnected),
        ("waha-participants-rate-overlimit", RateLimited),
        ("waha-participants-forbidden", GroupGone),
        ("waha-participants-item-not-found", GroupGone),
        ("waha-participants-not-understood", Transient),
    ],
)
def test_a_listing_that_does_not_come(name: str, error: type[GatewayError]) -> None:
    with waha("waha-session", "waha-group-noweb", name) as (gateway, _):
        with pytest.raises(error) as raised:
            gateway.list_group(GROUP)
        assert (type(raised.value), raised.value.nothing_sent) == (error, True)


def described_as(folder: Path, faults: dict[str, str], **more: Any) -> None:
    group = {"people": [{"pn": P1, "role": "admin"}, {"pn": P3}]}
    control(folder, me={"pn": P1}, groups={GROUP: group}, faults={"describe": faults}, **more)


@pytest.mark.parametrize("body", [{}, [], None], ids=str)
def test_a_group_of_which_nothing_is_said_is_gone_only_when_that_is_so_again_after_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    described_as(tmp_path, {"*": "empty"}, empty_body=body)
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        for _ in range(3):  # none of these comes after the wait
            with pytest.raises(Transient, match="says nothing of this group") as raised:
                gateway.list_group(GROUP)
            assert raised.value.retryable
        monkeypatch.setattr("runner.gateways.waha._LOOK_AGAIN_SECONDS", 0.0)
        with pytest.raises(GroupGone, match="there is no such group, or we are not in it any more"):
            gateway.list_group(GROUP)


def test_a_group_of_which_nothing_was_said_once_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.gateways.waha._LOOK_AGAIN_SECONDS", 0.0)
    described_as(tmp_path, {"1": "empty"})
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        with pytest.raises(Transient):
            gateway.list_group(GROUP)
        assert len(gateway.list_group(GROUP).participants) == 2


@pytest.mark.parametrize("fault", ["html", "cut", "garbage"])
def test_a_description_that_cannot_be_read_never_means_that_the_group_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("runner.gateways.waha._LOOK_AGAIN_SECONDS", 0.0)
    described_as(tmp_path, {"1": "empty", "2": fault, "3": fault, "4": "empty"})
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        for _ in range(4):  # and what was said before it counts no more
            with pytest.raises(Transient):
                gateway.list_group(GROUP)


@pytest.mark.parametrize("look", ["list", "connection"])
def test_a_session_that_fails_in_between_lets_it_count_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    """WAHA has begun again, and knows of no group for a moment again."""
    monkeypatch.setattr("runner.gateways.waha._LOOK_AGAIN_SECONDS", 0.0)
    described_as(tmp_path, {"*": "empty"})
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        with pytest.raises(Transient):
            gateway.list_group(GROUP)
        described_as(
            tmp_path, {"*": "empty"}, waha={"session": "another"} if look == "list" else {"status": "STARTING"}
        )
        if look == "list":
            with pytest.raises(BadRequest):
                gateway.list_group(GROUP)
        else:
            assert not gateway.connection().is_open
        described_as(tmp_path, {"*": "empty"})
        with pytest.raises(Transient):
            gateway.list_group(GROUP)
        for _ in range(2):
            with pytest.raises(GroupGone):
                gateway.list_group(GROUP)


def test_a_group_in_which_only_admins_write_meanwhile_is_seen_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [{"pn": P1, "role": "admin"}, {"pn": P3}]
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        for announce, seconds in ((False, 3600.0), (True, 3600.0), (True, 0.0)):
            control(tmp_path, me={"pn": P1}, groups={GROUP: {"people": people, "announce": announce}})
            monkeypatch.setattr("runner.gateways.waha._DESCRIBED_SECONDS", seconds)
            assert gateway.list_group(GROUP).is_announcement is (seconds == 0.0)
        assert len(fake.calls("describe")) == 2


def test_while_the_session_does_not_say_it_works_nothing_said_means_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canned server says both: the session waits for its code, and the group is empty."""
    monkeypatch.setattr("runner.gateways.waha._LOOK_AGAIN_SECONDS", 0.0)
    with waha("waha-session-scan", "waha-group-empty") as (gateway, _):
        for _ in range(3):
            with pytest.raises(Transient):
                gateway.list_group(GROUP)


def test_an_empty_list_has_the_group_described_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a gateway that has described it once would show a group that is gone as an empty one for ever."""
    monkeypatch.setattr("runner.gateways.waha._LOOK_AGAIN_SECONDS", 0.0)
    control(tmp_path, me={"pn": P1}, groups={GROUP: {"people": []}}, faults={"describe": {"2": "empty", "3": "empty"}})
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        assert gateway.list_group(GROUP).participants == ()
        with pytest.raises(Transient):
            gateway.list_group(GROUP)
        with pytest.raises(GroupGone):
            gateway.list_group(GROUP)


@pytest.mark.parametrize("engine", ["noweb", "gows"])
def test_engines_that_answer_for_each(engine: str) -> None:
    with waha("waha-session", f"waha-remove-{engine}") as (gateway, _):
        assert kinds(gateway, L3, L1, NOT_THERE) == [REMOVED, REFUSED, GONE]


def test_an_engine_that_always_says_that_all_is_well_says_nothing() -> None:
    with waha("waha-session", "waha-remove-webjs") as (gateway, _):
        assert kinds(gateway, L3, NOT_THERE) == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("name", ["waha-remove-empty", "waha-remove-not-understood"])
def test_a_removal_of_which_nobody_can_say_what_became(name: str) -> None:
    with waha("waha-session", name) as (gateway, canned):
        assert kinds(gateway, L3, L4) == [UNKNOWN, UNKNOWN]
        assert canned.asked.count(name) == 1


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("waha-remove-not-connected", NotConnected),
        ("waha-remove-rate-overlimit", RateLimited),
        ("waha-remove-forbidden", NotAdmin),
        ("waha-remove-item-not-found", GroupGone),
    ],
)
def test_a_removal_that_was_refused_for_certain(name: str, error: type[GatewayError]) -> None:
    with waha("waha-session", name) as (gateway, _):
        with pytest.raises(error) as raised:
            gateway.remove(GROUP, [L3, L4], in_time)
        assert (type(raised.value), raised.value.nothing_sent) == (error, True)


def test_nothing_is_sent_while_the_session_is_not_at_work() -> None:
    with waha("waha-session-scan", "waha-remove-noweb") as (gateway, canned):
        with pytest.raises(NotConnected):
            gateway.remove(GROUP, [L3, L1, NOT_THERE], in_time)
        assert canned.asked == ["waha-session-scan"]


def test_an_admin_without_a_number_is_looked_up_since_they_may_be_us(tmp_path: Path) -> None:
    people = [{"lid": L1, "role": "admin"}, {"lid": L3}, {"lid": L4, "role": "admin"}]
    control(tmp_path, me={"pn": P1, "lid": L1, "hides_lid": True}, groups={GROUP: {"people": people}})
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        for _ in range(2):
            assert [one.id for one in gateway.list_group(GROUP).participants if one.is_me] == [L1]
        assert len([line for line in fake.calls() if "/lids/" in line["path"]]) == 2


def test_whoever_has_left_is_not_in_the_group_and_phone_ids_are_sent_as_it_has_them(tmp_path: Path) -> None:
    people = [{"pn": P1, "role": "admin"}, {"pn": P3}, {"lid": L4, "role": "left"}]
    control(tmp_path, me={"pn": P1}, groups={GROUP: {"people": people}})
    with FakeServer(tmp_path) as fake:
        gateway = at(fake.url)
        assert [one.id for one in gateway.list_group(GROUP).participants] == [P1, P3]
        assert kinds(gateway, P3) == [REMOVED]
        assert fake.calls("remove")[0]["body"] == {"participants": [{"id": "5511900000002@c.us"}]}
        assert (fake.effects(), fake.wrong()) == ([P3], [])
