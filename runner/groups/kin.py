"""Kin: people here who may be the same as somebody else, by two spellings of one number.

It only ever protects. No two rows become one by it, nobody is taken for somebody, and nobody is chosen for removal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from runner.groups.group import Group
from runner.groups.identity import LID, PN, shown
from runner.numbering import LAST_DIGITS, may_be_same
from runner.store import Transaction
from runner.stores.group_schema import memberships, people, whitelist

_CHUNK = 400


@dataclass(frozen=True)
class Kin:
    """Somebody of a group, or on its whitelist. ``role`` None: never was in the group. Times are UTC milliseconds."""

    person_id: int
    lid: str | None
    pn: str | None
    name: str | None
    whitelisted: bool
    role: str | None
    is_me: bool | None
    last_active_at: int | None
    joined_at: int | None
    left_at: int | None

    @property
    def is_present(self) -> bool:
        return self.role is not None and self.left_at is None

    @property
    def shown_id(self) -> str:
        return self.lid or self.pn or ""

    @property
    def words(self) -> str:
        return in_words(self.name, self.pn or self.lid)


def in_words(name: str | None, known: str | None) -> str:
    """``Ana (+5511987654321)``."""
    number = shown(known or "")
    return f"{name} ({number})" if name else number


def may_be_alike(one: str, other: str) -> bool:
    """Of two ids. The digits of a lid are sometimes given as a number."""
    kinds = (one.endswith(LID), other.endswith(LID))
    if kinds == (True, True):
        return one == other
    if kinds == (False, False):
        return may_be_same(one.removesuffix(PN), other.removesuffix(PN))
    return _digits(one) == _digits(other)


class KinRows:
    """Within one transaction: those who are or were in the group, or are on its whitelist."""

    def __init__(self, tx: Transaction, group: Group) -> None:
        self._run = tx.connection.execute
        self._group = group

    def of(self, ids: Iterable[str | None]) -> dict[str, list[Kin]]:
        """For each of these ids who may have it in another spelling; whoever has it exactly is among them."""
        wanted = defaultdict[str, set[str]](set)
        for known in ids:
            if known:
                wanted[_digits(known)[-LAST_DIGITS:]].add(known)
        found = defaultdict[str, list[Kin]](list)
        for some in _by(_CHUNK, wanted):
            lids = [f"{_digits(known)}{LID}" for end in some for known in wanted[end]]
            for row in self._run(self._query().where(or_(_LAST.in_(some), people.c.lid.in_(lids)))):
                self._sort_in(Kin(*row), wanted, found)
        return found

    def doubles(self) -> list[tuple[Kin, Kin]]:
        """All pairs of members, here now, who may be the same."""
        by_end = defaultdict[str, list[Any]](list)
        present = (memberships.c.group_id == self._group.id, memberships.c.left_at.is_(None), people.c.pn.is_not(None))
        for row in self._run(select(people.c.id, people.c.pn).join_from(memberships, people).where(*present)):
            by_end[_digits(row.pn)[-LAST_DIGITS:]].append(row)
        pairs = [
            (one, other)
            for same in by_end.values()
            for place, one in enumerate(same)
            for other in same[place + 1 :]
            if may_be_alike(one.pn, other.pn)
        ]
        known = {
            kin.person_id: kin for some in self.of(row.pn for pair in pairs for row in pair).values() for kin in some
        }
        return [(known[one.id], known[other.id]) for one, other in pairs]

    @staticmethod
    def _sort_in(kin: Kin, wanted: dict[str, set[str]], found: dict[str, list[Kin]]) -> None:
        theirs = [known for known in (kin.lid, kin.pn) if known]
        ends = {_digits(known)[-LAST_DIGITS:] for known in theirs}
        for known in {known for end in ends if end in wanted for known in wanted[end]}:
            if any(may_be_alike(known, one) for one in theirs):
                found[known].append(kin)

    def _query(self) -> Select[Any]:
        protected = select(whitelist.c.person_id).where(whitelist.c.group_id == self._group.id)
        member = and_(memberships.c.person_id == people.c.id, memberships.c.group_id == self._group.id)
        last = (memberships.c.last_active_at, memberships.c.joined_at, memberships.c.left_at)
        listed = people.c.id.in_(protected)
        person = (people.c.id, people.c.lid, people.c.pn, people.c.name, listed.label("whitelisted"))
        query = select(*person, memberships.c.role, memberships.c.is_me, *last)
        query = query.select_from(people.outerjoin(memberships, member))
        return query.where(or_(listed, memberships.c.role.is_not(None))).order_by(people.c.id)


_LAST: ColumnElement[str] = func.substr(people.c.pn, func.length(people.c.pn) - len(PN) - LAST_DIGITS + 1, LAST_DIGITS)


def _digits(known: str) -> str:
    return known.partition("@")[0]


def _by(size: int, things: Iterable[str]) -> Iterator[list[str]]:
    source = iter(things)
    while some := list(islice(source, size)):
        yield some
