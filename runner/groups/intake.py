"""The group as the gateway lists it now, taken over into the members kept here, before anybody is removed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import and_, func, select

from runner.clock import iso
from runner.context import JobContext
from runner.gateway import Listing, Participant
from runner.groups.group import Group, GroupRows
from runner.groups.halt import NotForCommunities
from runner.groups.identity import LID, person_id
from runner.groups.listing import Listed
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.member_changes import has_ids
from runner.groups.silence import MEMBER
from runner.store import Store, Transaction
from runner.stores.group_schema import memberships, people

FRESH_MS = 3_600_000
"""A list taken over so lately is not asked for again when a job goes on."""

One = TypeVar("One")
Marks: TypeAlias = "array[int]"
_AT_ONCE = 4000
_GONE_AT_ONCE = 400
_ANNOUNCEMENTS = (
    "only admins write in this group (it is an announcement group), so the silence of its members says nothing of them"
    '; a real run removes nobody by it without "ignoreAnnouncement": true'
)


def warnings_of(listing: Listing) -> list[str]:
    """What whoever reads the result must know. Raises NotForCommunities."""
    if listing.is_community:
        raise NotForCommunities
    return [_ANNOUNCEMENTS] if listing.is_announcement else []


def ids_of_all(tx: Transaction, group: Group) -> Marks:
    """By which ids each member is known now, before the list is asked for: eight bytes for each, of up to 100,000."""
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))
    rows = tx.connection.execute(select(people.c.id, people.c.lid, people.c.pn).select_from(joined).where(*present))
    return array("q", (mark for row in rows for mark in _marks(row)))


def _marks(row: Any) -> Iterator[int]:
    return (hash((row.id, known)) for known in (row.lid, row.pn) if known)


def with_no_new_id(rows: Sequence[Any], then: Marks | None) -> list[int]:
    """Whose number has not changed since ``then`` (``ids_of_all``); None: nobody's has."""
    if not rows or then is None:
        return [row.id for row in rows]
    known = frozenset(then)
    return [row.id for row in rows if known.issuperset(_marks(row))]


def take_over(
    job: JobContext, group: Group, listing: Listing, listed: Listed, asked_at: int, then: Marks | None = None
) -> None:
    """Who is listed is a member, in the role the list shows; who is not listed any more has left.

    ``asked_at``: when the list was asked for; whoever came after that is not missed. ``then``: ``ids_of_all`` of that
    moment; whose number has changed since is not on it by the new one. Nothing is said of anybody's activity, so who
    is new here is watched from now on. In transactions of some thousand people, so that nobody else waits long;
    interrupted, it is done again.
    """
    seen, new = job.patiently(lambda: _known_and_new(job.store, group, listing, listed))
    for some in _by(_AT_ONCE, new):
        entries = [entry for one in some if (entry := entry_of(one)) is not None]
        put: set[int] = set()

        def book(tx: Transaction, entries: Sequence[MemberEntry] = entries, put: set[int] = put) -> None:
            put.clear()  # of a try that did not come to disk nobody's number holds
            put.update(MemberRows(tx).put_all(group, entries, asked_at, live=True))

        job.commit(book)
        seen |= put

    def close(tx: Transaction) -> None:
        gone = _leave_unlisted(tx, group, seen, listed, asked_at, then)
        GroupRows(tx).listed(group.id)
        job.result["listed"] = {"at": iso(asked_at), "atMs": asked_at, "people": len(seen), "left": gone}

    job.commit(close)


def entry_of(one: Participant) -> MemberEntry | None:
    """None for somebody with no id that a person can have. "member" takes no role away: it may have been given here, by
    hand, so that nobody removes them; whoever is no admin any more is told of by an event, or by hand.
    """
    lid: str | None = None
    pn: str | None = None
    for text in (one.id, one.lid, one.pn):
        if not text or text in (lid, pn):
            continue
        known = person_id(text)
        if known and known.endswith(LID):
            lid = lid or known
        else:
            pn = pn or known
    role = None if one.role == MEMBER else one.role
    return MemberEntry(lid, pn, one.name, role, is_me=one.is_me) if lid or pn else None


def _known_and_new(
    store: Store, group: Group, listing: Listing, listed: Listed
) -> tuple[set[int], Sequence[Participant]]:
    """The person ids of those of whom the list says nothing new, and all others on it. Most lists come again."""
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))
    query = select(people.c.id, people.c.lid, people.c.pn, people.c.name, memberships.c.role, memberships.c.is_me)
    seen, as_known = set[int](), set[int]()
    with store.read() as tx:
        rows = tx.connection.execute(query.select_from(joined).where(*present))
        for row in chain.from_iterable(rows.partitions(_AT_ONCE)):
            one = listed.find(row.lid, row.pn)
            entry = entry_of(one) if one else None
            if one and entry and has_ids(row, entry) and entry.role in (None, row.role) and entry.is_me <= row.is_me:
                seen.add(row.id)
                as_known.add(id(one))
    return seen, [one for one in listing.participants if id(one) not in as_known]


def _leave_unlisted(
    tx: Transaction, group: Group, seen: set[int], listed: Listed, asked_at: int, then: Marks | None
) -> int:
    """Marks as left who was here before the list was asked for and would be on it; returns how many.

    Nobody whom the list shows by any id, or who has got another since. And nobody at all where somebody seen on it is
    another person by now, whose ids it need not show: the next list tells who has left.
    """
    came = (memberships.c.first_seen_at <= asked_at, func.coalesce(memberships.c.joined_at, 0) <= asked_at)
    was_here = and_(memberships.c.left_at.is_(None), *came).label("was_here")
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    query = select(people.c.id, people.c.lid, people.c.pn, was_here).select_from(joined)
    met, gone = 0, []
    for row in tx.connection.execute(query.where(memberships.c.group_id == group.id)):
        if row.id in seen:
            met += 1
        elif row.was_here and not listed.find(row.lid, row.pn) and listed.would_show(row.lid, row.pn):
            gone.append(row)
    if met < len(seen):
        return 0
    left = with_no_new_id(gone, then)
    for some in _by(_GONE_AT_ONCE, left):
        MemberRows(tx).leave(group, some, asked_at)
    return len(left)


def _by(size: int, things: Sequence[One]) -> Iterator[Sequence[One]]:
    return (things[start : start + size] for start in range(0, len(things), size))
