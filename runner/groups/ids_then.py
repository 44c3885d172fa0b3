"""By which ids those next in the queue were known when the group was asked for its list.

A list is used again for some seconds; whose number has changed since is not on it by the new one, and not gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.groups.group import Group
from runner.groups.queue import QueueEntry, QueueRows
from runner.store import Transaction

_MOST = 2000
"""Whoever comes later than that is looked for on a new list."""

Ids = tuple[str | None, str | None]


class IdsThen:
    """As of the list in use; nobody's before one is asked for."""

    def __init__(self) -> None:
        self._ids: Mapping[int | None, Ids] = {}

    def read(self, tx: Transaction, group: Group, entries: Sequence[QueueEntry]) -> None:
        """Of those in the queue from the first of ``entries`` on."""
        first = min((entry.id or 0 for entry in entries), default=0)
        self._ids = {entry.id: (entry.lid, entry.pn) for entry in QueueRows(tx).after(group, first - 1, _MOST)}

    def are_of(self, entry: QueueEntry) -> bool:
        return self._ids.get(entry.id) == (entry.lid, entry.pn)
