"""How much stands in the ledgers of jobs, without reading it: for lists, which show no whole result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Text, cast, func, select

from runner.store import Transaction
from runner.stores.schema import batch_items

_AT_ONCE = 500
_OPEN = "unknown"


@dataclass
class Extent:
    """``outcomes``: how many items came to what, those that are open under ``unknown``; ``size``: about how many bytes
    all of them have.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    size: int = 0

    @property
    def items(self) -> int:
        return sum(self.outcomes.values())


def ledger_extents(tx: Transaction, job_ids: Iterable[str]) -> dict[str, Extent]:
    """For the jobs that have anything in their ledger."""
    found: dict[str, Extent] = {}
    ids = list(job_ids)
    size = func.sum(func.length(cast(batch_items.c.data, Text)))
    columns = (batch_items.c.job_id, batch_items.c.outcome, func.count().label("items"), size.label("size"))
    for start in range(0, len(ids), _AT_ONCE):
        these = batch_items.c.job_id.in_(ids[start : start + _AT_ONCE])
        query = select(*columns).where(these).group_by(batch_items.c.job_id, batch_items.c.outcome)
        for row in tx.connection.execute(query):
            extent = found.setdefault(row.job_id, Extent())
            extent.outcomes[row.outcome or _OPEN] = row.items
            extent.size += int(row.size or 0)
    return found
