"""The group as the gateway lists it, taken over into our members before anybody is removed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from runner.gateway import Listing, Participant
from runner.groups.intake import _known_and_new, entry_of, take_over
from runner.groups.listing import listed_of
from runner.groups.member import Member, MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.groups.whitelist import WhitelistRows
from runner.stores.group_schema import roster_removals
from tests.gateways.slow import SlowGateway, configure, effects, removed_ids
from tests.unit.removals import DAY, NOW, Bench, lid, lids, pn

SLOW = "tests.gateways.slow:open_slow"
WINDOW = 30 * DAY


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway=SLOW)
    configure(tmp_path, call_ms=0)
    made.silent(12)
    made.observed()
    yield made
    made.close()


def shows(monkeypatch: pytest.MonkeyPatch, change: Callable[[Listing], Listing]) -> list[int]:
    """The gateway's list from now on; returned are the times at which it was asked for, as they come."""
    true_list = SlowGateway.list_group
    asked: list[int] = []

    def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
        asked.append(len(asked))
        found = change(true_list(gateway, wa_id))
        return replace(found, size=len(found.participants)) if found.size is not None else found

    monkeypatch.setattr(SlowGateway, "list_group", list_group)
    return asked


def with_people(*people: Participant, without: tuple[str, ...] = ()) -> Callable[[Listing], Listing]:
    def change(listing: Listing) -> Listing:
        kept = [one for one in listing.participants if one.id not in without]
        return replace(listing, participants=(*kept, *people))

    return change


def member(bench: Bench, known: str) -> Member:
    with bench.store.read() as tx:
        return MemberRows(tx).find(bench.group, known, also_left=True)


