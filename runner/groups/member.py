"""Members: who is in a group, in what role, since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, or_, select, true, update

from runner.errors import MemberNotFound
from runner.groups.group import Group
from runner.groups.identity import LID, PN, person_id
from runner.groups.member_changes import (
    PUT_IDS,
    PUT_MEMBERSHIP,
    changes_of,
    fits,
    has_ids,
    new_ids,
    new_membership,
    new_values,
    says_nothing_new,
)
from runner.groups.person import PersonRows
from runner.groups.silence import ROLES
from runner.groups.spelling import spelled
from runner.store import Transaction
from runner.stores.group_schema import memberships, people, roster_removals

__all__ = ["ROLES", "Member", "MemberEntry", "MemberRows"]

_CHUNK = 400
_TIMES = (
    memberships.c.joined_at,
    memberships.c.first_seen_at,
    memberships.c.first_active_at,
    memberships.c.last_active_at,
    memberships.c.left_at,
)
_COLUMNS = (people.c.id, people.c.lid, people.c.pn, people.c.name, memberships.c.role, memberships.c.is_me, *_TIMES)


@dataclass(frozen=True)
class Member:
    """One person in one group. Times are UTC milliseconds; ``left_at`` None: still there."""

    person_id: int
    lid: str | None
    pn: str | None
    name: str | None
    role: str
    is_me: bool
    joined_at: int | None
    first_seen_at: int
    first_active_at: int | None
    last_active_at: int | None
    left_at: int | None

    @property
    def shown_id(self) -> str:
        """The id the group lists, else the phone id."""
        return self.lid or self.pn or ""


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """What a list says of one person: at least one id; None: it does not say. ``role``: member, admin or superadmin."""

    lid: str | None = None
    pn: str | None = None
    name: str | None = None
    role: str | None = None
    joined_at: int | None = None
    last_active_at: int | None = None
    is_me: bool = False


class MemberRows:
    """Members, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def list(
        self, group: Group, *, role: str | None = None, after: int | None = None, limit: int = 1000
    ) -> Sequence[Member]:
        """Those in the group now, by ``person_id``, at most ``limit`` of them, behind ``after``."""
        query = _members(group).where(memberships.c.left_at.is_(None))
        if role is not None:
            query = query.where(memberships.c.role == role)
        if after is not None:
            query = query.where(people.c.id > after)
        return [Member(*row) for row in self._run(query.order_by(people.c.id).limit(limit))]

    def find(self, group: Group, whatsapp_id: str, *, also_left: bool = False) -> Member:
        """By lid or phone id, in any of their spellings. Raises MemberNotFound."""
        known = person_id(whatsapp_id)
        column = people.c.lid if known and known.endswith(LID) else people.c.pn
        row = self._run(_members(group).where(column == known)).first() if known else None
        if row is None or (row.left_at is not None and not also_left):
            raise MemberNotFound
        return Member(*row)

    def named(self, group: Group, name: str) -> Sequence[Member]:
        """All who have exactly this name in the list; those who left, too."""
        return [Member(*row) for row in self._run(_members(group).where(people.c.name == name))]

    def called(self, group: Group, name: str) -> Sequence[Member]:
        """As ``named``; where nobody is, those who have the name in another spelling."""
        exact, wanted = self.named(group, name), spelled(name)
        if exact or not wanted:
            return exact
        query = _members(group).with_only_columns(people.c.id, people.c.name).where(people.c.name.is_not(None))
        alike = [row.id for row in self._run(query) if spelled(row.name) == wanted][:_CHUNK]
        return [Member(*row) for row in self._run(_members(group).where(people.c.id.in_(alike)))]

    def count(self, group: Group) -> int:
        present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))
        return self._run(select(func.count()).select_from(memberships).where(*present)).scalar_one()

    def count_without_number(self, group: Group) -> int:
        """How many in the group are known by lid alone, so that any phone number might be theirs."""
        return self.count_without(group, PN)

    def count_without(self, group: Group, kind: str) -> int:
        """How many in the group are known without an id of this kind, ``LID`` or ``PN``."""
        unknown = (people.c.lid if kind == LID else people.c.pn).is_(None)
        query = _members(group).where(memberships.c.left_at.is_(None), unknown)
        return self._run(select(func.count()).select_from(query.subquery())).scalar_one()

    def set_role(self, group: Group, person: int, role: str, *, seen_at: int | None = None) -> None:
        """By hand; or as a list that was asked for at ``seen_at`` shows it: what an event has told since stands.

        Raises ValueError for a role there is not, MemberNotFound for somebody who never was in the group.
        """
        if role not in ROLES:
            raise ValueError(f"{role!r} is not a role: {', '.join(ROLES)}")
        at, older = (self._tx.now, true()) if seen_at is None else (seen_at, _role_of_before(seen_at))
        changed = update(memberships).where(*_one(group, person), older).values(role=role, role_at=at)
        if not self._run(changed).rowcount and seen_at is None:
            raise MemberNotFound

    def leave(self, group: Group, people_ids: Iterable[int], at: int) -> None:
        """They are out of the group since ``at``; those who are out already stay out since then."""
        left = and_(memberships.c.person_id.in_(list(people_ids)), memberships.c.left_at.is_(None))
        self._run(update(memberships).where(memberships.c.group_id == group.id, left).values(left_at=at))

    def put(self, group: Group, entry: MemberEntry, now: int, *, live: bool = False) -> int:
        """What a list that was made at ``now`` says of one person; returns their person id.

        Two rows of one person become one. Who had left is back, since they joined again, else since now; but whom
        a job took off the roster stays off, unless the entry tells of something later: the list may be older than
        what was done by hand. A role or name that is not said stays. ``live``: the list is the group's own, so whoever
        is on it is there; unless they left after ``now``.
        """
        person = PersonRows(self._tx).resolve(entry.lid, entry.pn, entry.name)
        row = self._run(select(memberships).where(*_one(group, person))).first()
        if row is None:
            self._run(insert(memberships).values(new_membership(group, person, entry, now)))
            return person
        values = changes_of(row, entry)
        if row.left_at is not None:
            values |= self._return(group, person, row.left_at, entry, now, live)
        changed = {name: value for name, value in values.items() if getattr(row, name) != value}
        if changed:
            self._run(update(memberships).where(*_one(group, person)).values(changed))
        return person

    def put_all(self, group: Group, entries: Iterable[MemberEntry], now: int, *, live: bool = False) -> set[int]:
        """``put`` for a list of any length; returns the person ids. A few statements for 400 people, and some more for
        each whose rows must become one, whose number has moved, or who is back.
        """
        source = iter(entries)
        people_ids: set[int] = set()
        while chunk := list(islice(source, _CHUNK)):
            people_ids |= self._put_some(group, chunk, now, live)
        return people_ids

    def _put_some(self, group: Group, entries: Sequence[MemberEntry], now: int, live: bool) -> set[int]:
        known = self._known(group, entries)
        fresh: list[MemberEntry] = []
        pairs: list[tuple[Any, MemberEntry]] = []
        others: list[MemberEntry] = []
        met: set[str | None] = set()
        for entry in entries:
            by_lid, by_pn = known.get(entry.lid), known.get(entry.pn)
            row = by_pn if by_lid is None else by_lid
            are_two = by_lid is not None and by_pn is not None and by_lid.id != by_pn.id
            if are_two or entry.lid in met or entry.pn in met or (row is not None and not fits(row, entry)):
                others.append(entry)
            elif row is None:
                fresh.append(entry)
            else:
                pairs.append((row, entry))
            met.update((entry.lid, entry.pn) if row is None else (entry.lid, entry.pn, row.lid, row.pn))
            met.discard(None)
        self._put_known(group, [pair for pair in pairs if not says_nothing_new(*pair)], now)
        found = {row.id for row, _ in pairs} | set(self._put_new(group, fresh, now))
        return found | {self.put(group, entry, now, live=live) for entry in others}

    def count_kept_off(self, group: Group, entries: Sequence[MemberEntry]) -> int:
        """How many of the people on a list were taken off the roster before, and stay off."""
        off = (roster_removals.c.group_id == group.id, roster_removals.c.person_id == people.c.id)
        query = select(func.count()).select_from(people.join(roster_removals, and_(*off)))
        count = 0
        for start in range(0, len(entries), _CHUNK):
            chunk = entries[start : start + _CHUNK]
            either = or_(
                people.c.lid.in_([entry.lid for entry in chunk if entry.lid]),
                people.c.pn.in_([entry.pn for entry in chunk if entry.pn]),
            )
            count += self._run(query.where(either)).scalar_one()
        return count

    def _known(self, group: Group, entries: Sequence[MemberEntry]) -> dict[str | None, Any]:
        """Everybody whom these entries may be about, by each of their ids, with their membership if they have one."""
        lids = [entry.lid for entry in entries if entry.lid]
        pns = [entry.pn for entry in entries if entry.pn]
        mine = and_(memberships.c.person_id == people.c.id, memberships.c.group_id == group.id)
        query = select(*_COLUMNS).select_from(people.outerjoin(memberships, mine))
        rows = self._run(query.where(or_(people.c.lid.in_(lids), people.c.pn.in_(pns)))).all()
        return {known: row for row in rows for known in (row.lid, row.pn) if known}

    def _put_new(self, group: Group, entries: Sequence[MemberEntry], now: int) -> Sequence[int]:
        if not entries:
            return ()
        rows = [{"lid": entry.lid, "pn": entry.pn, "name": entry.name} for entry in entries]
        self._run(insert(people), rows)  # RETURNING in the order of the rows would be a statement for each
        known = self._known(group, entries)
        ids = [known[entry.lid or entry.pn or ""].id for entry in entries]
        pairs = zip(ids, entries, strict=True)
        self._run(insert(memberships), [new_membership(group, person, entry, now) for person, entry in pairs])
        return ids

    def _return(
        self, group: Group, person: int, left_at: int, entry: MemberEntry, now: int, live: bool
    ) -> dict[str, Any]:
        if live and left_at > now:
            return {}
        off = (roster_removals.c.group_id == group.id, roster_removals.c.person_id == person)
        taken_off = self._run(select(roster_removals.c.removed_at).where(*off)).scalar_one_or_none()
        later = max(entry.joined_at or 0, entry.last_active_at or 0)
        if taken_off is not None and not live and later <= max(taken_off, left_at):
            return {}
        self._run(delete(roster_removals).where(*off))
        return {"left_at": None, "joined_at": later if later > left_at else now}

    def _put_known(self, group: Group, pairs: Sequence[tuple[Any, MemberEntry]], now: int) -> None:
        """What is new about people who have a row, each of them by one entry that fits it."""
        new = [new_membership(group, row.id, entry, now) for row, entry in pairs if row.role is None]
        if new:
            self._run(insert(memberships), new)
        ids = [new_ids(row, entry) for row, entry in pairs if not has_ids(row, entry)]
        if ids:
            self._run(PUT_IDS, ids)
        changed = [new_values(group, row, entry) for row, entry in pairs if row.role is not None]
        if changed:
            self._run(PUT_MEMBERSHIP, changed)


def _members(group: Group) -> Select[Any]:
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    return select(*_COLUMNS).select_from(joined).where(memberships.c.group_id == group.id)


def _one(group: Group, person: int) -> tuple[Any, Any]:
    return (memberships.c.group_id == group.id, memberships.c.person_id == person)


def _role_of_before(at: int) -> ColumnElement[bool]:
    return or_(memberships.c.role_at.is_(None), memberships.c.role_at <= at)
