"""People: one row for one person, whichever ids are known; two rows become one when a list shows that they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, delete, insert, literal, or_, select, update

from runner.groups.identity import LID
from runner.groups.silence import ROLES
from runner.store import Transaction
from runner.stores.group_schema import (
    author_matches,
    job_people,
    memberships,
    people,
    removal_history,
    removal_queue,
    roster_removals,
    whitelist,
)

_ONE_PER_SCOPE = (
    (whitelist, whitelist.c.group_id),
    (removal_queue, removal_queue.c.group_id),
    (roster_removals, roster_removals.c.group_id),
    (job_people, job_people.c.job_id),
)


@dataclass(frozen=True)
class Person:
    id: int
    lid: str | None
    pn: str | None
    name: str | None


class PersonRows:
    """People, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._run = tx.connection.execute

    def find(self, normal_id: str) -> Person | None:
        """By ``digits@lid`` or ``digits@s.whatsapp.net``, as ``identity.person_id`` gives them."""
        return self._first((people.c.lid if normal_id.endswith(LID) else people.c.pn) == normal_id)

    def get(self, person: int) -> Person | None:
        return self._first(people.c.id == person)

    def resolve(self, lid: str | None, pn: str | None, name: str | None = None) -> int:
        """The person with these ids, new or known; at least one id must be given.

        Both ids together may join two people into one. A number that was somebody else's (who has another lid) has
        moved: it is taken from them, nothing else of theirs.
        """
        if lid is None and pn is None:
            raise ValueError("a person has at least one id")
        by_lid = self._first(people.c.lid == lid) if lid else None
        by_pn = self._first(people.c.pn == pn) if pn else None
        if by_pn and lid and by_pn.lid not in (None, lid):
            self._change(by_pn.id, pn=None)
            by_pn = None
        if by_lid and by_pn and by_lid.id != by_pn.id:
            self.merge(by_lid.id, by_pn.id)
            by_pn = None
        known = by_lid or by_pn
        given = {column: value for column, value in (("lid", lid), ("pn", pn), ("name", name)) if value}
        if known is None:
            return int(self._run(insert(people).values(given).returning(people.c.id)).scalar_one())
        self._change(known.id, **{column: value for column, value in given.items() if getattr(known, column) != value})
        return known.id

    def name(self, person: int, name: str) -> None:
        """What somebody calls themselves, for want of a name that a list gave them."""
        self._run(update(people).where(people.c.id == person, people.c.name.is_(None)).values(name=name))

    def take_number(self, had: Person, whose: Person) -> None:
        """From ``had``, who loses nothing else, for ``whose`` it was; they keep a newer one.

        Should they be one person after all, nobody who is on a whitelist must lose that by it.
        """
        self._change(had.id, pn=None)
        if whose.pn is None:
            self._change(whose.id, pn=had.pn)
        theirs = select(whitelist.c.group_id).where(whitelist.c.person_id == whose.id)
        row = select(whitelist.c.group_id, literal(whose.id), whitelist.c.created_at)
        row = row.where(whitelist.c.person_id == had.id, whitelist.c.group_id.not_in(theirs))
        self._run(insert(whitelist).from_select(["group_id", "person_id", "created_at"], row))

    def merge(self, kept: int, dropped: int) -> None:
        """Everything that was known of ``dropped`` is known of ``kept`` from now on; ``dropped`` is no more."""
        self._merge_memberships(kept, dropped)
        self._merge_tries(kept, dropped)
        for table, scope in _ONE_PER_SCOPE:
            theirs = select(scope).where(table.c.person_id == kept)
            self._run(delete(table).where(table.c.person_id == dropped, scope.in_(theirs)))
        for table in (*(table for table, _ in _ONE_PER_SCOPE), removal_history, author_matches):
            self._run(update(table).where(table.c.person_id == dropped).values(person_id=kept))
        gone = self._run(delete(people).where(people.c.id == dropped).returning(*_IDS)).one()
        mine = self._run(select(*_IDS).where(people.c.id == kept)).one()
        missing = {name: getattr(gone, name) for name in ("lid", "pn", "name") if getattr(mine, name) is None}
        self._change(kept, **{name: value for name, value in missing.items() if value is not None})

    def _merge_memberships(self, kept: int, dropped: int) -> None:
        theirs = {row.group_id: row for row in self._run(select(memberships).where(memberships.c.person_id == kept))}
        for row in self._run(select(memberships).where(memberships.c.person_id == dropped)).all():
            here = (memberships.c.group_id == row.group_id, memberships.c.person_id == dropped)
            other = theirs.get(row.group_id)
            if other is None:
                self._run(update(memberships).where(*here).values(person_id=kept))
                continue
            self._run(delete(memberships).where(*here))
            mine = (memberships.c.group_id == row.group_id, memberships.c.person_id == kept)
            self._run(update(memberships).where(*mine).values(_both(other._mapping, row._mapping)))

    def _merge_tries(self, kept: int, dropped: int) -> None:
        """Where both are queued: a call without an answer was for either."""
        other = removal_queue.alias("other")
        mine = (removal_queue.c.person_id == kept, removal_queue.c.group_id == other.c.group_id)
        later = or_(
            other.c.tries > removal_queue.c.tries,
            and_(other.c.tries == removal_queue.c.tries, removal_queue.c.tried_at.is_(None)),
        )
        tried = (other.c.person_id == dropped, later)
        values = {"tries": other.c.tries, "tried_at": other.c.tried_at}
        self._run(update(removal_queue).where(*mine, *tried).values(values))

    def _first(self, condition: ColumnElement[bool]) -> Person | None:
        row = self._run(select(people.c.id, *_IDS).where(condition)).first()
        return Person(*row) if row else None

    def _change(self, person: int, **values: str | None) -> None:
        if values:
            self._run(update(people).where(people.c.id == person).values(values))


_IDS = (people.c.lid, people.c.pn, people.c.name)


def _both(one: RowMapping, other: RowMapping) -> dict[str, Any]:
    """One membership out of two of the same person: never less privileged, never less recently active than either.

    A later join counts, and who had left by one of them is back by the other: their watch begins anew.
    """
    first = {name: min(_known(one[name], other[name]), default=None) for name in _EARLIEST}
    last = max(_known(one["last_active_at"], other["last_active_at"]), default=None)
    left = None if None in (one["left_at"], other["left_at"]) else max(one["left_at"], other["left_at"])
    role = max(one["role"], other["role"], key=ROLES.index)
    told = max(_known(one["role_at"], other["role_at"]), default=None)
    joined = max(_known(one["joined_at"], other["joined_at"], *_back_since(one, other)), default=None)
    return first | {
        "joined_at": joined,
        "last_active_at": last,
        "left_at": left,
        "role": role,
        "role_at": told,
        "is_me": one["is_me"] or other["is_me"],
    }


def _back_since(one: RowMapping, other: RowMapping) -> list[int]:
    """Whoever is gone by one membership and there by the other: not before they left, nor before they were seen."""
    if (one["left_at"] is None) == (other["left_at"] is None):
        return []
    left, here = (one, other) if other["left_at"] is None else (other, one)
    return [left["left_at"], _known(here["joined_at"], here["first_active_at"], here["first_seen_at"])[0]]


def _known(*moments: int | None) -> list[int]:
    return [moment for moment in moments if moment is not None]


_EARLIEST = ("first_seen_at", "first_active_at")
