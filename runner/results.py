"""A job's result: what its workflow said, and what its ledger says, put together when asked for."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from runner.job import Job, JsonDict
from runner.store import Store
from runner.stores.batches import BatchRows
from runner.stores.extents import Extent, ledger_extents
from runner.workflow import find_workflow

log = logging.getLogger(__name__)
_MOST_CACHED = 200
_MOST_BRIEFS = 5000
LISTED_BYTES = 1000
"""A list carries results up to this size, in JSON as it is sent."""
_READ_BYTES = 200_000
"""A ledger beyond this is not read to find that out; a few hundred people."""
_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class Brief:
    """A result as a list has it: whole where it is small; else its size, about, and how many items came to what."""

    result: JsonDict | None = None
    size: int | None = None
    summary: JsonDict | None = None


class Results:
    """Cached by job and ledger version: a result is put together once for each change of the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[str, tuple[int, JsonDict]] = OrderedDict()
        self._briefs: OrderedDict[str, tuple[int, Brief]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, job: Job) -> JsonDict | None:
        """None where there is nothing to say: a job that has neither begun nor ended."""
        return self._put_together(job)

    def _put_together(self, job: Job) -> JsonDict | None:
        if job.started_at is None and job.completed_at is None:
            return None
        found = dict(job.result) | self._from_ledger(job) | ({"error": job.error} if job.error else {})
        return found or None

    def briefs(self, jobs: Sequence[Job]) -> list[Brief]:
        """For a list of ``jobs``, in their order. Kept for each until its row changes: a list that is asked for again
        and again reads no ledger.
        """
        with self._lock:
            known = {
                job.id: found[1] for job in jobs if (found := self._briefs.get(job.id)) and found[0] == job.revision
            }
        missing = [job for job in jobs if job.id not in known]
        made = self._made(missing)
        with self._lock:
            for job in missing:
                self._briefs.pop(job.id, None)
                self._briefs[job.id] = (job.revision, made[job.id])
            while len(self._briefs) > _MOST_BRIEFS:
                self._briefs.popitem(last=False)
        return [known.get(job.id) or made[job.id] for job in jobs]

    def _made(self, jobs: Sequence[Job]) -> dict[str, Brief]:
        begun = [job.id for job in jobs if job.ledger_version]
        extents: dict[str, Extent] = {}
        if begun:
            with self._store.read() as tx:
                extents = ledger_extents(tx, begun)
        return {job.id: self._readable(job, extents.get(job.id) or Extent()) for job in jobs}

    def _readable(self, job: Job, extent: Extent) -> Brief:
        try:
            return self._brief(job, extent)
        except Exception:  # one ledger that cannot be read must not cost the list of all
            log.exception("The result of job %s cannot be read", job.id)
            return Brief(size=(job.result_bytes or 0) + extent.size, summary={"error": "its result cannot be read"})

    def _brief(self, job: Job, extent: Extent) -> Brief:
        size = (job.result_bytes or 0) + extent.size
        if job.result_bytes is None and extent.size <= _READ_BYTES:
            whole = self._put_together(job)
            size = _size_of(whole)
            if size <= LISTED_BYTES:
                return Brief(whole)
        summary: JsonDict = {_camel(outcome): number for outcome, number in sorted(extent.outcomes.items())}
        if job.error:
            summary["error"] = job.error[:_ERROR_CHARACTERS]
        return Brief(size=size, summary=summary)

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


def _size_of(result: JsonDict | None) -> int:
    return len(json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")) if result is not None else 0


def _camel(name: str) -> str:
    first, *rest = name.replace("-", "_").split("_")
    return first + "".join(map(str.capitalize, rest))
