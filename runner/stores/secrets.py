"""Secrets of configs in the store: apart from all that is shown, and only for as long as a job may need them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from runner.job import JsonDict
from runner.store import Transaction
from runner.stores.schema import job_secrets

_OF_JOB = job_secrets.c.job_id == bindparam("of_job")
_FIND, _FORGET = select(job_secrets.c.secrets).where(_OF_JOB), delete(job_secrets).where(_OF_JOB)
_ADD = insert(job_secrets)


class SecretRows:
    """The secrets of jobs, within one transaction: ``{"config": [[path, value], …], "options": […]}``."""

    def __init__(self, tx: Transaction) -> None:
        self._run = tx.connection.execute
        self._dialect = tx.connection.dialect.name
        self._connection = tx.connection

    def add(self, job_id: str, secrets: JsonDict) -> None:
        """Nothing is written where there is none."""
        if any(secrets.values()):
            self._run(_ADD, {"job_id": job_id, "secrets": secrets})

    def of(self, job_id: str) -> JsonDict:
        found: Any = self._run(_FIND, {"of_job": job_id}).scalar_one_or_none()
        return found or {}

    def copy(self, from_id: str, to_id: str) -> None:
        """A retry has what the job had that it goes on with."""
        self.add(to_id, self.of(from_id))

    def forget(self, job_id: str) -> None:
        """The job can need them no longer; in an SQLite file their place is written over."""
        if self._dialect == "sqlite":
            self._connection.exec_driver_sql("PRAGMA secure_delete=ON").close()
        self._run(_FORGET, {"of_job": job_id})
