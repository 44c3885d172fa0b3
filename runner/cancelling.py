"""Cancelling: the row first, then the process; and the process all the same when the row cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runner.clock import Clock
from runner.crashpoint import crashpoint
from runner.errors import JobFinished, StoppingUnrecorded, StoreUnavailable
from runner.job import Job, JobStatus, JsonDict
from runner.journal import CancelJournal, JournalledCancel
from runner.settings import Settings
from runner.stop import KILL_SECONDS, total_seconds
from runner.store import Store, Transaction
from runner.stores.cancels import CancelRows
from runner.stores.jobs import JobRows
from runner.workflow import grace_of

log = logging.getLogger(__name__)
_CANCEL_SECONDS = 1.0
"""So long a cancel waits for a locked database; then the job is stopped, and the cancel kept in the journal."""


@dataclass(frozen=True)
class CancelPreview:
    """``would_signal``: pid and name of whom it could reach; ``in_hand``: people or things in a call or a batch right
    now; ``kept``: what is processed; ``deadline_at``: the latest end, UTC milliseconds.
    """

    job_id: str
    would_signal: list[JsonDict]
    in_hand: int
    kept: int
    deadline_at: int


class Stop(Protocol):
    """Stops the run of a job that has this epoch, if it is here; None: whichever is."""

    def __call__(self, job_id: str, epoch: int | None, grace: float, *, force: bool = False) -> None: ...


class Canceller:
    """``stop`` raises the flag of the job's run, if it has one here.

    ``stores``: one that waits, for those who ask, and a hasty one, for the loop. ``job_here``: a job with a run here,
    for when the store cannot even be read.
    """

    def __init__(
        self,
        stores: tuple[Store, Store],
        settings: Settings,
        clock: Clock,
        stop: Stop,
        job_here: Callable[[str], Job | None],
    ) -> None:
        self._store, self._hasty = stores
        self._brief = self._store.hasty(_CANCEL_SECONDS)
        self._settings, self._clock, self._stop, self._job_here = settings, clock, stop, job_here
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._journal = CancelJournal(settings.home / "cancels.journal")

    def cancel(self, job_id: str, by: str, reason: str | None, *, force: bool = False) -> Job:
        """Raises JobNotFound, JobFinished, StoppingUnrecorded. force: also of a job that is being cancelled already."""
        job = self._job_here(job_id) or self._find(job_id)  # of one with a run here all that is asked now is known
        if _is_done(job, force):
            return job
        grace = 0.0 if force else grace_of(job, self._settings)
        stop_ms = self._stop_ms(grace, force)
        try:
            with self._brief.write() as tx:
                accepted = CancelRows(tx).request(job_id, by, reason, stop_ms)
                if force and not accepted:
                    CancelRows(tx).force(job_id, by, stop_ms)
                job = accepted or JobRows(tx).get(job_id, archived=True)
                crashpoint("before_cancel_commit")
            crashpoint("after_cancel_commit")
        except StoreUnavailable:
            if _is_done(job := self._find(job_id), force):
                return job
            cancel = JournalledCancel(job_id, by, reason, stop_ms, self._clock.now_ms(), force)
            return self._keep(cancel, grace)
        if job.status is not JobStatus.CANCELLED:
            raise JobFinished(job.status)
        if accepted or force:
            self._stop(job_id, job.epoch, grace, force=force)
            crashpoint("after_flag")
        return job

    def deadline_of(self, job: Job, *, force: bool) -> int:
        """When a cancel asked for now would be proved at the latest, UTC milliseconds."""
        stops_by = self._clock.now_ms() + self._stop_ms(grace_of(job, self._settings), force)
        return stops_by if job.is_claimed else self._clock.now_ms()

    def _stop_ms(self, grace: float, force: bool) -> int:
        return int((KILL_SECONDS if force else total_seconds(grace, self._settings.terminate_seconds)) * 1000)

    def _find(self, job_id: str) -> Job:
        try:
            with self._store.read() as tx:
                return JobRows(tx).get(job_id, archived=True)
        except StoreUnavailable:
            if (job := self._job_here(job_id)) is None:
                raise
            return job

    def _keep(self, cancel: JournalledCancel, grace: float) -> Job:
        """In the journal, and the process stopped. Raises StoppingUnrecorded, or JobFinished if it was ending.

        The end of its run may have been under way, and seen no such cancel: so the store is asked once more, for
        longer than a conclusion takes. Any that begins later finds it in the journal.
        """
        kept = self._journal.add(cancel)
        crashpoint("after_journal_add")
        self._stop(cancel.job_id, None, grace, force=cancel.force)
        try:
            self.record_journalled()
        except StoreUnavailable as error:
            job = self._find(cancel.job_id)
            if not job.is_live and job.status is not JobStatus.CANCELLED:
                raise JobFinished(job.status) from None
            raise StoppingUnrecorded(kept) from error
        if (job := self._find(cancel.job_id)).status is not JobStatus.CANCELLED:
            raise JobFinished(job.status)
        return job

    def record_journalled(self) -> None:
        """Writes what the store could not take before. Raises StoreUnavailable while it still cannot."""
        pending = self._journal.pending()
        if not pending:
            return
        with self._hasty.write() as tx:
            for cancel in pending:
                self._record(tx, cancel)
        crashpoint("after_journal_recorded")
        self._journal.recorded(pending)

    def write_journalled(self, tx: Transaction) -> None:
        """In the transaction that decides what the end of a run means: what is in the journal comes first."""
        for cancel in self._journal.pending():
            self._record(tx, cancel)

    def _record(self, tx: Transaction, cancel: JournalledCancel) -> None:
        if CancelRows(tx).request(cancel.job_id, cancel.by, cancel.reason, cancel.stop_ms):
            log.warning("A cancel of %s is recorded late", cancel.job_id)
        elif cancel.force:
            CancelRows(tx).force(cancel.job_id, cancel.by, cancel.stop_ms)


def _is_done(job: Job, force: bool) -> bool:
    """Whether a cancel would change nothing any more. Raises JobFinished for a job that has ended otherwise."""
    if not job.is_live and job.status is not JobStatus.CANCELLED:
        raise JobFinished(job.status)
    return job.status is JobStatus.CANCELLED and not (force and job.is_claimed)
