"""The whitelist: members of a group whom no job removes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, insert, select

from runner.groups.group import Group
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


def _one(group: Group, person: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (whitelist.c.group_id == group.id, whitelist.c.person_id == person)
