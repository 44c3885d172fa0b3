"""What webhooks change: activity, membership, role and number, each by its own time and only once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import update

from runner.groups.group import GroupRows
from runner.groups.hearing import Limits
from runner.groups.inbox import Inbox, Letter
from runner.groups.judgement import look_again
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.groups.watchman import Watchman
from runner.groups.whitelist import WhitelistRows
from runner.settings import Settings
from runner.stores.group_schema import memberships, roster_removals
from tests.unit.groupstore import DAY, NOW, WA_ID
from tests.webhooks import samples
from tests.webhooks.kept import HOUR, Kept
from tests.webhooks.samples import row

ANA, ANA_PN = "100000000000002@lid", "5511900000001@s.whatsapp.net"
BO, BO_PN = "100000000000003@lid", "5511900000002@s.whatsapp.net"
US = "100000000000009@lid"


def message(key: str | None, who: str | None, at: int, **more: Any) -> dict[str, Any]:
    return samples.message(key, who, at // 1000, group=WA_ID, **more)


def moved(action: str, who: str, *, stamp: str = "2026-01-01T10:00:00.000Z", **more: Any) -> dict[str, Any]:
    return samples.participants(action, [row(who)], group=WA_ID, date_time=stamp, **more)


def waha_moved(kind: str, who: str, at: int) -> dict[str, Any]:
    payload = {"group": {"id": WA_ID}, "type": kind, "timestamp": at, "participants": [{"id": who}]}
    return samples.waha("group.v2.participants", payload, id=f"evt_{kind}_{who}_{at}")


# --- activity ---


def test_a_message_makes_its_author_active_at_its_own_time(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA))
    kept.receive(message("1", ANA, NOW - DAY))
    assert kept.member(ANA).last_active_at == NOW - DAY
    assert kept.tallies() == {("messages-upsert", "stored"): 1}


@pytest.mark.parametrize("together", [False, True])
def test_neither_order_nor_repetition_moves_activity_backwards(kept: Kept, together: bool) -> None:
    kept.put(MemberEntry(lid=ANA, last_active_at=NOW - 9 * DAY))
    bodies = [message(str(day), ANA, NOW - day * DAY) for day in (3, 1, 2, 20)]
    kept.receive(*bodies, *bodies, together=together)
    assert kept.member(ANA).last_active_at == NOW - DAY
    assert kept.member(ANA).first_active_at == NOW - 20 * DAY
    assert kept.tallies() == {("messages-upsert", "stored"): 4, ("messages-upsert", "duplicate"): 4}


def test_a_message_without_a_key_is_taken_each_time(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA))
    kept.receive(message(None, ANA, NOW - DAY), message(None, ANA, NOW - DAY))
    assert kept.tallies() == {("messages-upsert", "stored"): 2}


def test_the_same_key_in_another_group_is_another_message(kept: Kept) -> None:
    with kept.tx() as tx:
        GroupRows(tx).create(samples.GROUP)
    kept.receive(message("1", ANA, NOW), samples.message("1", ANA, NOW // 1000), together=True)
    assert kept.tallies() == {("messages-upsert", "stored"): 2}


@pytest.mark.parametrize("together", [False, True])
def test_nobody_hides_what_others_say_by_giving_theirs_the_same_key(kept: Kept, together: bool) -> None:
    kept.put(MemberEntry(lid=ANA))
    kept.put(MemberEntry(lid=BO))
    kept.receive(message("1", BO, NOW), message("1", ANA, NOW - DAY), message("1", ANA, NOW - DAY), together=together)
    assert (kept.member(BO).last_active_at, kept.member(ANA).last_active_at) == (NOW, NOW - DAY)
    assert kept.tallies() == {("messages-upsert", "stored"): 2, ("messages-upsert", "duplicate"): 1}


def test_a_pair_of_ids_joins_two_people_into_one(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA, last_active_at=NOW - 5 * DAY))
    kept.put(MemberEntry(pn=ANA_PN, name="Ana Lima", last_active_at=NOW - 3 * DAY))
    kept.receive(
        message("1", ANA, NOW - 8 * DAY, name=None),
        message("2", ANA, NOW - 2 * DAY, alt="5511900000001:14@s.whatsapp.net"),
        message("3", ANA_PN, NOW - DAY, name="Ana"),
        together=True,
    )
    assert kept.people() == [(ANA, ANA_PN, "Ana Lima")]
    assert (kept.member(ANA).first_active_at, kept.member(ANA_PN).last_active_at) == (NOW - 8 * DAY, NOW - DAY)


def test_what_they_call_themselves_is_taken_for_want_of_a_name(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA, name="Ana Lima"))
    kept.put(MemberEntry(lid=BO))
    kept.receive(message("1", ANA, NOW, name="~ana~"), message("2", BO, NOW, name="Bo"))
    assert [name for _, _, name in kept.people()] == ["Ana Lima", "Bo"]


def test_somebody_new_becomes_a_member_whose_coming_is_not_known(kept: Kept) -> None:
    kept.receive(message("1", ANA, NOW - DAY, alt=ANA_PN))
    member = kept.member(ANA_PN)
    assert (member.joined_at, member.first_seen_at, member.last_active_at) == (None, NOW, NOW - DAY)


def test_our_own_messages_show_who_we_are(kept: Kept) -> None:
    kept.put(MemberEntry(lid=US))
    kept.receive(message("1", US, NOW - DAY, from_me=True))
    assert kept.member(US).is_me
    kept.receive(message("2", None, NOW, from_me=True))
    assert kept.member(US).last_active_at == NOW


def test_of_groups_that_nobody_took_in_nothing_is_kept(kept: Kept) -> None:
    kept.receive(samples.message("1", ANA, NOW // 1000), samples.participants("add", [row(ANA)]))
    assert kept.people() == []
    assert kept.tallies() == {
        ("messages-upsert", "unknown_group"): 1,
        ("group-participants-update", "unknown_group"): 1,
    }


def test_names_of_events_do_not_fill_the_store(kept: Kept) -> None:
    kept.receive(*(samples.evolution(f"made.up.{number}", {}) for number in range(300)), together=True)
    tallies = kept.tallies()
    assert len(tallies) == 201
    assert tallies["other", "unknown"] == 100


# --- who came and went ---


def test_whoever_comes_goes_and_comes_again(kept: Kept) -> None:
    kept.receive(waha_moved("join", ANA, NOW - 3 * DAY))
    assert (kept.member(ANA).joined_at, kept.member(ANA).left_at) == (NOW - 3 * DAY, None)
    kept.receive(waha_moved("leave", ANA, NOW - 2 * DAY))
    assert kept.member(ANA).left_at == NOW - 2 * DAY
    kept.receive(waha_moved("join", ANA, NOW - DAY))
    assert (kept.member(ANA).joined_at, kept.member(ANA).left_at) == (NOW - DAY, None)


@pytest.mark.parametrize("seed", range(20))
def test_in_whichever_order_it_is_told_the_end_is_the_same(kept: Kept, seed: int) -> None:
    bodies = [
        waha_moved("join", ANA, NOW - 9 * DAY),
        message("1", ANA, NOW - 8 * DAY),
        waha_moved("leave", ANA, NOW - 7 * DAY),
        waha_moved("join", BO, NOW - 6 * DAY),
        waha_moved("join", ANA, NOW - 5 * DAY),
        message("2", BO, NOW - 4 * DAY),
        waha_moved("leave", BO, NOW - 3 * DAY),
        message("3", ANA, NOW - 2 * DAY),
    ] * 2
    random.Random(seed).shuffle(bodies)
    kept.receive(*bodies, together=seed % 2 == 0)
    ana, bo = kept.member(ANA), kept.member(BO)
    assert (ana.left_at, ana.last_active_at) == (None, NOW - 2 * DAY)
    assert (bo.left_at, bo.last_active_at) == (NOW - 3 * DAY, NOW - 4 * DAY)
    # Whoever seems to have been away since they were last heard is watched anew: never sooner than they were there.
    assert ana.joined_at is not None
    assert ana.joined_at >= NOW - 5 * DAY


def test_evolution_tells_of_somebody_removed_and_of_somebody_who_left_alike(kept: Kept) -> None:
    for who, author in ((ANA, BO), (BO, BO)):
        kept.put(MemberEntry(lid=who))
        kept.receive(moved("remove", who, author=author))
        assert kept.member(who).left_at is not None


def test_whoever_has_another_number_keeps_what_is_known_of_them(kept: Kept) -> None:
    kept.put(MemberEntry(pn=ANA_PN, last_active_at=NOW - 5 * DAY, role="admin"))
    kept.receive(samples.participants("modify", [ANA_PN], author=BO_PN, group=WA_ID))
    member = kept.member(BO_PN)
    assert (member.last_active_at, member.role) == (NOW - 5 * DAY, "admin")


@pytest.mark.parametrize("bo_pn", [None, BO_PN], ids=["by lid alone", "with a new number"])
def test_a_number_that_was_somebody_elses_before_brings_nothing_of_theirs(kept: Kept, bo_pn: str | None) -> None:
    """Our book had it beside their lid still when the next one gave it up, too. But whoever is on the whitelist: should
    the two be one, that must not be lost.
    """
    ana = kept.put(MemberEntry(lid=ANA, pn=ANA_PN, name="Ana", last_active_at=NOW - 5 * DAY))
    kept.put(MemberEntry(lid=BO, pn=bo_pn, name="Bo", last_active_at=NOW - DAY))
    with kept.tx() as tx:
        assert len(QueueRows(tx).add(kept.group, [ana], "by hand")) == 1
        WhitelistRows(tx).add(kept.group, ana)
        tx.connection.execute(update(memberships).where(memberships.c.person_id == ana).values(role="admin"))
    kept.receive(samples.participants("modify", [ANA_PN], author=BO, group=WA_ID))
    assert kept.people() == [(ANA, None, "Ana"), (BO, bo_pn or ANA_PN, "Bo")]
    assert [(one.role, one.last_active_at) for one in kept.members()] == [
        ("admin", NOW - 5 * DAY),
        ("member", NOW - DAY),
    ]
    with kept.tx() as tx:
        assert [one.lid for one in QueueRows(tx).list()] == [ANA]
        assert [one.lid for one in WhitelistRows(tx).list()] == [ANA, BO]


def test_a_number_named_with_its_lid_is_nobodys_with_another(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA, pn=ANA_PN))
    kept.receive(samples.participants("modify", [row(US, ANA_PN)], author=BO_PN, group=WA_ID))
    assert kept.people() == [(ANA, None, None), (None, BO_PN, None)]


@pytest.mark.parametrize(
    ("known", "old", "author", "after"),
    [
        (MemberEntry(lid=ANA, role="admin"), row(ANA), BO, (BO, None)),
        (MemberEntry(lid=ANA, pn=ANA_PN, role="admin"), row(ANA, ANA_PN), BO, (BO, ANA_PN)),
        (MemberEntry(lid=ANA, pn=ANA_PN, role="admin"), ANA_PN, BO_PN, (ANA, BO_PN)),
        (MemberEntry(pn=ANA_PN, role="admin"), ANA_PN, BO, (BO, ANA_PN)),
        (MemberEntry(lid=BO, pn=ANA_PN, role="admin"), ANA_PN, BO, (BO, ANA_PN)),
    ],
    ids=["from lid to lid", "both ids to a lid", "to a number", "from a number to a lid", "the same lid"],
)
def test_where_nothing_speaks_against_it_they_are_one(
    kept: Kept, known: MemberEntry, old: Any, author: str, after: tuple[str | None, str | None]
) -> None:
    kept.put(known)
    kept.receive(samples.participants("modify", [old], author=author, group=WA_ID))
    assert [one[:2] for one in kept.people()] == [after]
    assert [one.role for one in kept.members()] == ["admin"]


def test_whoever_was_taken_off_the_roster_and_joins_again_is_back(kept: Kept) -> None:
    person = kept.put(MemberEntry(lid=ANA))
    with kept.tx() as tx:
        off = {"group_id": kept.group.id, "person_id": person, "removed_at": NOW - 2 * DAY}
        tx.connection.execute(roster_removals.insert().values(off))
        MemberRows(tx).leave(kept.group, [person], NOW - 2 * DAY)
    kept.receive(message("1", ANA, NOW - 3 * DAY))
    assert kept.member(ANA).left_at == NOW - 2 * DAY
    kept.receive(message("2", ANA, NOW - DAY))
    assert kept.member(ANA).left_at is None
    with kept.tx() as tx:
        assert tx.connection.execute(roster_removals.select()).all() == []


def test_one_body_that_breaks_does_not_take_others_with_it(kept: Kept) -> None:
    good, broken = kept.read(message("1", ANA, NOW)), kept.read(message("2", ANA, NOW))
    object.__setattr__(broken.events[0], "group_wa_id", ["nothing", "to", "look", "up"])
    inbox = Inbox(kept.store, Limits(HOUR, HOUR))
    letters = [Letter(broken), Letter(good)]
    inbox._write(letters)
    assert [letter.error is None for letter in letters] == [False, True]
    assert kept.member(ANA).last_active_at == NOW


def test_message_ids_are_forgotten_after_their_days(kept: Kept) -> None:
    kept.receive(message("1", ANA, NOW))
    kept.now += 10 * DAY
    kept.receive(message("2", ANA, NOW))
    kept.now += 5 * DAY
    Watchman(Settings(webhook_memory_days=14), kept.store, kept.store.clock).forget()
    kept.receive(message("1", ANA, NOW), message("2", ANA, NOW))
    assert kept.tallies()["messages-upsert", "duplicate"] == 1


def test_whoever_is_queued_and_spoke_is_left_at_removal_time(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA))
    kept.observed(NOW - 60 * DAY, NOW)
    with kept.tx() as tx:
        assert QueueRows(tx).sync(kept.group, 30 * DAY, NOW, HOUR) == 1
    kept.receive(message("1", ANA, NOW - HOUR))
    with kept.tx() as tx:
        (finding,) = look_again(tx, kept.group, QueueRows(tx).list(kept.group), HOUR)
    assert finding.outcome == "skipped"
    assert finding.reason is not None
    assert finding.reason.startswith("active again on")
