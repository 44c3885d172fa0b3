"""What every gateway must do, whichever it is: one suite for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.clock import Clock
from runner.gateway import GroupGateway, GroupGone, NotConnected, OutcomeKind
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.opening import GatewayUnknown, call_seconds, open_gateway, open_job_store
from runner.settings import Settings
from runner.store import Store
from runner.stores.migrate import migrate
from tests.gateways.slow import configure

GATEWAYS = {"roster": "roster", "slow": "tests.gateways.slow:open_slow"}
WA_ID = "120363403645737238@g.us"
ANA, BO, BOSS, OWNER, ME = "1@lid", "33100000002@s.whatsapp.net", "3@lid", "4@lid", "5@lid"
STRANGER = "99@lid"


@dataclass
class Opened:
    gateway: GroupGateway
    store: Store
    settings: Settings


@pytest.fixture(params=GATEWAYS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """A group of five: Ana, Bo, an admin, the owner, ourselves."""
    settings = Settings(home=tmp_path, gateway=GATEWAYS[request.param])
    configure(tmp_path, call_ms=0)
    migrate(settings.url)
    clock = Clock()
    store = open_job_store(settings, clock)
    with store.write() as tx:
        group = GroupRows(tx).create(WA_ID, "Neighbours")
        rows = MemberRows(tx)
        rows.put(group, MemberEntry(lid=ANA, pn="33100000001@s.whatsapp.net", name="Ana"), tx.now)
        rows.put(group, MemberEntry(pn=BO), tx.now)
        rows.put(group, MemberEntry(lid=BOSS, role="admin"), tx.now)
        rows.put(group, MemberEntry(lid=OWNER, role="superadmin"), tx.now)
        rows.put(group, MemberEntry(lid=ME, is_me=True), tx.now)
    yield Opened(open_gateway(settings, store, clock), store, settings)
    store.close()


@pytest.fixture
def gateway(opened: Opened) -> GroupGateway:
    return opened.gateway


def in_time() -> float:
    return 5.0


def ids(gateway: GroupGateway) -> set[str]:
    return {one.id for one in gateway.list_group(WA_ID).participants}


def kinds(gateway: GroupGateway, *wanted: str, left: Callable[[], float] = in_time) -> dict[str, OutcomeKind]:
    return {known: outcome.kind for known, outcome in gateway.remove(WA_ID, wanted, left).items()}


def test_it_has_a_name_and_a_longest_call(opened: Opened) -> None:
    assert 0 < len(opened.gateway.via) <= 20  # as long as history has room for
    assert opened.gateway.call_seconds > 0
    assert call_seconds(opened.settings) >= opened.gateway.call_seconds


def test_it_lists_everybody_once_with_role_and_ids(gateway: GroupGateway) -> None:
    listing = gateway.list_group(WA_ID)
    assert listing.size in (None, 5)
    assert sorted(one.id for one in listing.participants) == sorted([ANA, BO, BOSS, OWNER, ME])
    by_id = {one.id: one for one in listing.participants}
    assert (by_id[ANA].lid, by_id[ANA].pn) == (ANA, "33100000001@s.whatsapp.net")
    assert [by_id[known].role for known in (ANA, BOSS, OWNER)] == ["member", "admin", "superadmin"]
    assert [one.id for one in listing.participants if one.is_me] == [ME]


def test_a_group_that_is_not_there_is_gone(gateway: GroupGateway) -> None:
    with pytest.raises(GroupGone):
        gateway.list_group("7@g.us")


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


def test_nothing_is_sent_after_the_deadline(gateway: GroupGateway) -> None:
    with pytest.raises(NotConnected) as raised:
        gateway.remove(WA_ID, [ANA], lambda: 0.0)
    assert raised.value.nothing_sent
    assert ANA in ids(gateway)


def test_another_connection_sees_the_same(opened: Opened) -> None:
    kinds(opened.gateway, ANA)
    again = open_gateway(opened.settings, opened.store, Clock())
    assert ids(again) == {BO, BOSS, OWNER, ME}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("evolution", "not built in yet"),
        ("waha", "not built in yet"),
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
