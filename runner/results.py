"""A job's result: what its workflow said, and what its ledger says, put together when asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict

from runner.job import Job, JsonDict
from runner.store import Store
from runner.stores.batches import BatchRows
from runner.workflow import find_workflow

_MOST_CACHED = 200


class Results:
    """Cached by job and ledger version: a result is put together once for each change of the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[str, tuple[int, JsonDict]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, job: Job) -> JsonDict | None:
        """None where there is nothing to say: a job that has neither begun nor ended."""
        if job.started_at is None and job.completed_at is None:
            return None
        found = dict(job.result) | self._from_ledger(job) | ({"error": job.error} if job.error else {})
        return found or None

    def _from_ledger(self, job: Job) -> JsonDict:
        workflow = find_workflow(job.type)
        if workflow is None or workflow.result is None:
            return {}
        with self._lock:
            known = self._cache.get(job.id)
        if known is not None and known[0] == job.ledger_version:
            return known[1]
        with self._store.read() as tx:
            made = workflow.result(job, BatchRows(tx, job.id).items())
        with self._lock:
            self._cache[job.id] = (job.ledger_version, made)
            while len(self._cache) > _MOST_CACHED:
                self._cache.popitem(last=False)
        return made
