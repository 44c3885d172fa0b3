"""The removal history: who was removed or could not be, when, by which job, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select

from runner.groups.group import Group
from runner.store import Transaction
from runner.stores.group_schema import groups, people, removal_history

SUCCESS, FAILURE = "SUCCESS", "FAILURE"

_COLUMNS = (
    removal_history.c.id,
    groups.c.wa_id,
    people.c.lid,
    people.c.pn,
    people.c.name,
    removal_history.c.job_id,
    removal_history.c.at,
    removal_history.c.outcome,
    removal_history.c.reason,
    removal_history.c.code,
    removal_history.c.via,
)


@dataclass(frozen=True)
class NewHistory:
    """One removal, to be written. ``outcome``: SUCCESS or FAILURE; ``via``: the gateway."""

    person_id: int
    job_id: str | None
    outcome: str
    reason: str
    via: str
    code: str | None = None


@dataclass(frozen=True)
class HistoryEntry:
    id: int
    group_wa_id: str
    lid: str | None
    pn: str | None
    name: str | None
    job_id: str | None
    at: int
    outcome: str
    reason: str
    code: str | None
    via: str

    @property
    def shown_id(self) -> str:
        return self.lid or self.pn or ""


class HistoryRows:
    """The history, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def add(self, group: Group, entries: Iterable[NewHistory]) -> None:
        rows = [{"group_id": group.id, "at": self._tx.now, **vars(entry)} for entry in entries]
        if rows:
            self._run(insert(removal_history), rows)

    def list(
        self, group: Group | None = None, *, before: int | None = None, limit: int = 1000
    ) -> Sequence[HistoryEntry]:
        """The newest first, at most ``limit``; ``before``: the ``id`` of the last entry of the page before."""
        joined = removal_history.join(people, people.c.id == removal_history.c.person_id).join(groups)
        query = select(*_COLUMNS).select_from(joined)
        if group is not None:
            query = query.where(removal_history.c.group_id == group.id)
        if before is not None:
            query = query.where(removal_history.c.id < before)
        return [HistoryEntry(*row) for row in self._run(query.order_by(removal_history.c.id.desc()).limit(limit))]
