"""Who came, went, has another role or another number, as a gateway's events tell it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from runner.groups.activity import ActivityRows
from runner.groups.group import Group
from runner.groups.hearing import HearingRows
from runner.groups.person import Person, PersonRows
from runner.groups.silence import ADMIN, MEMBER, ROLES
from runner.store import Transaction
from runner.stores.group_schema import memberships, roster_removals
from runner.webhook import Heard, Moved, Renumbered, Someone, Step


class Moves:
    """Each is placed by its own time: what was before the last that is known of somebody changes nothing of it."""

    def __init__(self, tx: Transaction, hearing: HearingRows) -> None:
        self._tx = tx
        self._run = tx.connection.execute
        self._hearing = hearing

    def heard(self, group: Group, event: Heard) -> None:
        """Somebody new, or known by other ids, or back, or ourselves."""
        if event.who is None:
            for person in self._ourselves(group):
                ActivityRows(self._tx).saw(group, person, event.at)
            return
        person = self.known(event.who)
        if not ActivityRows(self._tx).saw(group, person, event.at):
            self._enter(group, person, first_active_at=event.at, last_active_at=event.at, is_me=event.is_me)
        elif event.is_me:
            self._change(group, person, is_me=True)

    def moved(self, group: Group, event: Moved, account: str | None) -> None:
        moving = self._ourselves(group) if event.who is None else [self.known(event.who)]
        for person in moving:
            self._step(group, person, event)
            if event.is_me and account in (None, group.account):  # another number of ours is a member like any
                self._change(group, person, is_me=True)
        is_us = event.who is None or not set(self._ourselves(group)).isdisjoint(moving)
        if account and event.step is Step.JOINED and is_us:
            self._hearing.joined(group, account, event.at, surely=event.who is None)
        if account and event.step is Step.LEFT and (event.who is None or self._have_left(group)):
            self._hearing.over(group, account)

    def renumbered(self, group: Group, event: Renumbered) -> None:
        """What was known of the old number is known of the new one.

        Our book may have the old one beside the lid of somebody else still, who had it before. Only the number is
        taken from them. A lid that the gateway itself names as the old one is theirs.
        """
        rows = PersonRows(self._tx)
        new = self.known(event.new)
        for known in event.old.ids:
            old, mine = rows.find(known), rows.get(new)
            if old is None or mine is None or old.id == new:
                continue
            if _are_two(old, mine, event.old):
                rows.take_number(old, mine)
            else:
                rows.merge(new, old.id)
        if self._membership(group, new) is None:
            self._enter(group, new)

    def known(self, who: Someone) -> int:
        """Their number here, new or known. What they call themselves is taken only for want of a name."""
        rows = PersonRows(self._tx)
        person = rows.resolve(who.lid, who.pn)
        if who.name:
            rows.name(person, who.name)
        return person

    def _step(self, group: Group, person: int, event: Moved) -> None:
        row = self._membership(group, person)
        if event.step is Step.JOINED:
            self._joined(group, person, row, event.at)
        elif event.step is Step.LEFT:
            self._left(group, person, row, event.at)
        elif row is None:
            self._enter(group, person, role=ADMIN if event.step is Step.PROMOTED else MEMBER, role_at=event.at)
        elif event.at >= (row.role_at or 0):
            role = max(row.role, ADMIN, key=ROLES.index) if event.step is Step.PROMOTED else MEMBER
            self._change(group, person, role=role, role_at=event.at)

    def _joined(self, group: Group, person: int, row: Row[Any] | None, at: int) -> None:
        if row is None:
            self._enter(group, person, joined_at=at)
            return
        joined = max(at, row.joined_at or at)
        if row.left_at is not None and row.left_at >= at:
            self._change(group, person, joined_at=joined)
            return
        off = roster_removals.c
        mine = (off.group_id == group.id, off.person_id == person, off.removed_at < at)
        self._run(delete(roster_removals).where(*mine))
        self._change(group, person, joined_at=joined, left_at=None)

    def _left(self, group: Group, person: int, row: Row[Any] | None, at: int) -> None:
        """Kept of somebody unknown, too: that they came before may be told after it."""
        if row is None:
            self._enter(group, person, left_at=at)
            return
        later = max(row.joined_at or 0, row.last_active_at or 0)
        if row.left_at is not None:
            self._change(group, person, left_at=max(row.left_at, at))
        elif later > at:
            self._change(group, person, joined_at=later)
        else:
            self._change(group, person, left_at=at)

    def _membership(self, group: Group, person: int) -> Row[Any] | None:
        return self._run(select(memberships).where(*_one(group, person))).first()

    def _ourselves(self, group: Group) -> list[int]:
        mine = (memberships.c.group_id == group.id, memberships.c.is_me)
        return list(self._run(select(memberships.c.person_id).where(*mine)).scalars())

    def _have_left(self, group: Group) -> bool:
        """Whether we are known in the group, and gone from it."""
        mine = (memberships.c.group_id == group.id, memberships.c.is_me)
        left = list(self._run(select(memberships.c.left_at).where(*mine)).scalars())
        return bool(left) and None not in left

    def _enter(self, group: Group, person: int, **known: Any) -> None:
        """When they came is not known, unless it is said."""
        values = {"role": MEMBER, "is_me": False, "first_seen_at": self._tx.now} | known
        self._run(insert(memberships).values(group_id=group.id, person_id=person, **values))

    def _change(self, group: Group, person: int, **values: Any) -> None:
        self._run(update(memberships).where(*_one(group, person)).values(values))


def _one(group: Group, person: int) -> tuple[Any, Any]:
    return (memberships.c.group_id == group.id, memberships.c.person_id == person)


def _are_two(found: Person, mine: Person, old: Someone) -> bool:
    """Whether ``found`` has a lid that is neither of ``old`` nor of ``mine``. Where these have none, nobody knows."""
    lids = {old.lid, mine.lid} - {None}
    return found.lid is not None and bool(lids) and found.lid not in lids
