"""The removal queue: who is to be removed, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, func, insert, literal, or_, select, update

from runner.clock import iso
from runner.groups.activity import ActivityRows, span
from runner.groups.group import Group
from runner.groups.namesakes import maybe_heard
from runner.groups.silence import LAST_SIGN, MAY_GO, inactive
from runner.store import Transaction
from runner.stores.batches import LedgerItem
from runner.stores.group_schema import job_people, memberships, people, removal_queue

MOST_TRIES = 2
"""So many calls with an unknown outcome; whoever is still in the group after the last is given up."""

_MEMBER = and_(memberships.c.group_id == removal_queue.c.group_id, memberships.c.person_id == removal_queue.c.person_id)
_ENTRY = (
    removal_queue.c.id,
    removal_queue.c.group_id,
    removal_queue.c.person_id,
    people.c.lid,
    people.c.pn,
    people.c.name,
    memberships.c.last_active_at,
    removal_queue.c.created_at,
    removal_queue.c.window_ms,
    removal_queue.c.reason,
    removal_queue.c.tries,
    removal_queue.c.tried_at,
)


_PUT_BACK = ("group_id", "person_id", "created_at", "window_ms", "reason", "tries", "tried_at")


@dataclass(frozen=True)
class QueueEntry:
    """One person to be removed. ``window_ms``: the silence that put them here, None: somebody did, by hand.

    ``id`` is None in a dry run for those whom a sync would queue. ``key``: where a walk goes on behind this entry.
    """

    id: int | None
    group_id: int
    person_id: int
    lid: str | None
    pn: str | None
    name: str | None
    last_active_at: int | None
    created_at: int
    window_ms: int | None
    reason: str
    tries: int = 0
    tried_at: int | None = None
    walk_key: Any = None

    @property
    def key(self) -> Any:
        return self.id if self.walk_key is None else self.walk_key

    @property
    def was_asked_for(self) -> bool:
        """Whether a call for them had an end that nobody knows, so that it may have removed them after all."""
        return self.tries > 0 or self.tried_at is not None

    @property
    def shown_id(self) -> str:
        return self.lid or self.pn or ""

    def has_new_ids(self, before: QueueEntry) -> bool:
        """Whether they are known by an id by which they were not. Who has only lost one was looked for by it."""
        return not {self.lid, self.pn} <= {before.lid, before.pn, None}

    def ledger_item(self, outcome: str | None = None, **data: Any) -> LedgerItem:
        """What the job's ledger says of them; absent values are absent."""
        known = {"id": self.shown_id, "phoneNumber": self.pn, "name": self.name, "personId": self.person_id}
        known["reason"] = self.reason
        known["lastActivity"] = None if self.last_active_at is None else iso(self.last_active_at)
        said = {name: value for name, value in (known | data).items() if value is not None}
        return LedgerItem(f"person:{self.person_id}" if self.id is None else str(self.id), outcome, said)


def silence_reason(window_ms: int) -> str:
    return f"no activity for {span(window_ms)} or longer"