def test_who_is_new_is_a_member_and_is_watched_from_now_on(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    shows(monkeypatch, with_people(Participant("77@lid", "77@lid", "33999@c.us", "member", name="Neu")))
    slow.members(MemberEntry(lid=lid(99), last_active_at=NOW))
    result = slow.done()
    assert sorted(result["removedWhatsappIds"]) == sorted(lids(range(1, 13)))
    new = member(slow, "77@lid")
    assert (new.pn, new.name, new.role, new.left_at) == ("33999@s.whatsapp.net", "Neu", "member", None)
    assert (new.joined_at, new.first_active_at, new.last_active_at) == (None, None, None), "nothing is invented"
    assert new.first_seen_at == NOW
    assert result["listed"]["people"] == 14
    assert result["listed"]["left"] == 0


def test_who_is_not_listed_any_more_has_left_and_is_not_asked_for(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    shows(monkeypatch, with_people(without=(lid(2), lid(3))))
    result = slow.done()
    assert removed_ids(slow.home) == lids((1, *range(4, 13)))
    assert member(slow, lid(2)).left_at == NOW
    assert result["listed"]["left"] == 2
    assert {"alreadyGone", "skipped"}.isdisjoint(result)


def test_whoever_came_after_the_list_was_asked_for_is_not_missed(slow: Bench) -> None:
    slow.members(MemberEntry(lid="88@lid"), seen_at=NOW + 1)
    slow.members(MemberEntry(lid="89@lid", joined_at=NOW + 1))
    listing = Listing(None, 1, (Participant(lid(1), lid(1), None, "member"),))
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert slow.present() == {lid(1), "88@lid", "89@lid"}


def test_a_role_is_given_by_a_list_and_taken_away_by_none(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.members(MemberEntry(lid=lid(5), role="admin"))
    roles = {lid(3): "admin", lid(4): "superadmin", lid(5): "member"}
    shows(
        monkeypatch,
        lambda listing: replace(
            listing, participants=tuple(replace(one, role=roles.get(one.id, one.role)) for one in listing.participants)
        ),
    )
    assert slow.done()["removedWhatsappIds"] == lids((1, 2, *range(6, 13)))
    assert [member(slow, lid(number)).role for number in (3, 4, 5)] == ["admin", "superadmin", "admin"]


def test_people_are_known_again_by_either_id(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export knew a number, a list a lid; who was heard, or is whitelisted, under one of them stays."""
    slow.members(MemberEntry(pn=pn(1), last_active_at=NOW - DAY), MemberEntry(pn=pn(2)))
    with slow.store.write() as tx:
        WhitelistRows(tx).add(slow.group, MemberRows(tx).find(slow.group, pn(2)).person_id)
    shown = with_people(
        Participant(lid(1), lid(1), pn(1), "member"),
        Participant(lid(2), lid(2), pn(2), "member"),
        without=(lid(1), lid(2), pn(1), pn(2)),
    )
    shows(monkeypatch, shown)
    assert slow.done()["removedWhatsappIds"] == lids(range(3, 13))
    assert member(slow, lid(1)).last_active_at == NOW - DAY
    assert member(slow, lid(1)).person_id == member(slow, pn(1)).person_id


def test_whoever_is_back_is_watched_anew(slow: Bench) -> None:
    person = slow.person(1)
    with slow.store.write() as tx:
        MemberRows(tx).leave(slow.group, [person], NOW - 50 * DAY)
        tx.connection.execute(
            insert(roster_removals).values(group_id=slow.group.id, person_id=person, removed_at=NOW - DAY)
        )
    listing = Listing(None, 1, (Participant(lid(1), lid(1), None, "member"),))
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert (member(slow, lid(1)).left_at, member(slow, lid(1)).joined_at) == (None, NOW)


def test_whoever_left_after_the_list_was_asked_for_stays_gone(slow: Bench) -> None:
    with slow.store.write() as tx:
        MemberRows(tx).leave(slow.group, [MemberRows(tx).find(slow.group, lid(1)).person_id], NOW + 5)
    listing = Listing(None, 1, (Participant(lid(1), lid(1), None, "member"),))
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert member(slow, lid(1)).left_at == NOW + 5


def told_before_the_end(monkeypatch: pytest.MonkeyPatch, tell: Callable[[], None]) -> None:
    """``tell`` happens after the list was compared with what we know, and before anybody is marked as left."""

    def known_and_new(*arguments: Any) -> Any:
        found = _known_and_new(*arguments)
        tell()
        return found

    monkeypatch.setattr("runner.groups.intake._known_and_new", known_and_new)


def test_whoever_is_found_to_be_one_with_another_meanwhile_has_not_left(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list shows a number; an event tells the lid that we know as another person."""
    slow.members(MemberEntry(pn=pn(1)))

    def tell() -> None:
        with slow.store.write() as tx:
            PersonRows(tx).resolve(lid(1), pn(1))

    told_before_the_end(monkeypatch, tell)
    listing = Listing(None, 1, (Participant(pn(1), None, pn(1), "member"),))
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert member(slow, pn(1)).shown_id == lid(1)
    assert member(slow, lid(1)).left_at is None


def test_whoever_has_another_number_meanwhile_has_not_left(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list shows the old one, and nothing of the new one."""
    slow.members(MemberEntry(lid="500@lid"))

    def tell() -> None:
        with slow.store.write() as tx:
            PersonRows(tx).merge(member(slow, "500@lid").person_id, slow.person(1))

    told_before_the_end(monkeypatch, tell)
    listing = Listing(None, 1, (Participant(lid(1), lid(1), None, "member"),))
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert member(slow, "500@lid").left_at is None


def test_whoever_gets_the_number_of_another_meanwhile_has_not_left(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.members(MemberEntry(lid="500@lid", pn=pn(500)))

    def tell() -> None:
        with slow.store.write() as tx:
            PersonRows(tx).resolve(lid(1), pn(500))

    told_before_the_end(monkeypatch, tell)
    listing = Listing(None, 1, (Participant(pn(500), None, pn(500), "member"),))
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert member(slow, lid(1)).left_at is None


SUSPICIOUS: list[tuple[str, Callable[[Listing], Listing], str]] = [
    ("empty", lambda listing: replace(listing, participants=()), "it is empty"),
    ("size", lambda listing: replace(listing, participants=listing.participants[1:]), "it names 11 people and says"),
    ("half", lambda listing: replace(listing, size=None, participants=listing.participants[:5]), "it has 5 people"),
    ("without us", lambda listing: replace(listing, lacks_us=True), "we are not on it ourselves"),
]


@pytest.mark.parametrize("type_name", ["removal_workflow", "removal_queue"])
@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("change", "said"), [one[1:] for one in SUSPICIOUS], ids=[one[0] for one in SUSPICIOUS])
def test_a_suspicious_list_ends_the_job_before_it_does_anything(
    slow: Bench,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Listing], Listing],
    said: str,
    dry_run: bool,
    type_name: str,
) -> None:
    before = slow.dump()
    true_list = SlowGateway.list_group
    monkeypatch.setattr(SlowGateway, "list_group", lambda self, wa_id: change(true_list(self, wa_id)))
    job_id = slow.start(type_name, dryRun=dry_run)
    assert slow.run(job_id) == "failed"
    assert said in str(slow.job(job_id).error)
    assert slow.dump() == before
    assert effects(slow.home) == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_community_is_refused(slow: Bench, monkeypatch: pytest.MonkeyPatch, dry_run: bool) -> None:
    shows(monkeypatch, lambda listing: replace(listing, is_community=True))
    job_id = slow.start(dryRun=dry_run)
    assert slow.run(job_id) == "failed"
    assert str(slow.job(job_id).error).startswith("This is a community")
    assert effects(slow.home) == []


def test_a_dry_run_looks_and_changes_nothing(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = shows(monkeypatch, with_people(Participant("77@lid", "77@lid", None, "member"), without=(lid(2),)))
    before = slow.dump()
    result = slow.done(dryRun=True)
    assert asked
    assert slow.dump() == before
    assert "listed" not in result
    assert effects(slow.home) == []


def test_the_roster_is_not_asked_for_its_own_list(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.silent(3)
    bench.observed()
    assert "listed" not in bench.done()
    bench.close()


def test_going_on_soon_does_not_ask_again_and_much_later_does(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with slow.store.write() as tx:
        QueueRows(tx).sync(slow.group, WINDOW, tx.now, DAY)
    job_id = slow.start("removal_queue")
    listed: list[int] = []
    for hours in (0, 0.5, 2):
        slow.time.passed = hours * 3600
        slow.new_bell()
        slow.on_wait = lambda: None
        slow.ring_after_each_commit()
        assert slow.run_again(job_id) == "stopped"
        listed.append(slow.result(job_id)["listed"]["atMs"] - NOW)
    assert listed == [0, 0, 7_200_000]


def test_a_cancel_before_and_after_it_is_seen(slow: Bench) -> None:
    job_id = slow.start()
    slow.bell.ring()
    assert slow.run(job_id) == "stopped"
    assert "listed" not in slow.result(job_id)
    slow.new_bell()
    slow.ring_after_each_commit()
    assert slow.run_again(job_id) == "stopped"
    assert len(slow.queue()) == 12
    assert effects(slow.home) == []


def test_a_participant_with_no_id_of_a_person_is_left_out() -> None:
    assert entry_of(Participant("nobody", None, None, "member")) is None
    by_number = entry_of(Participant("33100000001@c.us", "5:12@lid", None, "admin", is_me=True))
    assert by_number == MemberEntry("5@lid", "33100000001@s.whatsapp.net", role="admin", is_me=True)


def drawn(chance: random.Random) -> Listing:
    """Twelve people in any order, who show a lid, a number or both; numbers move between them."""
    numbers = chance.sample(range(1, 15), 12)
    people = []
    for number, has_pn in zip(range(1, 13), numbers, strict=True):
        shows, pn_ = chance.choice(["lid", "both", "both"]), f"33{has_pn:09d}@s.whatsapp.net"
        role, name = chance.choice(["member", "member", "admin"]), chance.choice([None, "A", "B"])
        known = (lid(number), lid(number), pn_ if shows == "both" else None)
        people.append(Participant(*known, role, is_me=number == 1, name=name))
    listed = chance.sample(people, len(people))
    return Listing(None, len(listed), tuple(listed))


@pytest.mark.parametrize("seed", range(20))
def test_a_whole_list_says_what_its_people_say_one_by_one(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    whole, single = Bench(tmp_path / "whole", gateway=SLOW), Bench(tmp_path / "single", gateway=SLOW)
    job = whole.context(whole.start())
    for at in (NOW, NOW + 1, NOW + 2):
        listing = drawn(chance)
        take_over(job, whole.group, listing, listed_of(listing), at)
        with single.store.write() as tx:
            for one in listing.participants:
                entry = entry_of(one)
                assert entry is not None
                MemberRows(tx).put(single.group, entry, at, live=True)
        for one in listing.participants:
            mine, theirs = member(whole, one.id), member(single, one.id)
            assert replace(mine, person_id=0) == replace(theirs, person_id=0)
    whole.close()
    single.close()


# -- cost --------------------------------------------------------------------------------------------------------


def everybody(count: int) -> Listing:
    people = tuple(Participant(lid(n), lid(n), f"33{n:09d}@s.whatsapp.net", "member") for n in range(101, count + 101))
    return Listing(None, count, people)


@pytest.mark.parametrize("known_by", ["nobody", "lid", "number"])
def test_400_people_cost_a_few_statements(slow: Bench, known_by: str) -> None:
    listing = everybody(4000)
    if known_by != "nobody":
        ids = [(one.lid, None) if known_by == "lid" else (None, one.pn) for one in listing.participants]
        slow.members(*(MemberEntry(lid=lid_, pn=pn_) for lid_, pn_ in ids))
    statements: list[str] = []
    slow.count_statements(statements)
    take_over(slow.context(slow.start()), slow.group, listing, listed_of(listing), NOW)
    assert len(statements) < 10 * 6 + 40
    assert len(slow.present()) == 4000
