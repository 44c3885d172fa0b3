"""The whitelist: members of a group whom no job removes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, insert, select

from runner.groups.group import Group
from runner.groups.identity import LID, PN
from runner.groups.kin import Kin, KinRows
from runner.groups.listing import Listed
from runner.groups.member import MemberRows
from runner.store import Transaction
from runner.stores.group_schema import people, whitelist


@dataclass(frozen=True)
class WhitelistEntry:
    group_id: int
    person_id: int
    lid: str | None
    pn: str | None
    name: str | None
    created_at: int

    @property
    def shown_id(self) -> str:
        return self.lid or self.pn or ""


class WhitelistRows:
    """The whitelist, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def list(self, group: Group | None = None) -> Sequence[WhitelistEntry]:
        """Oldest entry first; of one group, or of all."""
        person = (people.c.id, people.c.lid, people.c.pn, people.c.name)
        query = select(whitelist.c.group_id, *person, whitelist.c.created_at).join_from(whitelist, people)
        if group is not None:
            query = query.where(whitelist.c.group_id == group.id)
        order = (whitelist.c.created_at, whitelist.c.group_id, whitelist.c.person_id)
        return [WhitelistEntry(*row) for row in self._run(query.order_by(*order))]

    def contains(self, group: Group, person: int) -> bool:
        return self._run(select(whitelist.c.person_id).where(*_one(group, person))).first() is not None

    def add(self, group: Group, person: int) -> None:
        """Also of those queued for removal: the job looks again, and says why it left them. A call just sent stands."""
        if not self.contains(group, person):
            values = {"group_id": group.id, "person_id": person, "created_at": self._tx.now}
            self._run(insert(whitelist).values(values))

    def remove(self, group: Group, person: int) -> bool:
        """Whether they were on it."""
        return self._run(delete(whitelist).where(*_one(group, person))).rowcount > 0


@dataclass(frozen=True)
class Standing:
    """Where somebody on the whitelist stands with a group. ``kin``: members who may have their number, or id, in
    another spelling. ``unshown``: of how many members that kind of id is not known, so that it may be theirs.
    """

    person: Kin
    in_group: bool
    kin: Sequence[Kin]
    unshown: int

    @property
    def is_known(self) -> bool:
        """Whether anything is known of them but the id."""
        return self.person.role is not None or self.person.name is not None

    @property
    def note(self) -> str | None:
        """A sentence for whoever put them there; None where there is nothing to say."""
        others = " and ".join(one.words for one in self.kin)
        if self.in_group:
            return f"{others} may have this {self._kind} in another spelling, and stays as well" if others else None
        if others:
            return f"nobody in this group has just this {self._kind}; it may be that of {others}, who stays for it"
        there = f"nobody in this group has this {self._kind}: kept for the day they join"
        if self.person.role is not None:
            there = f"{self.person.words} is not in the group any more: kept for the day they come back"
        if not self.unshown:
            return there
        those = "of 1 member it is not known" if self.unshown == 1 else f"of {self.unshown} members it is not known"
        return (
            f"{there}; but {those}, and it may be theirs: nobody is removed whose {self._kind} the list does not show"
        )

    @property
    def warning(self) -> str:
        """The same for whoever reads a dry run."""
        if self.kin or self.person.role is None:
            return f"{self.person.words} is on the whitelist, but {self.note}"
        return (
            f"{self.person.words} is on the whitelist, and not in the group any more, or there with another "
            f"{self._kind}, which no gateway tells: whitelist that one if they have"
        )

    @property
    def _kind(self) -> str:
        return "number" if self.person.pn and not self.person.lid else "id"


class Standings:
    """Within one transaction. ``listed``: the group as its gateway shows it now; None: as it is known here."""

    def __init__(self, tx: Transaction, group: Group, listed: Listed | None = None) -> None:
        self._tx = tx
        self._group = group
        self._listed = listed
        self._rows = KinRows(tx, group)

    def of(self, whatsapp_id: str) -> Standing:
        """Of whoever has just this id, and is on the whitelist."""
        alike = self._rows.of([whatsapp_id])[whatsapp_id]
        person = next(one for one in alike if whatsapp_id in (one.lid, one.pn))
        return self._standing(person, alike)

    def away(self) -> list[Standing]:
        """Those on the whitelist who are not in the group, as far as anybody can tell."""
        entries = WhitelistRows(self._tx).list(self._group)
        ids = {entry.person_id: entry.pn or entry.lid or "" for entry in entries}
        alike = self._rows.of(ids.values())
        found = []
        for person_id, known in ids.items():
            person = next(one for one in alike[known] if one.person_id == person_id)
            if not self._is_there(person):
                found.append(self._standing(person, alike[known]))
        return found

    def _standing(self, person: Kin, alike: Sequence[Kin]) -> Standing:
        others = [one for one in alike if one.person_id != person.person_id and one.is_present and self._is_there(one)]
        unshown = MemberRows(self._tx).count_without(self._group, LID if person.lid and not person.pn else PN)
        return Standing(person, self._is_there(person), others, unshown)

    def _is_there(self, one: Kin) -> bool:
        if self._listed is None or not self._listed.is_whole or not self._listed.by_id:
            return one.is_present
        if self._listed.find_person(one.lid, one.pn):
            return True
        return one.is_present and not self._listed.would_show(one.lid, one.pn)


def _one(group: Group, person: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (whitelist.c.group_id == group.id, whitelist.c.person_id == person)