class QueueRows:
    """The queue, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def list(self, group: Group | None = None, *, after: int = 0, limit: int = 1000) -> Sequence[QueueEntry]:
        """In the order of removal, at most ``limit``, behind the entry ``after``."""
        mine = () if group is None else (removal_queue.c.group_id == group.id,)
        return self._entries(_entries().where(*mine, removal_queue.c.id > after), limit)

    def after(self, group: Group, key: int | None, size: int, *, listed: str | None = None) -> Sequence[QueueEntry]:
        """The next ``size`` behind ``key``; with ``listed``, only people on that job's list."""
        return self._entries(_entries().where(*_left(group, key, listed)), size)

    def of(self, group: Group, person_ids: Iterable[int]) -> Sequence[QueueEntry]:
        mine = (removal_queue.c.group_id == group.id, removal_queue.c.person_id.in_(list(person_ids)))
        return self._entries(_entries().where(*mine), None)

    def with_ids(self, entry_ids: Iterable[int | None]) -> Sequence[QueueEntry]:
        known = [entry_id for entry_id in entry_ids if entry_id is not None]
        return self._entries(_entries().where(removal_queue.c.id.in_(known)), None)

    def count(self, group: Group | None = None) -> int:
        query = select(func.count()).select_from(removal_queue)
        return self._run(query if group is None else query.where(removal_queue.c.group_id == group.id)).scalar_one()

    def longest_window(self, group: Group) -> int | None:
        """Of the silences for which people are in it; None: nobody is."""
        mine = removal_queue.c.group_id == group.id
        longest: int | None = self._run(select(func.max(removal_queue.c.window_ms)).where(mine)).scalar_one()
        return longest

    def remaining(self, group: Group, key: int | None, *, listed: str | None = None) -> int:
        """How many there are behind ``key``."""
        query = select(func.count()).select_from(removal_queue).where(*_left(group, key, listed))
        return self._run(query).scalar_one()

    def add(
        self, group: Group, person_ids: Sequence[int], reason: str, *, window_ms: int | None = None
    ) -> Sequence[QueueEntry]:
        """Queues members, but nobody whitelisted, no admin, not ourselves, nobody gone or queued; returns the new."""
        last = self._run(select(func.coalesce(func.max(removal_queue.c.id), 0))).scalar_one()
        wanted = memberships.c.person_id.in_(list(person_ids))
        self._insert(group, and_(wanted, MAY_GO), window_ms, reason)
        return [entry for entry in self.of(group, person_ids) if entry.id is not None and entry.id > last]

    def sync(self, group: Group, window_ms: int, now: int, slack_ms: int) -> int:
        """Queues everybody who is inactive, oldest activity first, in one statement; returns how many came in.

        Those whom an earlier sync put here are measured by this window from now on: who is not silent for so long
        is found out when it is their turn.
        """
        measured = and_(removal_queue.c.group_id == group.id, removal_queue.c.window_ms.is_not(None))
        other = (measured, removal_queue.c.window_ms != window_ms)
        reason = silence_reason(window_ms)
        self._run(update(removal_queue).where(*other).values(window_ms=window_ms, reason=reason))
        return self._insert(group, self._inactive(group, window_ms, now, slack_ms), window_ms, reason)

    def would_queue(
        self, group: Group, window_ms: int, now: int, slack_ms: int, *, listed: str | None = None
    ) -> Select[Any]:
        """Whom ``sync`` would queue now: ``(activity, person_id)`` and what an entry needs, not yet ordered."""
        condition = and_(self._inactive(group, window_ms, now, slack_ms), ~_queued(), *_on_list(listed))
        person = (people.c.lid, people.c.pn, people.c.name, memberships.c.last_active_at)
        joined = memberships.join(people, people.c.id == memberships.c.person_id)
        columns = (LAST_SIGN.label("activity"), memberships.c.person_id, *person)
        return select(*columns).select_from(joined).where(memberships.c.group_id == group.id, condition)

    def count_maybe_heard(self, group: Group, window_ms: int, now: int, slack_ms: int) -> int:
        """How many would be queued, but may have written what nobody was matched to yet: they count as unknown."""
        heard = maybe_heard(self._tx, group, now - window_ms)
        condition = and_(self._silent(group, window_ms, now, slack_ms), ~_queued(), _one_of(heard))
        query = select(func.count()).select_from(memberships).where(memberships.c.group_id == group.id, condition)
        return self._run(query).scalar_one()

    def clear(self, group: Group | None) -> int:
        """Empties the queue of one group, or (None) of all; returns how many went."""
        emptied = delete(removal_queue)
        return self._run(emptied if group is None else emptied.where(removal_queue.c.group_id == group.id)).rowcount

    def drop(self, group: Group, person_ids: Iterable[int]) -> None:
        """Whatever there is of these people."""
        mine = (removal_queue.c.group_id == group.id, removal_queue.c.person_id.in_(list(person_ids)))
        self._run(delete(removal_queue).where(*mine))

    def drop_entries(self, entry_ids: Iterable[int | None]) -> None:
        self._run(delete(removal_queue).where(removal_queue.c.id.in_([known for known in entry_ids if known])))

    def asked(self, entry: QueueEntry) -> QueueEntry:
        """The entry with the time at which a call seemed to have done nothing, and as many tries as before."""
        return replace(entry, tried_at=self._tx.now)

    def requeue(self, entry: QueueEntry) -> bool:
        """Puts somebody at the end, with one try less. False, and nothing done, when their tries are used up."""
        tried = replace(entry, tries=entry.tries + 1, tried_at=self._tx.now)
        return tried.tries < MOST_TRIES and self.put_back(tried)

    def put_back(self, entry: QueueEntry) -> bool:
        """Puts somebody at the end under a new key, since a walk that has passed the old one does not turn back.

        False, and nothing done, for somebody who was taken out of the queue meanwhile.
        """
        if not self._run(delete(removal_queue).where(removal_queue.c.id == entry.id)).rowcount:
            return False
        self._run(insert(removal_queue).values({name: getattr(entry, name) for name in _PUT_BACK}))
        return True

    def as_now(self, entries: Sequence[QueueEntry]) -> Sequence[QueueEntry]:
        """The same entries as they stand now; one that was taken out meanwhile as it was."""
        now = {entry.id: entry for entry in self.with_ids(entry.id for entry in entries)}
        return [now.get(entry.id, entry) for entry in entries]

    def _inactive(self, group: Group, window_ms: int, now: int, slack_ms: int) -> ColumnElement[bool]:
        heard = maybe_heard(self._tx, group, now - window_ms)
        return and_(self._silent(group, window_ms, now, slack_ms), ~_one_of(heard))

    def _silent(self, group: Group, window_ms: int, now: int, slack_ms: int) -> ColumnElement[bool]:
        watch = ActivityRows(self._tx).watched_since(group, now, slack_ms)
        return inactive(watch.since if watch else None, now - window_ms)

    def _insert(self, group: Group, condition: ColumnElement[bool], window_ms: int | None, reason: str) -> int:
        window = literal(window_ms, removal_queue.c.window_ms.type)
        values = (literal(self._tx.now, removal_queue.c.created_at.type), window, literal(reason), literal(0))
        chosen = select(memberships.c.group_id, memberships.c.person_id, *values)
        chosen = chosen.where(memberships.c.group_id == group.id, condition, ~_queued())
        names = ["group_id", "person_id", "created_at", "window_ms", "reason", "tries"]
        order = (LAST_SIGN, memberships.c.person_id)
        queued = insert(removal_queue).from_select(names, chosen.order_by(*order))
        counted = queued.execution_options(preserve_rowcount=True)  # of an INSERT it is else not told on PostgreSQL
        return self._run(counted).rowcount

    def _entries(self, query: Select[Any], limit: int | None) -> Sequence[QueueEntry]:
        return [QueueEntry(*row) for row in self._run(query.order_by(removal_queue.c.id).limit(limit))]


