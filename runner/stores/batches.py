"""The ledger: batches and their items, written down before an outside call and settled after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from runner.clock import Deadline
from runner.errors import LeaseOver, RunSuperseded, StopRequested
from runner.job import JsonDict
from runner.store import Transaction
from runner.stores.jobs import change_job
from runner.stores.runs import CURRENT
from runner.stores.schema import batch_items, batches, jobs
from runner.stores.session import demand_server

OPEN, DONE = "open", "done"
UNKNOWN = "unknown"


_NEXT_VERSION = jobs.c.ledger_version + 1
_OF_JOB = batches.c.job_id == bindparam("of_job")
_GUARDED = (
    select(jobs.c.stop_reason, jobs.c.lease_until).where(jobs.c.id == bindparam("of_job"), *CURRENT).with_for_update()
)
_OPEN_BATCHES = select(batches).where(_OF_JOB, batches.c.state == OPEN).order_by(batches.c.seq)
_OPEN_KEYS = select(batch_items.c.item_key).where(
    batch_items.c.job_id == bindparam("of_job"), batch_items.c.seq == bindparam("of_seq"), batch_items.c.state == OPEN
)
_LAST_SEQ = select(func.coalesce(func.max(batches.c.seq), 0)).where(_OF_JOB)
_THIS_JOB = select(jobs.c.id, jobs.c.retry_of).where(jobs.c.id == bindparam("of_job")).cte("this_job", recursive=True)
_EARLIER = jobs.alias("earlier")
_AND_EARLIER = _THIS_JOB.union_all(
    select(_EARLIER.c.id, _EARLIER.c.retry_of).where(_EARLIER.c.id == _THIS_JOB.c.retry_of)
)
_LAST_COMMIT = select(func.max(batches.c.committed_at)).where(batches.c.job_id.in_(select(_AND_EARLIER.c.id)))
_BEGIN, _ADD_ITEMS = insert(batches), insert(batch_items)
_COMMITTED = (
    update(batches)
    .where(_OF_JOB, batches.c.seq == bindparam("of_seq"))
    .values(state=bindparam("new_state"), committed_at=bindparam("at"))
)


@dataclass(frozen=True)
class LedgerItem:
    """One item of a batch. ``outcome`` is None while it is open: intended, and nobody knows what became of it."""

    key: str
    outcome: str | None = None
    data: JsonDict = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True)
class OpenBatch:
    """A batch with open items, and the deadline of its call. ``position``: where the source stands after it, if all
    that the source gave was intended; else None. ``is_called``: a call may have gone out; else it is certain that by
    ``Batch.call`` none has. ``is_committed``: it had a commit, which left these items open.
    """

    seq: int
    epoch: int
    deadline: Deadline | None
    items: tuple[LedgerItem, ...]
    position: Any = None
    is_called: bool = True
    is_committed: bool = False


class BatchRows:
    """One job's ledger, within one transaction."""

    def __init__(self, tx: Transaction, job_id: str) -> None:
        self._tx = tx
        self._job_id = job_id
        self._run = tx.connection.execute

    def guard(self, epoch: int, call_ms: int) -> None:
        """Refuses further acts of a run that was superseded, asked to stop, or has lost its lease or its server.

        Else the lease is stretched over the call, so that nobody takes the job over in the middle of it.
        """
        now = self._tx.now
        row = self._run(_GUARDED, {"of_job": self._job_id, "run_epoch": epoch}).first()
        if row is None:
            raise RunSuperseded(self._job_id, epoch)
        if row.stop_reason is not None:
            raise StopRequested
        if row.lease_until <= now:
            raise LeaseOver
        demand_server(self._tx.connection)
        self._changed(lease_until=max(row.lease_until, now + call_ms))

    def fence(self, epoch: int) -> None:
        """Refuses whatever a superseded run would still write; what an asked stop or a lost lease does not forbid."""
        if not self._changed(*CURRENT, given={"run_epoch": epoch}):
            raise RunSuperseded(self._job_id, epoch)

    def _changed(self, *conditions: ColumnElement[bool], **values: Any) -> bool:
        """The ledger is not as it was: whatever is put together from it is to be put together again."""
        return change_job(self._tx, self._job_id, *conditions, ledger_version=_NEXT_VERSION, **values)

    def intend(
        self,
        seq: int,
        epoch: int,
        items: Sequence[LedgerItem],
        lock_key: str | None,
        deadline: Deadline,
        position: Any = None,
    ) -> None:
        """Writes the batch down before its call. Raises RunSuperseded when somebody else has one of its items open."""
        values = {"intended_at": self._tx.now, "deadline": deadline.as_json(), "position": position}
        self._begin(seq, epoch, OPEN, len(items), **values)
        try:
            self._insert(seq, items, OPEN, lock_key)
        except IntegrityError as error:
            raise RunSuperseded(self._job_id, epoch) from error

    def stamp_call(self, seq: int, deadline: Deadline) -> None:
        """A call goes out now; an intent closed after an attempt that sent nothing is opened again."""
        values = {"called_at": self._tx.now, "deadline": deadline.as_json()}
        self._run(update(batches).where(*self._at(batches, seq)).values(**values))

    def book(self, seq: int, epoch: int, items: Sequence[LedgerItem], lock_key: str | None) -> int:
        """Outcomes, of items intended before or not; and the batch as committed, still open if an item is.

        Returns how many stay open.
        """
        known = self._open_keys(seq)
        for item in items:
            if item.key in known:
                self._close(seq, item)
        self._insert(seq, [item for item in items if item.key not in known], DONE, lock_key)
        still_open = known - {item.key for item in items}
        state = OPEN if still_open else DONE
        committed = {"of_job": self._job_id, "of_seq": seq, "new_state": state, "at": self._tx.now}
        if not self._run(_COMMITTED, committed).rowcount:
            self._begin(seq, epoch, state, len(items), committed_at=self._tx.now)
        return len(still_open)

    def explain(self, said: Mapping[str, JsonDict]) -> None:
        """More about open items, by their keys: for whoever settles them."""
        mine = (batch_items.c.job_id == self._job_id, batch_items.c.state == OPEN)
        query = select(batch_items.c.seq, batch_items.c.item_key, batch_items.c.data).where(*mine)
        for seq, key, data in self._run(query.where(batch_items.c.item_key.in_(said))).all():
            of_item = (*self._at(batch_items, seq), batch_items.c.item_key == key)
            self._run(update(batch_items).where(*of_item).values(data=data | said[key]))

    def was_called(self, seq: int) -> bool:
        """Whether a call has gone out for the batch, so that its people have a try less: that has an end."""
        query = select(batches.c.called_at).where(*self._at(batches, seq))
        return self._run(query).scalar() is not None

    def withdraw(self, seq: int) -> None:
        """Removes an intent of which it is certain that nothing was sent."""
        for table in (batch_items, batches):
            self._run(table.delete().where(*self._at(table, seq)))

    def give_up(self, batch: OpenBatch) -> None:
        """Nobody can find out what became of it: its items are kept as unknown for good."""
        self.book(batch.seq, batch.epoch, [LedgerItem(item.key, UNKNOWN, item.data) for item in batch.items], None)
        self._changed()

    def last_seq(self) -> int:
        found: int = self._run(_LAST_SEQ, {"of_job": self._job_id}).scalar_one()
        return found

    def last_commit_at(self) -> int | None:
        """When the last batch was committed, by this job or by those it goes on with."""
        found: int | None = self._run(_LAST_COMMIT, {"of_job": self._job_id}).scalar_one()
        return found

    def open_batches(self) -> list[OpenBatch]:
        """The first open batch first. Empty for almost every job at almost every time."""
        rows = self._run(_OPEN_BATCHES, {"of_job": self._job_id}).all()
        return [self._open_batch(row) for row in rows]

    def items(self) -> Iterator[LedgerItem]:
        """All items in the order they were dealt with."""
        columns = (batch_items.c.item_key, batch_items.c.outcome, batch_items.c.data, batch_items.c.seq)
        query = select(*columns).where(batch_items.c.job_id == self._job_id)
        for row in self._run(query.order_by(batch_items.c.seq, batch_items.c.ordinal)):
            yield LedgerItem(row.item_key, row.outcome, row.data, row.seq)

    def _open_batch(self, row: Any) -> OpenBatch:
        columns = (batch_items.c.item_key, batch_items.c.data)
        query = select(*columns).where(*self._at(batch_items, row.seq), batch_items.c.state == OPEN)
        items = [LedgerItem(key, None, data, row.seq) for key, data in self._run(query.order_by(batch_items.c.ordinal))]
        deadline = Deadline.from_json(row.deadline) if row.deadline else None
        told = {"is_called": row.called_at is not None, "is_committed": row.committed_at is not None}
        return OpenBatch(row.seq, row.epoch, deadline, tuple(items), row.position, **told)

    def _open_keys(self, seq: int) -> set[str]:
        return set(self._run(_OPEN_KEYS, {"of_job": self._job_id, "of_seq": seq}).scalars())

    def _close(self, seq: int, item: LedgerItem) -> None:
        """A compare-and-set on the open item: whoever settles it first decides."""
        mine = (*self._at(batch_items, seq), batch_items.c.item_key == item.key, batch_items.c.state == OPEN)
        self._run(update(batch_items).where(*mine).values(state=DONE, outcome=item.outcome, data=item.data))

    def _begin(self, seq: int, epoch: int, state: str, count: int, **values: Any) -> None:
        row = {"job_id": self._job_id, "seq": seq, "epoch": epoch, "state": state, "items": count}
        self._run(_BEGIN, row | values)

    def _insert(self, seq: int, items: Sequence[LedgerItem], state: str, lock_key: str | None) -> None:
        shared: Mapping[str, Any] = {"job_id": self._job_id, "seq": seq, "state": state, "lock_key": lock_key}
        rows = [
            {**shared, "item_key": item.key, "ordinal": number, "outcome": item.outcome, "data": item.data}
            for number, item in enumerate(items)
        ]
        if rows:
            self._run(_ADD_ITEMS, rows)

    def _at(self, table: Any, seq: int) -> tuple[Any, Any]:
        return (table.c.job_id == self._job_id, table.c.seq == seq)
