"""What an entry of a list changes of a member: the values, and the statements that write them for many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, update

from runner.groups.silence import MEMBER
from runner.stores.group_schema import memberships, people

if TYPE_CHECKING:
    from runner.groups.group import Group
    from runner.groups.member import MemberEntry

_PUT = ("role", "is_me", "joined_at", "first_active_at", "last_active_at")
PUT_IDS = (
    update(people)
    .where(people.c.id == bindparam("of_person"))
    .values(lid=bindparam("new_lid"), pn=bindparam("new_pn"), name=bindparam("new_name"))
)
PUT_MEMBERSHIP = (
    update(memberships)
    .where(memberships.c.group_id == bindparam("of_group"), memberships.c.person_id == bindparam("of_person"))
    .values({name: bindparam(f"new_{name}") for name in _PUT})
)


def new_membership(group: Group, person: int, entry: MemberEntry, now: int) -> dict[str, Any]:
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


def fits(row: Any, entry: MemberEntry) -> bool:
    """Whether nothing but this row is touched: no number moves, and nobody comes back."""
    return row.left_at is None and (entry.lid in (None, row.lid) or row.lid is None)


def has_ids(row: Any, entry: MemberEntry) -> bool:
    return entry.lid in (None, row.lid) and entry.pn in (None, row.pn) and entry.name in (None, row.name)


def new_ids(row: Any, entry: MemberEntry) -> dict[str, Any]:
    names = ("lid", "pn", "name")
    return {"of_person": row.id} | {f"new_{name}": getattr(entry, name) or getattr(row, name) for name in names}


def new_values(group: Group, row: Any, entry: MemberEntry) -> dict[str, Any]:
    changes = changes_of(row, entry)
    values = {f"new_{name}": changes.get(name, getattr(row, name)) for name in _PUT}
    return {"of_group": group.id, "of_person": row.id} | values


def says_nothing_new(row: Any, entry: MemberEntry) -> bool:
    """Whether ``put`` would change nothing: most rows of a list that comes again. In plain steps: many."""
    if row.role is None or row.left_at is not None or not has_ids(row, entry):
        return False
    if entry.role not in (None, row.role) or (entry.is_me and not row.is_me):
        return False
    if entry.joined_at is None and entry.last_active_at is None:
        return True
    return all(getattr(row, name) == value for name, value in changes_of(row, entry).items())


def changes_of(row: Row[Any], entry: MemberEntry) -> dict[str, Any]:
    """Activity only ever widens; a later join is a return we had not noticed, and their watch begins anew."""
    seen = entry.last_active_at
    values: dict[str, Any] = {"role": entry.role or row.role, "is_me": row.is_me or entry.is_me}
    values["joined_at"] = max((at for at in (row.joined_at, entry.joined_at) if at is not None), default=None)
    if seen is not None:
        values["last_active_at"] = max(seen, row.last_active_at or seen)
        values["first_active_at"] = min(seen, row.first_active_at or seen)
    return values