def _entries() -> Select[Any]:
    joined = removal_queue.join(people, people.c.id == removal_queue.c.person_id).outerjoin(memberships, _MEMBER)
    return select(*_ENTRY).select_from(joined)


def _one_of(persons: Iterable[int]) -> ColumnElement[bool]:
    """They may be more than a statement takes parameters."""
    return memberships.c.person_id.in_(bindparam(None, sorted(persons), expanding=True, literal_execute=True))


def _queued() -> ColumnElement[bool]:
    return select(removal_queue.c.id).where(_MEMBER).correlate(memberships).exists()


def _left(group: Group, key: int | None, listed: str | None) -> tuple[ColumnElement[bool], ...]:
    mine = (removal_queue.c.group_id == group.id, removal_queue.c.id > (key or 0))
    if listed is None:
        return mine
    on_list = select(job_people.c.person_id).where(job_people.c.job_id == listed)
    return (*mine, removal_queue.c.person_id.in_(on_list))


def _on_list(listed: str | None) -> tuple[ColumnElement[bool], ...]:
    if listed is None:
        return ()
    on_list = select(job_people.c.person_id).where(job_people.c.job_id == listed)
    return (memberships.c.person_id.in_(on_list),)


def behind(query: Select[Any], activity: int, person: int) -> Select[Any]:
    """What comes behind (activity, person) in the order of ``sync``."""
    last_sign = LAST_SIGN
    same = and_(last_sign == activity, memberships.c.person_id > person)
    return query.where(or_(last_sign > activity, same))
