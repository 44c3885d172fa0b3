"""What happened to a job, in order: receipts, live events and audit are all read from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select

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


def add_event(tx: Transaction, job_id: str, kind: str, data: dict[str, Any]) -> None:
    last = select(func.coalesce(func.max(job_events.c.seq), 0)).where(job_events.c.job_id == job_id)
    values = {"job_id": job_id, "seq": last.scalar_subquery() + 1, "at": tx.now, "kind": kind, "data": data}
    tx.connection.execute(insert(job_events).values(values))


def events_after(tx: Transaction, job_id: str, seq: int, limit: int) -> list[JobEvent]:
    columns = (job_events.c.seq, job_events.c.at, job_events.c.kind, job_events.c.data)
    query = select(*columns).where(job_events.c.job_id == job_id, job_events.c.seq > seq)
    return [JobEvent(*row) for row in tx.connection.execute(query.order_by(job_events.c.seq).limit(limit))]
