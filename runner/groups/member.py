"""Members: who is in a group, in what role, since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Row, Select, and_, delete, func, insert, or_, select, update

from runner.errors import MemberNotFound
from runner.groups.group import Group
from runner.groups.identity import LID, person_id
from runner.groups.person import PersonRows
from runner.groups.silence import MEMBER, ROLES
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


@dataclass(frozen=True)
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

    def count(self, group: Group) -> int:
        present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))
        return self._run(select(func.count()).select_from(memberships).where(*present)).scalar_one()

    def has_any_without_number(self, group: Group) -> bool:
        """Whether somebody in the group is known by lid alone, so that any phone number might be theirs."""
        query = _members(group).where(memberships.c.left_at.is_(None), people.c.pn.is_(None))
        return self._run(query.limit(1)).first() is not None

    def set_role(self, group: Group, person: int, role: str) -> None:
        """Raises ValueError for a role there is not, MemberNotFound for somebody who never was in the group."""
        if role not in ROLES:
            raise ValueError(f"{role!r} is not a role: {', '.join(ROLES)}")
        if not self._run(update(memberships).where(*_one(group, person)).values(role=role)).rowcount:
            raise MemberNotFound

    def leave(self, group: Group, people_ids: Iterable[int], at: int) -> None:
        """They are out of the group since ``at``; those who are out already stay out since then."""
        left = and_(memberships.c.person_id.in_(list(people_ids)), memberships.c.left_at.is_(None))
        self._run(update(memberships).where(memberships.c.group_id == group.id, left).values(left_at=at))

    def put(self, group: Group, entry: MemberEntry, now: int) -> int:
        """What a list that was made at ``now`` says of one person; returns their person id.

        Two rows of one person become one. Who had left is back, since they joined again, else since now; but whom
        a job took off the roster stays off, unless the entry tells of something later: the list may be older than
        what was done by hand. A role or name that is not said stays.
        """
        person = PersonRows(self._tx).resolve(entry.lid, entry.pn, entry.name)
        row = self._run(select(memberships).where(*_one(group, person))).first()
        if row is None:
            self._run(insert(memberships).values(_new_membership(group, person, entry, now)))
            return person
        values = _changes(row, entry)
        if row.left_at is not None:
            values |= self._return(group, person, row.left_at, entry, now)
        changed = {name: value for name, value in values.items() if getattr(row, name) != value}
        if changed:
            self._run(update(memberships).where(*_one(group, person)).values(changed))
        return person

    def put_all(self, group: Group, entries: Iterable[MemberEntry], now: int) -> None:
        """``put`` for a list of any length, with few statements for people who are new."""
        source = iter(entries)
        while chunk := list(islice(source, _CHUNK)):
            known = self._known(group, chunk)
            fresh: list[MemberEntry] = []
            others: list[MemberEntry] = []
            met: set[str] = set()
            for entry in chunk:
                ids = {one for one in (entry.lid, entry.pn) if one}
                rows = [known[one] for one in ids if one in known]
                if ids & met or (rows and not _says_nothing_new(rows[0], entry)):
                    others.append(entry)
                elif not rows:
                    fresh.append(entry)
                met |= ids
            self._put_new(group, fresh, now)
            for entry in others:
                self.put(group, entry, now)

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

    def _known(self, group: Group, entries: Sequence[MemberEntry]) -> dict[str, Any]:
        """Everybody whom these entries may be about, by each of their ids, with their membership if they have one."""
        lids = [entry.lid for entry in entries if entry.lid]
        pns = [entry.pn for entry in entries if entry.pn]
        mine = and_(memberships.c.person_id == people.c.id, memberships.c.group_id == group.id)
        query = select(*_COLUMNS).select_from(people.outerjoin(memberships, mine))
        rows = self._run(query.where(or_(people.c.lid.in_(lids), people.c.pn.in_(pns)))).all()
        return {known: row for row in rows for known in (row.lid, row.pn) if known}

    def _put_new(self, group: Group, entries: Sequence[MemberEntry], now: int) -> None:
        if not entries:
            return
        rows = [{"lid": entry.lid, "pn": entry.pn, "name": entry.name} for entry in entries]
        inserted = insert(people).returning(people.c.id, sort_by_parameter_order=True)
        ids = self._run(inserted, rows).scalars().all()
        pairs = zip(ids, entries, strict=True)
        self._run(insert(memberships), [_new_membership(group, person, entry, now) for person, entry in pairs])

    def _return(self, group: Group, person: int, left_at: int, entry: MemberEntry, now: int) -> dict[str, Any]:
        off = (roster_removals.c.group_id == group.id, roster_removals.c.person_id == person)
        taken_off = self._run(select(roster_removals.c.removed_at).where(*off)).scalar_one_or_none()
        later = max(entry.joined_at or 0, entry.last_active_at or 0)
        if taken_off is not None and later <= max(taken_off, left_at):
            return {}
        self._run(delete(roster_removals).where(*off))
        return {"left_at": None, "joined_at": later if later > left_at else now}


def _members(group: Group) -> Select[Any]:
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    return select(*_COLUMNS).select_from(joined).where(memberships.c.group_id == group.id)


def _one(group: Group, person: int) -> tuple[Any, Any]:
    return (memberships.c.group_id == group.id, memberships.c.person_id == person)


def _new_membership(group: Group, person: int, entry: MemberEntry, now: int) -> dict[str, Any]:
    return {
        "group_id": group.id,
        "person_id": person,
        "role": entry.role or MEMBER,
        "is_me": entry.is_me,
        "joined_at": entry.joined_at,
        "first_seen_at": now,
        "first_active_at": entry.last_active_at,
        "last_active_at": entry.last_active_at,
        "left_at": None,
    }


def _says_nothing_new(row: Any, entry: MemberEntry) -> bool:
    """Whether ``put`` would change nothing: most rows of a list that is imported again."""
    said = ((entry.lid, row.lid), (entry.pn, row.pn), (entry.name, row.name))
    is_here = row.role is not None and row.left_at is None
    return (
        is_here
        and all(new in (None, known) for new, known in said)
        and all(getattr(row, name) == value for name, value in _changes(row, entry).items())
    )


def _changes(row: Row[Any], entry: MemberEntry) -> dict[str, Any]:
    """Activity only ever widens; a later join is a return we had not noticed, and their watch begins anew."""
    seen = entry.last_active_at
    values: dict[str, Any] = {"role": entry.role or row.role, "is_me": row.is_me or entry.is_me}
    values["joined_at"] = max((at for at in (row.joined_at, entry.joined_at) if at is not None), default=None)
    if seen is not None:
        values["last_active_at"] = max(seen, row.last_active_at or seen)
        values["first_active_at"] = min(seen, row.first_active_at or seen)
    return values
