"""Idempotency keys in the store: the same start, asked for again, is one job."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from runner.store import Transaction
from runner.stores.schema import idempotency_keys


class KeyRows:
    """Idempotency keys, within one transaction. Kept for as long as ``forget_before`` leaves them."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def find(self, caller: str, key: str) -> tuple[str, str] | None:
        """(hash of the body, job id) of the first answer to this key."""
        known = idempotency_keys.c
        row = self._run(select(known.body_hash, known.job_id).where(known.caller == caller, known.key == key)).first()
        return (row.body_hash, row.job_id) if row else None

    def add(self, caller: str, key: str, body_hash: str, job_id: str) -> None:
        values = {"caller": caller, "key": key, "body_hash": body_hash, "job_id": job_id}
        self._run(insert(idempotency_keys).values(created_at=self._tx.now, **values))

    def forget_before(self, created: int) -> None:
        self._run(delete(idempotency_keys).where(idempotency_keys.c.created_at < created))
