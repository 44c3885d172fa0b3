"""By which ids those next in the queue were known when the group was asked for its list.

A list is used again for some seconds; whose number has changed since is not on it by the new one, and not gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.groups.group import Group
from runner.groups.judgement import Pair
from runner.groups.person import PersonRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.store import Store, Transaction

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


def join(store: Store, entries: Sequence[QueueEntry], pairs: Sequence[Pair]) -> Sequence[QueueEntry]:
    """The list shows that a lid and a number are one person: what is known of either counts for both.

    Returned are those who have an entry of their own still, by the ids that they were looked for by: whose number has
    changed since is not on the list by the new one.
    """
    with store.write() as tx:
        for lid, pn in pairs:
            PersonRows(tx).resolve(lid, pn)
        left = {entry.id for entry in QueueRows(tx).with_ids(entry.id for entry in entries)}
    return [entry for entry in entries if entry.id in left]
