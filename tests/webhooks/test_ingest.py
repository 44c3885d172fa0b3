"""Taking a group in from its gateway: over HTTP on both sides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from runner.groups.group import GroupRows
from runner.groups.ingest import GroupNotThere, ingest
from runner.groups.member import MemberEntry, MemberRows
from runner.opening import open_gateway
from runner.settings import Settings
from runner.stores.database import SqlStore
from runner.stores.group_schema import observations
from tests.endtoend.server import Server
from tests.webhooks import samples
from tests.webhooks.kept import LIMITS
from tests.webhooks.listing_server import KEY, ListingServer, group, person
from tests.webhooks.samples import GROUP, INSTANCE
from tests.webhooks.sender import SECRET, Sender
from tests.webhooks.test_answers import Gateway

OTHER = "120363000000000002@g.us"
LONG_AGO = 1_700_000_000_000


class World:
    def __init__(self, home: Path) -> None:
        self.evolution = ListingServer()
        self.server = Server(
            home, webhook_secret=SECRET, gateway="evolution", gateway_call_seconds=5, retry_seconds=0.01
        )
        variables = {"API_URL": self.evolution.url, "API_KEY": KEY, "INSTANCE_NAME": INSTANCE}
        self.server.add_environment({f"EVOLUTION_{name}": value for name, value in variables.items()})
        self.server.start()
        self.store = SqlStore(f"sqlite:///{home / 'runner.db'}", pooled=False)

    def ingest(self, wa_id: str = GROUP) -> tuple[int, Any]:
        return self.server.call("POST", "/admin/groups/ingest", {"groupWaId": wa_id})

    def members(self, wa_id: str = GROUP) -> dict[str, dict[str, Any]]:
        status, found = self.server.call("GET", f"/admin/members?groupWhatsappId={wa_id}")
        assert status == 200, found
        return {one["user"]["whatsappId"]: one for one in found}

    def close(self) -> None:
        self.server.close()
        self.evolution.close()


@pytest.fixture(scope="module")
def module_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("home"))
    yield made
    made.close()


@pytest.fixture
def world(module_world: World) -> World:
    module_world.evolution.groups = {GROUP: group(GROUP, [person(0, "admin"), person(1), person(2, "superadmin")])}
    module_world.evolution.status = 200
    return module_world


def ids(*numbers: int) -> list[str]:
    return [str(person(number)["id"]) for number in numbers]


def test_a_group_is_taken_in_and_nothing_is_made_up(world: World) -> None:
    status, taken = world.ingest()
    assert status == 200, taken
    assert (taken["group"]["whatsappId"], taken["group"]["name"]) == (GROUP, "Neighbours")
    assert [user["whatsappId"] for user in taken["users"]] == ids(0, 1, 2)
    assert taken["users"][1]["phoneNumber"] == person(1)["phoneNumber"]
    assert (taken["whitelist"], taken["members"], taken["gone"]) == ([], 3, 0)
    assert "warnings" not in taken
    members = world.members()
    assert [members[known]["role"] for known in ids(0, 1, 2)] == ["ADMIN", "MEMBER", "SUPERADMIN"]
    assert [known for known, one in members.items() if one.get("isMe")] == ids(0)
    assert [known for known, one in members.items() if "lastActiveAt" in one or "joinDate" in one] == []


def test_what_is_known_stays_and_who_is_not_listed_any_more_is_gone(world: World) -> None:
    with world.store.write() as tx:
        known = GroupRows(tx).create(OTHER)
        for entry in (
            MemberEntry(pn=str(person(0)["phoneNumber"]), name="Us"),
            MemberEntry(pn=str(person(5)["phoneNumber"]), name="Ana", last_active_at=LONG_AGO, role="admin"),
            MemberEntry(lid=ids(6)[0], last_active_at=LONG_AGO, joined_at=LONG_AGO),
            MemberEntry(lid=ids(7)[0]),
        ):
            MemberRows(tx).put(known, entry, LONG_AGO)
    world.evolution.groups[OTHER] = group(OTHER, [person(0, "admin"), person(5), person(6)])
    for gone in (1, 0):  # the second time nothing is new
        status, taken = world.ingest(OTHER)
        assert (status, taken.get("members"), taken.get("gone")) == (200, 3, gone), taken
    members = world.members(OTHER)
    assert list(members) == ids(0, 5, 6)
    ana, other = members[ids(5)[0]], members[ids(6)[0]]
    assert (ana["role"], ana["user"]["name"], ana["lastActiveAt"]) == ("ADMIN", "Ana", "2023-11-14T22:13:20.000Z")
    assert (other["joinDate"], other["lastActiveAt"]) == ("2023-11-14T22:13:20.000Z",) * 2


@pytest.mark.parametrize(
    "listing",
    [
        group(GROUP, []),
        group(GROUP, [person(0), person(1), person(2)], size=9),
        group(GROUP, [person(1), person(2), person(3)]),
        group(GROUP, [person(0, "admin")]),
        group(GROUP, [person(0), person(1), person(2)], isCommunity=True),
    ],
    ids=["empty", "other size", "without us", "less than half", "a community"],
)
def test_a_list_that_cannot_be_taken_changes_nothing(world: World, listing: dict[str, Any]) -> None:
    world.ingest()
    before = world.members()
    world.evolution.groups[GROUP] = listing
    status, problem = world.ingest()
    assert status == 409, problem
    assert world.members() == before


def test_of_an_announcement_group_it_is_said_that_silence_means_nothing(world: World) -> None:
    world.evolution.groups[GROUP] |= {"isCommunityAnnounce": True}
    assert "Only admins write" in world.ingest()[1]["warnings"][0]


def test_a_gateway_that_does_not_list_is_said_to_be_it(world: World) -> None:
    assert world.ingest("999@g.us")[0] == 404
    world.evolution.status = 404  # what Evolution says while its socket is down
    status, problem = world.ingest()
    assert status == 503, problem
    for wrong in ("", "5511900000000@s.whatsapp.net", "x"):
        assert world.ingest(wrong)[0] == 400
    assert KEY not in str(problem)


def test_from_the_ingest_on_the_group_is_watched_if_events_come_in(world: World) -> None:
    third = "120363000000000003@g.us"
    world.evolution.groups[third] = group(third, [person(0, "admin"), person(1)])
    assert Gateway(world.server).say(samples.message("of another", ids(1)[0], LONG_AGO // 1000, group=OTHER)) == 200
    assert world.ingest(third)[0] == 200
    Sender(world.server.port, at_once=1).send([samples.evolution("presence.update", {})])
    with world.store.read() as tx:
        taken = GroupRows(tx).get(third)
        live = tx.connection.execute(select(observations.c.live).where(observations.c.group_id == taken.id)).scalars()
        assert (taken.account, list(live)) == (samples.ACCOUNT, [True])


@pytest.mark.parametrize("listing", [None, group(GROUP, [person(1), person(2), person(3)])], ids=["gone", "without us"])
def test_a_group_we_are_not_in_is_watched_no_more(world: World, listing: dict[str, Any] | None) -> None:
    """Also if we are added again before anybody notices: what was said meanwhile was not heard."""
    sender = Sender(world.server.port, at_once=1)
    assert world.ingest()[0] == 200
    sender.send([samples.message(f"before {listing}", ids(1)[0], LONG_AGO // 1000)])
    assert _going_on(world) == [samples.ACCOUNT]
    world.evolution.groups = {} if listing is None else {GROUP: listing}
    assert world.ingest()[0] == (404 if listing is None else 409)
    assert _going_on(world) == []
    sender.send([samples.message(f"told late {listing}", ids(1)[0], LONG_AGO // 1000)])
    assert _going_on(world) == []
    sender.send([samples.message(f"after {listing}", ids(1)[0], int(time.time()) + 60)])  # now, by a clock that is fast
    assert _going_on(world) == [samples.ACCOUNT]


@pytest.mark.parametrize("first", [None, group(GROUP, [person(1), person(2)])], ids=["gone", "without us"])
def test_said_once_that_we_are_not_in_it_is_not_believed(world: World, first: dict[str, Any] | None) -> None:
    assert world.ingest()[0] == 200
    Sender(world.server.port, at_once=1).send([samples.message(f"once {first}", ids(1)[0], LONG_AGO // 1000)])
    world.evolution.first = [first]
    status, taken = world.ingest()
    assert (status, taken.get("members"), world.evolution.first) == (200, 3, [])
    assert _going_on(world) == [samples.ACCOUNT]


def test_it_is_asked_again_when_a_gateway_that_began_anew_has_long_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it may say of any that we are not in it. For a group that nobody knows here, nobody waits."""
    assert world.ingest()[0] == 200
    variables = {"API_URL": world.evolution.url, "API_KEY": KEY, "INSTANCE_NAME": INSTANCE}
    for name, value in variables.items():
        monkeypatch.setenv(f"EVOLUTION_{name}", value)
    gateway = open_gateway(Settings(gateway="evolution"), world.store, world.store.clock)
    waits: list[float] = []
    world.evolution.first = [None]
    assert ingest(world.store, gateway, GROUP, samples.ACCOUNT, LIMITS, waits.append).members == 3
    with pytest.raises(GroupNotThere):
        ingest(world.store, gateway, "120363000000000009@g.us", samples.ACCOUNT, LIMITS, waits.append)
    assert waits == [30.0]


