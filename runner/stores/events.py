"""What happened to a job, in order: receipts, live events and audit are all read from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select

from runner.job import JsonDict
from runner.store import Transaction
from runner.stores.schema import job_events


@dataclass(frozen=True)
class JobEvent:
    """``seq`` counts from 1 within the job, without gaps."""

    seq: int
    at: int
    kind: str
    data: JsonDict


_LAST = select(func.coalesce(func.max(job_events.c.seq), 0)).where(job_events.c.job_id == bindparam("of_job"))
_ADD = insert(job_events).values(
    job_id=bindparam("of_job"),
    seq=_LAST.scalar_subquery() + 1,
    at=bindparam("new_at"),
    kind=bindparam("new_kind"),
    data=bindparam("new_data", type_=job_events.c.data.type),
)


def add_event(tx: Transaction, job_id: str, kind: str, data: dict[str, Any]) -> None:
    tx.connection.execute(_ADD, {"of_job": job_id, "new_at": tx.now, "new_kind": kind, "new_data": data})


def events_after(tx: Transaction, job_id: str, seq: int, limit: int) -> list[JobEvent]:
    columns = (job_events.c.seq, job_events.c.at, job_events.c.kind, job_events.c.data)
    query = select(*columns).where(job_events.c.job_id == job_id, job_events.c.seq > seq)
    return [JobEvent(*row) for row in tx.connection.execute(query.order_by(job_events.c.seq).limit(limit))]
