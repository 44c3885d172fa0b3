"""How much of what came in by webhooks, by the event's name and by what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select, update

from runner.groups.refused import Refusal
from runner.store import Transaction
from runner.stores.group_schema import webhook_counts

REFUSED = "refused"
"""Beside the outcomes of what was taken in: then the event is the reason."""

MOST_NAMES = 200
"""So many names and outcomes; what comes after them is counted as ``other``: a sender must not fill the store."""


@dataclass(frozen=True)
class Tally:
    event: str
    outcome: str
    number: int
    last_at: int


class TallyRows:
    """The counts, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._now = tx.now
        self._run = tx.connection.execute

    def add(self, numbers: Mapping[tuple[str, str], int]) -> None:
        for (event, outcome), number in sorted(numbers.items()):
            if self._more(event, outcome, number):
                continue
            if self._run(select(func.count()).select_from(webhook_counts)).scalar_one() >= MOST_NAMES:
                event = "other"
                if self._more(event, outcome, number):
                    continue
            values = {"event": event, "outcome": outcome, "number": number, "last_at": self._now}
            self._run(insert(webhook_counts).values(values))

    def refused(self, reasons: Counter[Refusal]) -> None:
        """Of a closed list, so that no name is too many."""
        for reason, number in sorted(reasons.items()):
            if not self._more(reason, REFUSED, number):
                values = {"event": reason, "outcome": REFUSED, "number": number, "last_at": self._now}
                self._run(insert(webhook_counts).values(values))

    def list(self) -> Sequence[Tally]:
        """By event and outcome; what was refused is among them."""
        table = webhook_counts.c
        query = select(table.event, table.outcome, table.number, table.last_at)
        return [Tally(*row) for row in self._run(query.order_by(table.event, table.outcome))]

    def _more(self, event: str, outcome: str, number: int) -> bool:
        mine = (webhook_counts.c.event == event, webhook_counts.c.outcome == outcome)
        values = {"number": webhook_counts.c.number + number, "last_at": self._now}
        return bool(self._run(update(webhook_counts).where(*mine).values(values)).rowcount)
