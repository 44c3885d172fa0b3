"""The roster: the group list kept here when there is no gateway. Nothing is sent anywhere.

Removing takes a person off the roster and puts them on the to-do list of those whom somebody removes by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import and_, insert, or_, select

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.gateway import (
    Connection,
    GroupGone,
    Listing,
    NotConnected,
    Outcome,
    OutcomeKind,
    Participant,
    Transient,
)
from runner.store import Store, Transaction
from runner.stores.group_schema import groups, memberships, people, roster_removals

CALL_SECONDS = 5.0

_ALREADY_GONE = Outcome(OutcomeKind.ALREADY_GONE)
_REMOVED = Outcome(OutcomeKind.REMOVED)
_ADMIN = Outcome(OutcomeKind.REFUSED, "403", "an admin of the group is not removed")
_OWNER = Outcome(OutcomeKind.REFUSED, "406", "the owner of the group is not removed")
_OURSELVES = Outcome(OutcomeKind.REFUSED, "406", "this is ourselves")


class RosterGateway:
    """A ``GroupGateway`` on the members in the store."""

    via = "roster"
    call_seconds = CALL_SECONDS

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def connection(self) -> Connection:
        """Open as long as the store answers."""
        try:
            with self._reading():
                return Connection(True, "the list kept here; nothing is sent to WhatsApp")
        except NotConnected as error:
            return Connection(False, str(error))

    def list_group(self, group_wa_id: str) -> Listing:
        """Everybody on the roster. Raises GroupGone for a group that is not kept here, NotConnected without a store."""
        with self._reading() as tx:
            group = _group(tx, group_wa_id)
            rows = _on_roster(tx, group.id)
        return Listing(group.name, len(rows), tuple(_participant(row) for row in rows))

    def list_people(self, group_wa_id: str, ids: Sequence[str]) -> tuple[Participant, ...]:
        """Those of ``ids`` (lids and phone ids) who are on the roster: what a batch needs of a long list."""
        with self._reading() as tx:
            rows = _on_roster(tx, _group(tx, group_wa_id).id, ids)
        return tuple(_participant(row) for row in rows)

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        """Takes them off in one transaction: everybody, or nobody."""
        begun = False
        try:
            with self._store.write() as tx:
                if seconds_left() <= 0:
                    raise NotConnected("the call's time was over before it began; nobody was taken off the roster")
                begun = True
                return self._take_off(tx, group_wa_id, ids)
        except StoreUnavailable as error:
            if begun:
                raise Transient(str(error)) from error
            raise NotConnected(str(error)) from error

    def _take_off(self, tx: Transaction, group_wa_id: str, ids: Sequence[str]) -> dict[str, Outcome]:
        group = _group(tx, group_wa_id)
        listed = {known: row for row in _on_roster(tx, group.id, ids) for known in (row.lid, row.pn) if known}
        outcomes = {wanted: _verdict(listed.get(wanted)) for wanted in ids}
        off = {listed[wanted].id for wanted, outcome in outcomes.items() if outcome is _REMOVED}
        rows = [{"group_id": group.id, "person_id": person, "removed_at": tx.now} for person in sorted(off)]
        if rows:
            tx.connection.execute(insert(roster_removals), rows)
        return outcomes

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        try:
            with self._store.read() as tx:
                yield tx
        except StoreUnavailable as error:
            raise NotConnected(str(error)) from error


def _group(tx: Transaction, wa_id: str) -> Any:
    row = tx.connection.execute(select(groups.c.id, groups.c.name).where(groups.c.wa_id == wa_id)).first()
    if row is None:
        raise GroupGone(f"there is no group {wa_id} on the roster")
    return row


def _on_roster(tx: Transaction, group_id: int, ids: Iterable[str] | None = None) -> Sequence[Any]:
    off = and_(roster_removals.c.group_id == memberships.c.group_id, roster_removals.c.person_id == people.c.id)
    joined = memberships.join(people, people.c.id == memberships.c.person_id).outerjoin(roster_removals, off)
    here = (memberships.c.group_id == group_id, memberships.c.left_at.is_(None), roster_removals.c.person_id.is_(None))
    person = (people.c.id, people.c.lid, people.c.pn, people.c.name)
    query = select(*person, memberships.c.role, memberships.c.is_me).select_from(joined).where(*here)
    if ids is not None:
        wanted = list(ids)
        query = query.where(or_(people.c.lid.in_(wanted), people.c.pn.in_(wanted)))
    return tx.connection.execute(query.order_by(people.c.id)).all()


def _participant(row: Any) -> Participant:
    return Participant(row.lid or row.pn, row.lid, row.pn, row.role, row.is_me, row.name)


def _verdict(row: Any | None) -> Outcome:
    if row is None:
        return _ALREADY_GONE
    if row.is_me:
        return _OURSELVES
    return {"admin": _ADMIN, "superadmin": _OWNER}.get(row.role, _REMOVED)
