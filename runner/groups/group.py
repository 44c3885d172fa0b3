"""Groups: the things the removal jobs work on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select, update

from runner.errors import GroupNotFound
from runner.groups.identity import is_group_id
from runner.store import Transaction
from runner.stores.group_schema import groups

__all__ = ["Group", "GroupRows", "is_group_id", "lock_key"]

_CHUNK = 400
_COLUMNS = (
    groups.c.id,
    groups.c.wa_id,
    groups.c.name,
    groups.c.inactivity_threshold_minutes,
    groups.c.created_at,
    groups.c.listed_at,
    groups.c.account,
)


@dataclass(frozen=True)
class Group:
    """One group. ``wa_id`` is WhatsApp's id. ``listed_at``: when a whole member list was last given, None: never.

    ``account``: the gateway and its instance whose events tell of it, ``evolution/name``.
    """

    id: int
    wa_id: str
    name: str | None
    inactivity_threshold_minutes: int
    created_at: int
    listed_at: int | None = None
    account: str | None = None


def lock_key(wa_id: str) -> str:
    """What a job on this group holds, so that no other works on it."""
    return f"group:{wa_id}"


class GroupRows:
    """The groups, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def get(self, wa_id: str) -> Group:
        """Raises GroupNotFound."""
        found = self.find(wa_id)
        if found is None:
            raise GroupNotFound
        return found

    def find(self, wa_id: str) -> Group | None:
        row = self._run(select(*_COLUMNS).where(groups.c.wa_id == wa_id)).first()
        return Group(*row) if row else None

    def known(self, wa_ids: Collection[str]) -> dict[str, Group]:
        """Those of these that are here, by their own ids."""
        wanted, found = sorted(wa_ids), dict[str, Group]()
        for start in range(0, len(wanted), _CHUNK):
            mine = groups.c.wa_id.in_(wanted[start : start + _CHUNK])
            found |= {row.wa_id: Group(*row) for row in self._run(select(*_COLUMNS).where(mine))}
        return found

    def by_id(self, group_id: int) -> Group:
        """Raises GroupNotFound."""
        row = self._run(select(*_COLUMNS).where(groups.c.id == group_id)).first()
        if row is None:
            raise GroupNotFound
        return Group(*row)

    def list(self) -> Sequence[Group]:
        """All groups, oldest first."""
        return [Group(*row) for row in self._run(select(*_COLUMNS).order_by(groups.c.id))]

    def create(self, wa_id: str, name: str | None = None) -> Group:
        """A new group; raises ValueError for what is no group id. One that is there already keeps what it has."""
        if not is_group_id(wa_id):
            raise ValueError(f"{wa_id!r} is not a group id: digits@g.us or digits-digits@g.us")
        known = self.find(wa_id)
        if known is not None:
            return known
        self._run(insert(groups).values(wa_id=wa_id, name=name, created_at=self._tx.now))
        return self.get(wa_id)

    def change(
        self, group_id: int, *, name: str | None = None, inactivity_threshold_minutes: int | None = None
    ) -> Group:
        """Changes what is given. Raises GroupNotFound."""
        given = {"name": name, "inactivity_threshold_minutes": inactivity_threshold_minutes}
        values = {column: value for column, value in given.items() if value is not None}
        if values:
            self._run(update(groups).where(groups.c.id == group_id).values(values))
        return self.by_id(group_id)

    def listed(self, group_id: int) -> None:
        """A whole member list was given now."""
        self._run(update(groups).where(groups.c.id == group_id).values(listed_at=self._tx.now))
