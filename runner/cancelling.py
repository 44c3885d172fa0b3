"""Cancelling: the row first, then the process; and the process all the same when the row cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Callable

from runner.clock import Clock
from runner.errors import JobFinished, StoppingUnrecorded, StoreUnavailable
from runner.job import Job, JobStatus
from runner.journal import CancelJournal, JournalledCancel
from runner.settings import Settings
from runner.stop import total_seconds
from runner.store import Store, Transaction
from runner.stores.cancels import CancelRows
from runner.stores.jobs import JobRows
from runner.workflow import find_workflow

log = logging.getLogger(__name__)


class Canceller:
    """``stop``: (job id, grace seconds) raises the flag of the job's run, if it has one here.

    ``job_here``: a job with a run here, for when the store cannot even be read.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        stop: Callable[[str, float], bool],
        job_here: Callable[[str], Job | None],
    ) -> None:
        self._store, self._settings, self._clock, self._stop, self._job_here = store, settings, clock, stop, job_here
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._journal = CancelJournal(settings.home / "cancels.journal")

    def cancel(self, job_id: str, by: str, reason: str | None) -> Job:
        """Raises JobNotFound, JobFinished, StoppingUnrecorded."""
        job = self._find(job_id)
        if job.status is JobStatus.CANCELLED:
            return job
        if not job.is_live:
            raise JobFinished(job.status)
        grace = self.grace_of(job)
        stop_ms = int(total_seconds(grace, self._settings.terminate_seconds) * 1000)
        try:
            with self._store.write() as tx:
                accepted = CancelRows(tx).request(job_id, by, reason, stop_ms)
                job = JobRows(tx).get(job_id)
        except StoreUnavailable as error:
            raise self._unrecorded(
                JournalledCancel(job_id, by, reason, stop_ms, self._clock.now_ms()), grace
            ) from error
        if accepted:
            self._stop(job_id, grace)
        elif job.status is not JobStatus.CANCELLED:
            raise JobFinished(job.status)
        return job

    def _find(self, job_id: str) -> Job:
        try:
            with self._store.read() as tx:
                return JobRows(tx).get(job_id)
        except StoreUnavailable:
            if (job := self._job_here(job_id)) is None:
                raise
            return job

    def grace_of(self, job: Job) -> float:
        """Seconds between a cancel of this job and SIGTERM. A config that its type no longer takes stops no cancel."""
        workflow = find_workflow(job.type)
        if workflow is None:
            return self._settings.grace_seconds
        try:
            return workflow.grace(workflow.config.from_wire(job.config), self._settings)
        except Exception:
            log.exception("The grace period of %s cannot be told", job.id)
            return self._settings.grace_seconds

    def _unrecorded(self, cancel: JournalledCancel, grace: float) -> StoppingUnrecorded:
        kept = self._journal.add(cancel)
        self._stop(cancel.job_id, grace)
        return StoppingUnrecorded(kept)

    def record_journalled(self) -> None:
        """Writes what the store could not take before. Raises StoreUnavailable while it still cannot."""
        pending = self._journal.pending()
        if not pending:
            return
        with self._store.write() as tx:
            for cancel in pending:
                self._record(tx, cancel)
        self._journal.recorded(pending)

    def _record(self, tx: Transaction, cancel: JournalledCancel) -> None:
        if CancelRows(tx).request(cancel.job_id, cancel.by, cancel.reason, cancel.stop_ms):
            log.warning("A cancel of %s is recorded late", cancel.job_id)
