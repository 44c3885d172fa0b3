"""One person is one row: how people with two ids are found, joined and kept apart."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import insert, select, text

from runner.errors import MemberNotFound
from runner.groups.activity import ActivityRows
from runner.groups.history import HistoryRows, NewHistory
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.groups.unmatched import MatchRows
from runner.groups.whitelist import WhitelistRows
from runner.stores.group_schema import author_matches, job_people, people, removal_history, roster_removals
from tests.unit.groupstore import DAY, NOW, GroupStore

LID, PN = "100@lid", "33100000001@s.whatsapp.net"
BOTH = MemberEntry(lid=LID, pn=PN)


@pytest.mark.parametrize(
    "spelling", [PN, "33100000001@c.us", "33100000001:12@s.whatsapp.net", LID, "100:3@lid", f" {LID} "]
)
def test_every_spelling_finds_the_same_member(kept: GroupStore, spelling: str) -> None:
    person = kept.put(BOTH)
    assert kept.member(spelling).person_id == person


@pytest.mark.parametrize("nobody", ["", "7@lid", "33100000001", "100@g.us", "' OR 1=1 --@lid", LID + "\n@lid"])
def test_nobody_is_found_by_what_is_no_id(kept: GroupStore, nobody: str) -> None:
    kept.put(BOTH)
    with pytest.raises(MemberNotFound):
        kept.member(nobody)


@pytest.mark.parametrize("order", [*permutations([MemberEntry(lid=LID), MemberEntry(pn=PN), BOTH])])
def test_the_pair_makes_two_rows_one(kept: GroupStore, order: tuple[MemberEntry, ...]) -> None:
    for entry in order:
        kept.put(entry)
    assert [(one.lid, one.pn) for one in kept.members()] == [(LID, PN)]


@pytest.mark.parametrize("tried_first", [True, False])
def test_a_call_without_an_answer_is_remembered_of_two_who_are_both_queued(kept: GroupStore, tried_first: bool) -> None:
    pair = [kept.put(MemberEntry(lid=LID)), kept.put(MemberEntry(pn=PN))]
    with kept.tx() as tx:
        entries = QueueRows(tx).add(kept.group, pair, "by hand")
        assert QueueRows(tx).requeue(entries[0 if tried_first else 1])
        PersonRows(tx).resolve(LID, PN)
        assert [(one.tries, one.tried_at) for one in QueueRows(tx).list()] == [(1, tx.now)]


def test_everything_follows_a_merge(kept: GroupStore) -> None:
    by_lid = kept.put(MemberEntry(lid=LID, name="Ana", joined_at=NOW - 50 * DAY, last_active_at=NOW - 9 * DAY), NOW)
    other = MemberEntry(pn=PN, joined_at=NOW - 80 * DAY, last_active_at=NOW - 40 * DAY)
    by_pn = kept.put(other, NOW - DAY)
    with kept.tx() as tx:
        run = tx.connection.execute
        QueueRows(tx).add(kept.group, [by_pn], "by hand")
        WhitelistRows(tx).add(kept.group, by_pn)
        MemberRows(tx).set_role(kept.group, by_pn, "admin")
        HistoryRows(tx).add(kept.group, [NewHistory(by_pn, None, "FAILURE", "x", "roster")])
        MatchRows(tx).put(kept.group, "Ana B.", by_pn)
        run(insert(roster_removals).values(group_id=kept.group.id, person_id=by_pn, removed_at=1))
        run(text("PRAGMA defer_foreign_keys=ON"))
        run(insert(job_people), [{"job_id": "j", "person_id": by_pn}, {"job_id": "k", "person_id": by_pn}])
        run(insert(job_people), [{"job_id": "j", "person_id": by_lid}])
        person = MemberRows(tx).put(kept.group, BOTH, NOW)
        assert person == by_lid
        assert WhitelistRows(tx).contains(kept.group, person)
        assert [entry.person_id for entry in QueueRows(tx).list(kept.group)] == [person]
        assert run(select(removal_history.c.person_id)).scalars().all() == [person]
        assert run(select(author_matches.c.person_id)).scalars().all() == [person]
        assert run(select(roster_removals.c.person_id)).scalars().all() == [person]
        pinned = run(select(job_people.c.job_id, job_people.c.person_id).order_by(job_people.c.job_id)).all()
        assert [tuple(row) for row in pinned] == [("j", person), ("k", person)]
        run(text("DELETE FROM job_people"))
    member = kept.member(PN)
    assert (member.role, member.name) == ("admin", "Ana")
    assert (member.joined_at, member.first_seen_at) == (NOW - 50 * DAY, NOW - DAY)  # the later join is a return
    assert (member.first_active_at, member.last_active_at) == (NOW - 40 * DAY, NOW - 9 * DAY)


def test_both_in_the_queue_stay_once(kept: GroupStore) -> None:
    ids = [kept.put(MemberEntry(lid=LID)), kept.put(MemberEntry(pn=PN))]
    with kept.tx() as tx:
        assert len(QueueRows(tx).add(kept.group, ids, "by hand")) == 2
        MemberRows(tx).put(kept.group, BOTH, NOW)
        assert [entry.person_id for entry in QueueRows(tx).list(kept.group)] == [ids[0]]


def test_a_number_that_moved_takes_nothing_along(kept: GroupStore) -> None:
    """The number of somebody who has another lid: its old owner keeps name, activity and whitelist."""
    old = kept.put(MemberEntry(lid="200@lid", pn=PN, name="Old", last_active_at=NOW))
    new = kept.put(MemberEntry(lid=LID, pn=PN, name="New"))
    assert old != new
    assert [(one.lid, one.pn, one.name) for one in kept.members()] == [("200@lid", None, "Old"), (LID, PN, "New")]
    assert kept.member(LID).last_active_at is None


def test_a_new_number_of_a_known_lid(kept: GroupStore) -> None:
    person = kept.put(BOTH)
    assert kept.put(MemberEntry(lid=LID, pn="33100000009@s.whatsapp.net")) == person
    assert kept.member(LID).pn == "33100000009@s.whatsapp.net"


def test_present_if_either_was(kept: GroupStore) -> None:
    kept.put(MemberEntry(lid=LID))
    gone = kept.put(MemberEntry(pn=PN))
    with kept.tx() as tx:
        MemberRows(tx).leave(kept.group, [gone], NOW)
        PersonRows(tx).resolve(LID, PN)
    assert kept.member(LID).left_at is None


def test_activity_only_ever_widens(kept: GroupStore) -> None:
    person = kept.put(MemberEntry(lid=LID, last_active_at=NOW - 5 * DAY))
    with kept.tx() as tx:
        ActivityRows(tx).saw(kept.group, person, NOW - 9 * DAY)
        ActivityRows(tx).saw(kept.group, person, NOW - 7 * DAY)
    kept.put(MemberEntry(lid=LID, last_active_at=NOW - 8 * DAY))
    member = kept.member(LID)
    assert (member.first_active_at, member.last_active_at) == (NOW - 9 * DAY, NOW - 5 * DAY)


def test_what_a_list_does_not_say_stays(kept: GroupStore) -> None:
    kept.put(MemberEntry(lid=LID, name="Ana", role="admin", joined_at=NOW - 9 * DAY, is_me=True))
    kept.put(MemberEntry(lid=LID))
    member = kept.member(LID)
    assert (member.name, member.role, member.joined_at, member.is_me) == ("Ana", "admin", NOW - 9 * DAY, True)


def test_whoever_comes_back_is_watched_anew(kept: GroupStore) -> None:
    person = kept.put(MemberEntry(lid=LID, joined_at=NOW - 300 * DAY))
    with kept.tx() as tx:
        MemberRows(tx).leave(kept.group, [person], NOW - 50 * DAY)
    kept.put(MemberEntry(lid=LID, joined_at=NOW - 300 * DAY), NOW)
    member = kept.member(LID)
    assert (member.left_at, member.joined_at) == (None, NOW)


def test_whom_a_job_took_off_the_roster_stays_off_by_an_old_list(kept: GroupStore) -> None:
    person = kept.put(MemberEntry(lid=LID))
    with kept.tx() as tx:
        row = {"group_id": kept.group.id, "person_id": person, "removed_at": NOW - DAY}
        tx.connection.execute(insert(roster_removals).values(row))
        MemberRows(tx).leave(kept.group, [person], NOW - DAY)
    kept.put(MemberEntry(lid=LID), NOW)
    assert kept.members() == []
    kept.put(MemberEntry(lid=LID, last_active_at=NOW - DAY // 2), NOW)
    assert [one.lid for one in kept.members()] == [LID]


def test_a_person_has_an_id(kept: GroupStore) -> None:
    with pytest.raises(ValueError, match="at least one id"):
        kept.put(MemberEntry(name="Nobody"))


def test_a_long_list_comes_to_the_same_as_one_by_one(kept: GroupStore) -> None:
    lids = [MemberEntry(lid=f"{n}@lid") for n in range(1000)]
    numbers = [MemberEntry(pn=f"33{n:08d}@s.whatsapp.net") for n in range(1000)]
    twice = [MemberEntry(lid="5000@lid"), MemberEntry(lid="5000@lid")]
    pairs = [MemberEntry(lid=f"{n}@lid", pn=f"33{n:08d}@s.whatsapp.net", name=f"P{n}") for n in range(0, 1000, 3)]
    with kept.tx() as tx:
        MemberRows(tx).put_all(kept.group, [*lids, *numbers, *pairs, *twice], NOW)
        assert MemberRows(tx).count(kept.group) == 2000 - len(pairs) + 1
        assert tx.connection.execute(select(people.c.pn).where(people.c.lid == "999@lid")).scalar_one() is not None


def test_a_list_again_changes_what_it_says_anew_and_nothing_else(kept: GroupStore) -> None:
    entries = [MemberEntry(lid=f"{n}@lid", name=f"P{n}", last_active_at=NOW - n * DAY) for n in range(1, 6)]
    with kept.tx() as tx:
        MemberRows(tx).put_all(kept.group, entries, NOW - DAY)
    before = kept.members()
    with kept.tx() as tx:
        MemberRows(tx).put_all(kept.group, entries, NOW)
    assert kept.members() == before
    changed = [
        MemberEntry(lid="1@lid", role="admin"),
        MemberEntry(lid="2@lid", name="New"),
        MemberEntry(lid="2@lid", pn=PN),
    ]
    with kept.tx() as tx:
        MemberRows(tx).put_all(kept.group, [*entries[2:], *changed, MemberEntry(lid="3@lid", last_active_at=NOW)], NOW)
    after = kept.members()
    assert [(one.role, one.name, one.pn) for one in after[:2]] == [("admin", "P1", None), ("member", "New", PN)]
    assert after[2].last_active_at == NOW
    assert after[3:] == before[3:]


def test_members_are_listed_by_page_and_role(kept: GroupStore) -> None:
    for number in range(5):
        kept.put(MemberEntry(lid=f"{number}@lid", role="admin" if number == 3 else "member"))
    with kept.tx() as tx:
        rows = MemberRows(tx)
        first = rows.list(kept.group, limit=2)
        rest = rows.list(kept.group, after=first[-1].person_id)
        assert [one.lid for one in [*first, *rest]] == [f"{number}@lid" for number in range(5)]
        assert [one.lid for one in rows.list(kept.group, role="admin")] == ["3@lid"]
        with pytest.raises(ValueError, match="is not a role"):
            rows.set_role(kept.group, first[0].person_id, "ADMIN")
        with pytest.raises(MemberNotFound):
            rows.set_role(kept.group, 10**6, "admin")
