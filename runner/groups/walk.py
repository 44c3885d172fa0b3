"""Walks over those to be removed: the queue itself, and the preview of it in a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import func, select

from runner.groups.group import Group
from runner.groups.queue import QueueEntry, QueueRows, behind, silence_reason
from runner.groups.silence import LAST_SIGN
from runner.store import Transaction
from runner.stores.group_schema import memberships

QUEUED, WOULD_BE_QUEUED = 0, 1
Key = Sequence[int] | None


class Walk(Protocol):
    """``after``: the next ``size`` people behind ``key`` (None: all); ``remaining``: how many there are behind it."""

    def after(self, tx: Transaction, key: Any, size: int) -> Sequence[QueueEntry]: ...

    def remaining(self, tx: Transaction, key: Any) -> int: ...


@dataclass(frozen=True)
class QueueWalk:
    """The queue by its keys; it may shrink behind the walk and grow ahead of it. ``listed`` as in ``Preview``."""

    group: Group
    listed: str | None = None

    def after(self, tx: Transaction, key: int | None, size: int) -> Sequence[QueueEntry]:
        return QueueRows(tx).after(self.group, key, size, listed=self.listed)

    def remaining(self, tx: Transaction, key: int | None) -> int:
        return QueueRows(tx).remaining(self.group, key, listed=self.listed)


@dataclass(frozen=True)
class Preview:
    """First the queue as it is, then those whom a sync at ``now`` would queue (``window_ms`` None: no sync).

    Keys are ``[0, queue id]`` and then ``[1, last activity, person]``; ``now`` must stay the same over the whole walk.
    ``listed``: only people on that job's list.
    """

    group: Group
    window_ms: int | None
    now: int
    slack_ms: int
    listed: str | None = None

    def after(self, tx: Transaction, key: Key, size: int) -> Sequence[QueueEntry]:
        found: list[QueueEntry] = []
        if key is None or key[0] == QUEUED:
            queued = QueueRows(tx).after(self.group, key[1] if key else None, size, listed=self.listed)
            found = [self._measured(replace(entry, walk_key=[QUEUED, entry.id])) for entry in queued]
            key = None
        if len(found) < size and self.window_ms is not None:
            found += self._would_be_queued(tx, key, size - len(found), self.window_ms)
        return found

    def remaining(self, tx: Transaction, key: Key) -> int:
        rows = QueueRows(tx)
        count = 0
        if key is None or key[0] == QUEUED:
            count = rows.remaining(self.group, key[1] if key else None, listed=self.listed)
            key = None
        if self.window_ms is None:
            return count
        ahead = select(func.count()).select_from(self._query(tx, key).subquery())
        return count + int(tx.connection.execute(ahead).scalar_one())

    def _measured(self, entry: QueueEntry) -> QueueEntry:
        """As a sync would leave it: by this window."""
        if self.window_ms is None or entry.window_ms is None:
            return entry
        return replace(entry, window_ms=self.window_ms, reason=silence_reason(self.window_ms))

    def _query(self, tx: Transaction, key: Key) -> Any:
        query = QueueRows(tx).would_queue(self.group, self.window_ms or 0, self.now, self.slack_ms, listed=self.listed)
        return behind(query, key[1], key[2]) if key else query

    def _would_be_queued(self, tx: Transaction, key: Key, size: int, window_ms: int) -> list[QueueEntry]:
        query = self._query(tx, key).order_by(LAST_SIGN, memberships.c.person_id).limit(size)
        return [self._entry(row, window_ms) for row in tx.connection.execute(query)]

    def _entry(self, row: Any, window_ms: int) -> QueueEntry:
        return QueueEntry(
            None,
            self.group.id,
            row.person_id,
            row.lid,
            row.pn,
            row.name,
            row.last_active_at,
            self.now,
            window_ms,
            silence_reason(window_ms),
            walk_key=[WOULD_BE_QUEUED, row.activity, row.person_id],
        )