def test_a_list_that_is_cut_short_does_not_say_that_we_are_out(world: World) -> None:
    assert world.ingest()[0] == 200
    Sender(world.server.port, at_once=1).send([samples.message("cut", ids(1)[0], LONG_AGO // 1000)])
    world.evolution.groups[GROUP] = group(GROUP, [person(1)])
    status, problem = world.ingest()
    assert (status, "it has 1 people where we know of 3" in str(problem)) == (409, True), problem
    assert _going_on(world) == [samples.ACCOUNT]


def _going_on(world: World) -> list[str]:
    with world.store.read() as tx:
        known = GroupRows(tx).get(GROUP)
        live = select(observations.c.source).where(observations.c.group_id == known.id, observations.c.live)
        return [source.removeprefix("events of ") for source in tx.connection.execute(live).scalars()]


def test_the_roster_is_what_is_kept_here_already(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        with SqlStore(f"sqlite:///{tmp_path / 'runner.db'}", pooled=False).write() as tx:
            MemberRows(tx).put(GroupRows(tx).create(GROUP), MemberEntry(lid=ids(1)[0]), LONG_AGO)
        status, taken = server.call("POST", "/admin/groups/ingest", {"groupWaId": GROUP})
        assert (status, taken["members"]) == (200, 1)
        assert server.call("POST", "/admin/groups/ingest", {"groupWaId": OTHER})[0] == 404
    finally:
        server.close()
