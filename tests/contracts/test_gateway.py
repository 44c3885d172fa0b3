"""What every gateway must do, whichever it is: one suite for all of them.

``CONTRACT_GATEWAY`` points it at a real server: a gateway and a group, ``evolution 1203…@g.us`` or ``waha …``, reached
by the ordinary EVOLUTION_* or WAHA_* variables. Nothing is removed there, unless somebody is named who may be, and who
will be: ``evolution 1203…@g.us remove=4477…@s.whatsapp.net``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.clock import Clock
from runner.gateway import GatewayError, GroupGateway, GroupGone, OutcomeKind
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.opening import GatewayUnknown, call_seconds, open_gateway, open_job_store
from runner.settings import Settings
from runner.store import Store
from runner.stores.migrate import migrate
from tests.gateways.fake import FakeServer, control
from tests.gateways.slow import configure

REAL = os.environ.get("CONTRACT_GATEWAY", "")
GATEWAYS = {
    "roster": "roster",
    "slow": "tests.gateways.slow:open_slow",
    "evolution": "evolution",
    "waha": "waha",
} | ({"real": REAL.split()[0]} if REAL else {})
WA_ID = "120363403645737238@g.us"
ANA, BO, BOSS = "100000000000001@lid", "33100000002@s.whatsapp.net", "100000000000003@lid"
OWNER, ME = "100000000000004@lid", "100000000000005@lid"
STRANGER = "100000000000099@lid"


@dataclass
class Opened:
    gateway: GroupGateway
    store: Store
    settings: Settings
    wa_id: str = WA_ID
    removable: str | None = ANA


@pytest.fixture(params=GATEWAYS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """A group of five: Ana, Bo, an admin, the owner, ourselves. Or the real one."""
    with ExitStack() as stack:
        name = request.param
        given: dict[str, Any] = {} if name == "real" else _access(stack, name, tmp_path)
        settings = Settings(home=tmp_path, gateway=GATEWAYS[name], **given)
        configure(tmp_path, call_ms=0)
        migrate(settings.url)
        clock = Clock()
        store = open_job_store(settings, clock)
        stack.callback(store.close)
        _keep_members(store)
        gateway = open_gateway(settings, store, clock)
        yield _real(gateway, store, settings) if name == "real" else Opened(gateway, store, settings)


def _keep_members(store: Store) -> None:
    with store.write() as tx:
        group = GroupRows(tx).create(WA_ID, "Neighbours")
        rows = MemberRows(tx)
        rows.put(group, MemberEntry(lid=ANA, pn="33100000001@s.whatsapp.net", name="Ana"), tx.now)
        rows.put(group, MemberEntry(pn=BO), tx.now)
        rows.put(group, MemberEntry(lid=BOSS, role="admin"), tx.now)
        rows.put(group, MemberEntry(lid=OWNER, role="superadmin"), tx.now)
        rows.put(group, MemberEntry(lid=ME, pn="33100000005@s.whatsapp.net", is_me=True, role="admin"), tx.now)


def _access(stack: ExitStack, name: str, folder: Path) -> dict[str, Any]:
    """For those at a distance: the same five behind the fake, which lets us remove neither admins nor ourselves."""
    if name not in ("evolution", "waha"):
        return {}
    people = [
        {"lid": ANA, "pn": "33100000001@s.whatsapp.net"},
        {"pn": BO},
        {"lid": BOSS, "role": "admin"},
        {"lid": OWNER, "role": "superadmin"},
        {"lid": ME, "pn": "33100000005@s.whatsapp.net", "role": "admin"},
    ]
    group = {"subject": "Neighbours", "people": people, "codes": {BOSS: "403", ME: "406"}}
    control(folder, me={"pn": "33100000005@s.whatsapp.net"}, groups={WA_ID: group})
    url = stack.enter_context(FakeServer(folder)).url
    if name == "waha":
        return {"waha_url": url, "waha_api_key": SecretStr("key-of-waha")}
    key = SecretStr("key-of-evolution")
    return {"evolution_api_url": url, "evolution_api_key": key, "evolution_instance_name": "p2"}


def _real(gateway: GroupGateway, store: Store, settings: Settings) -> Opened:
    _, group, *rest = REAL.split()
    removable = next((word.removeprefix("remove=") for word in rest if word.startswith("remove=")), None)
    return Opened(gateway, store, settings, group, removable)


@pytest.fixture
def gateway(opened: Opened) -> GroupGateway:
    """With the five; what takes it does not run on a real group."""
    if opened.wa_id != WA_ID:
        pytest.skip("a real group is not made of those five")
    return opened.gateway


def in_time() -> float:
    return 100.0


def ids(gateway: GroupGateway, wa_id: str = WA_ID) -> set[str]:
    return {one.id for one in gateway.list_group(wa_id).participants}


def kinds(gateway: GroupGateway, *wanted: str, left: Callable[[], float] = in_time) -> dict[str, OutcomeKind]:
    return {known: outcome.kind for known, outcome in gateway.remove(WA_ID, wanted, left).items()}


def test_it_has_a_name_and_a_longest_call(opened: Opened) -> None:
    assert 0 < len(opened.gateway.via) <= 20  # as long as history has room for
    assert opened.gateway.call_seconds > 0
    assert call_seconds(opened.settings) >= opened.gateway.call_seconds


def test_it_is_connected(opened: Opened) -> None:
    connection = opened.gateway.connection()
    assert (connection.is_open, bool(connection.words)) == (True, True)


def test_everybody_is_listed_once_and_we_are_an_admin(opened: Opened) -> None:
    listing = opened.gateway.list_group(opened.wa_id)
    assert listing.name
    assert len({one.id for one in listing.participants}) == len(listing.participants)
    assert listing.size in (None, len(listing.participants))
    assert {one.role for one in listing.participants} <= {"member", "admin", "superadmin"}
    assert [one.role for one in listing.participants if one.is_me] in (["admin"], ["superadmin"])
    assert (listing.is_community, listing.is_announcement, listing.lacks_us) == (False, False, False)


def test_one_person_is_removed_once(opened: Opened) -> None:
    if opened.removable is None:
        pytest.skip("nobody may be removed from the real group")
    listed = opened.gateway.list_group(opened.wa_id).participants
    known = next(one.id for one in listed if opened.removable in (one.id, one.lid, one.pn))
    for kind in (OutcomeKind.REMOVED, OutcomeKind.ALREADY_GONE):
        assert opened.gateway.remove(opened.wa_id, [known], in_time)[known].kind is kind
        assert known not in ids(opened.gateway, opened.wa_id)


def test_it_lists_everybody_once_with_role_and_ids(gateway: GroupGateway) -> None:
    listing = gateway.list_group(WA_ID)
    assert listing.size in (None, 5)
    assert sorted(one.id for one in listing.participants) == sorted([ANA, BO, BOSS, OWNER, ME])
    by_id = {one.id: one for one in listing.participants}
    assert (by_id[ANA].lid, by_id[ANA].pn) == (ANA, "33100000001@s.whatsapp.net")
    assert [by_id[known].role for known in (ANA, BOSS, OWNER)] == ["member", "admin", "superadmin"]
    assert [one.id for one in listing.participants if one.is_me] == [ME]


def test_a_group_that_is_not_there_is_gone(opened: Opened) -> None:
    with pytest.raises(GroupGone):
        opened.gateway.list_group("120363000000000000@g.us")


def test_who_was_removed_is_not_listed_any_more(gateway: GroupGateway) -> None:
    assert kinds(gateway, ANA, BO) == {ANA: OutcomeKind.REMOVED, BO: OutcomeKind.REMOVED}
    assert ids(gateway) == {BOSS, OWNER, ME}


def test_there_is_one_outcome_for_each(gateway: GroupGateway) -> None:
    assert kinds(gateway, ANA, STRANGER, BOSS) == {
        ANA: OutcomeKind.REMOVED,
        STRANGER: OutcomeKind.ALREADY_GONE,
        BOSS: OutcomeKind.REFUSED,
    }


def test_again_is_already_gone(gateway: GroupGateway) -> None:
    kinds(gateway, ANA)
    assert kinds(gateway, ANA) == {ANA: OutcomeKind.ALREADY_GONE}


@pytest.mark.parametrize("known", [BOSS, OWNER, ME])
def test_a_refusal_has_code_and_reason_and_no_effect(gateway: GroupGateway, known: str) -> None:
    outcome = gateway.remove(WA_ID, [known], in_time)[known]
    assert outcome.kind is OutcomeKind.REFUSED
    assert outcome.code
    assert outcome.reason
    assert known in ids(gateway)


def test_nothing_is_sent_after_the_deadline(opened: Opened) -> None:
    before = ids(opened.gateway, opened.wa_id)
    with pytest.raises(GatewayError) as raised:
        opened.gateway.remove(opened.wa_id, [ANA], lambda: 0.0)
    assert (raised.value.nothing_sent, raised.value.retryable) == (True, True)
    assert ids(opened.gateway, opened.wa_id) == before


@pytest.mark.usefixtures("gateway")
def test_another_connection_sees_the_same(opened: Opened) -> None:
    kinds(opened.gateway, ANA)
    again = open_gateway(opened.settings, opened.store, Clock())
    assert ids(again) == {BO, BOSS, OWNER, ME}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("evolution", "EVOLUTION_API_URL and EVOLUTION_API_KEY and EVOLUTION_INSTANCE_NAME are not set"),
        ("waha", "WAHA_URL and WAHA_API_KEY are not set"),
        ("fax", "there is no such gateway"),
        ("", "there is no such gateway"),
        ("tests.gateways.slow:open_fast", "cannot be imported"),
        ("no.such.module:open", "cannot be imported"),
    ],
)
def test_a_gateway_that_is_not_there_is_named(tmp_path: Path, name: str, said: str) -> None:
    settings = Settings(home=tmp_path, gateway=name)
    for ask in (
        lambda: open_gateway(settings, open_job_store(settings, Clock()), Clock()),
        lambda: call_seconds(settings),
    ):
        with pytest.raises(GatewayUnknown) as raised:
            ask()
        assert str(raised.value).startswith(f"RUNNER_GATEWAY={name}: ")
        assert said in str(raised.value)
