"""``JobManager``: start, get, list, cancel, delete, reap, shut down. What the world outside talks to."""

from __future__ import annotations

import logging
import multiprocessing
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from runner.cancelling import Canceller
from runner.clock import Clock
from runner.dispatcher import Dispatcher
from runner.dispatchers.local import LocalDispatcher
from runner.errors import Draining, JobLive, KeyReused, LockBusy, StoreUnavailable, TooManyJobs
from runner.job import Job, JobStatus, JsonDict, Progress, StopReason, new_job_id
from runner.opening import open_store
from runner.process import raise_file_limit, start_fork_server
from runner.results import Results
from runner.settings import Settings
from runner.store import Store, Transaction
from runner.stores.events import add_event
from runner.stores.jobs import JobFilter, JobRows, KeyRows, NewJob
from runner.stores.runs import RunRows
from runner.supervisor import Supervisor
from runner.tree import server_mark
from runner.workflow import JobConfig, Workflow, load_workflows

log = logging.getLogger(__name__)
_LEASE_SECONDS = 5.0
_REAP_SECONDS = 10.0
_REAP_AT_ONCE = 100
_JOURNAL_SECONDS = 0.5
_KEY_MS = 24 * 3600 * 1000
_DAY_MS = 24 * 3600 * 1000
_BEAT_SECONDS = 10.0


@dataclass(frozen=True)
class StartRequest:
    """A start that has been checked. ``key``: (Idempotency-Key, hash of the body)."""

    workflow: Workflow
    config: JobConfig
    options: JobConfig | None
    created_by: str
    reject_if_busy: bool = False
    key: tuple[str, str] | None = None


class JobManager:
    """The jobs of one node. Its methods may be called from any thread; none waits for a job."""

    def __init__(self, settings: Settings, clock: Clock | None = None, store: Store | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.store = store or open_store(settings, self.clock)
        self.node = socket.gethostname()
        self._context = multiprocessing.get_context("forkserver")
        self._supervisor = Supervisor(self.store, settings, self._context, self.node, self.clock)
        self._dispatcher: Dispatcher = LocalDispatcher(
            self.store, self._supervisor.launcher, self.clock, self.node, self._supervisor.wake, settings.url
        )
        self._canceller = Canceller(self.store, settings, self.clock, self._supervisor.stop, self._supervisor.job_of)
        self._results = Results(self.store)

    @property
    def draining(self) -> bool:
        """Whether it is going down: no job is started any more."""
        return self._supervisor.draining

    def open(self) -> None:
        """Starts the processes, takes up what an earlier server left, and begins. From the main thread."""
        load_workflows(self.settings.workflow_modules)
        raise_file_limit()
        start_fork_server(self._context, self.settings.workflow_modules, server_mark(self.settings.url, self.clock))
        self._canceller.record_journalled()
        self._supervisor.on_free = self._dispatcher.dispatch
        self._supervisor.on_end = self._run_ended
        self._supervisor.before_end = self._canceller.record_journalled
        for seconds, act in self._chores():
            self._supervisor.every(seconds, act)
        self._dispatcher.recover()
        self._supervisor.start()

    def _chores(self) -> list[tuple[float, Callable[[], None]]]:
        return [
            (_LEASE_SECONDS, self._renew_leases),
            (_REAP_SECONDS, self.reap),
            (_JOURNAL_SECONDS, self._canceller.record_journalled),
        ]

    # -- what clients ask for --------------------------------------------------------------------------------

    def find_started(self, caller: str, key: str, body_hash: str) -> str | None:
        """The job of the first accepted start with this key, within 24 h. Raises KeyReused for another body."""
        with self.store.read() as tx:
            return _known_start(tx, caller, (key, body_hash))

    def start(self, request: StartRequest) -> str:
        """Writes the job and, where a slot is free, hands it to a process; returns its id once it is on disk.

        Raises Draining, TooManyJobs, LockBusy, KeyReused, StoreUnavailable, and whatever the type's ``admit`` finds.
        """
        if self.draining:
            raise Draining
        job_id = self._dispatcher.admit(partial(self._write_new, request))
        log.info("Job started successfully", extra={"job": job_id, "type": request.workflow.name})
        return job_id

    def _write_new(self, request: StartRequest, tx: Transaction) -> str:
        """Within one transaction; an earlier start with the same key is found here even if it was just committed."""
        workflow, config, options = request.workflow, request.config, request.options
        known = _known_start(tx, request.created_by, request.key) if request.key else None
        if known is not None:
            return known
        rows = JobRows(tx)
        if rows.count_waiting() >= self.settings.max_pending:
            raise TooManyJobs(self.settings.max_pending)
        new = NewJob(
            id=new_job_id(tx.now),
            type=workflow.name,
            config=config.on_wire(),
            options=options.on_wire() if options else {},
            lock_key=workflow.lock(config) if workflow.lock else None,
            created_by=request.created_by,
        )
        rows.add(new)
        if request.reject_if_busy and new.lock_key and (other := rows.lock_holder(new.lock_key, other_than=new.id)):
            raise LockBusy(other)
        if workflow.admit is not None:
            workflow.admit(tx, new.id, config, options)
        if request.key:
            KeyRows(tx).add(request.created_by, *request.key, new.id)
        add_event(tx, new.id, "pending", {"createdBy": request.created_by})
        return new.id

    def get(self, job_id: str) -> Job:
        """The job as it stands, with what it said since its last commit. Raises JobNotFound."""
        with self.store.read() as tx:
            return self._with_live_progress(JobRows(tx).get(job_id))

    def list(self, wanted: JobFilter, limit: int) -> list[Job]:
        """The newest first."""
        with self.store.read() as tx:
            return [self._with_live_progress(job) for job in JobRows(tx).newest(wanted, limit)]

    def result(self, job: Job) -> JsonDict | None:
        """What the job has brought so far, put together from its ledger; None when there is nothing to say."""
        return self._results.of(job)

    def cancel(self, job_id: str, by: str, reason: str | None = None) -> Job:
        """Cancels a job; durable once it returns. A cancelled job can be cancelled again: nothing changes.

        Raises JobNotFound, JobFinished, and StoppingUnrecorded when the process is being stopped but the store could
        not write that down yet.
        """
        job = self._canceller.cancel(job_id, by, reason)
        self._dispatcher.wake()
        return job

    def delete(self, job_id: str) -> None:
        """Puts a finished job into the archive. Raises JobNotFound, and JobLive while anything of it is under way."""
        with self.store.write() as tx:
            job = JobRows(tx).get(job_id)
            if job.is_live or job.is_claimed:
                raise JobLive(job.status)
            JobRows(tx).archive(job_id)

    def readiness(self) -> dict[str, str]:
        """What this node needs to work, each "ok" or what is wrong with it."""
        beat = self.clock.boot_seconds() - self._supervisor.beat_at
        supervisor = "ok" if beat < _BEAT_SECONDS else f"no sign of life for {beat:.0f} s"
        return {"store": self._store_state(), "supervisor": supervisor} | (
            {"server": "draining"} if self.draining else {}
        )

    def _store_state(self) -> str:
        try:
            with self.store.write() as tx:
                RunRows(tx).renew_leases(self.node)
        except StoreUnavailable as error:
            return str(error)
        return "ok"

    # -- what it does by itself ------------------------------------------------------------------------------

    def reap(self) -> None:
        """Archives jobs that ended an hour ago, 100 at a time, and forgets archived ones after their days."""
        now = self.clock.now_ms()
        with self.store.read() as tx:
            over = JobRows(tx).finished_before(now - self.settings.job_ttl_seconds * 1000, _REAP_AT_ONCE)
        if over:
            with self.store.write() as tx:
                for job_id in over:
                    JobRows(tx).archive(job_id)
            for job_id in over:
                log.info("Cleaned up finished job: %s", job_id)
        with self.store.write() as tx:
            KeyRows(tx).forget_before(now - _KEY_MS)
            JobRows(tx).forget_archived_before(now - self.settings.retention_days * _DAY_MS, _REAP_AT_ONCE)

    def drain(self, done: threading.Event) -> int:
        """Stops every job at its next checkpoint, forcing those that do not heed; returns how many were forced.

        No job is started from here on; status and cancel still answer. ``done``: set by a second signal, which
        cuts the waiting short. Resumable jobs go on at the next start.
        """
        self._supervisor.drain()
        for job_id in self._supervisor.running_ids():
            self._stop_for_drain(job_id)
        while not (self._supervisor.is_idle() or done.wait(0.02)):
            pass
        return self._supervisor.forced

    def _stop_for_drain(self, job_id: str) -> None:
        job = self._supervisor.job_of(job_id)
        if job is None:
            return
        try:
            with self.store.write() as tx:
                RunRows(tx).request_stop(job_id, StopReason.DRAIN)
        except StoreUnavailable as error:
            log.warning("Job %s is stopped unrecorded: %s", job_id, error)
        self._supervisor.stop(job_id, self._canceller.grace_of(job))

    def close(self) -> None:
        self._supervisor.close()
        self.store.close()

    def _renew_leases(self) -> None:
        if not self._supervisor.is_idle():
            with self.store.write() as tx:
                RunRows(tx).renew_leases(self.node)

    def _run_ended(self, job: Job) -> None:
        if job.status is JobStatus.COMPLETED:
            log.info("Job %s completed successfully", job.id)
        elif job.status is JobStatus.CANCELLED:
            log.info("Job cancelled during batch processing", extra={"job": job.id})
        elif job.status is JobStatus.FAILED:
            log.error("Job %s failed: %s", job.id, job.error)
        self._dispatcher.wake()

    def _with_live_progress(self, job: Job) -> Job:
        live = self._supervisor.live.of(job.id) if job.status is JobStatus.RUNNING else None
        if live is None:
            return job
        said = Progress.from_json(live)
        return replace(job, progress=said) if said.processed >= job.progress.processed else job


def _known_start(tx: Transaction, caller: str, key: tuple[str, str]) -> str | None:
    known = KeyRows(tx).find(caller, key[0])
    if known is None:
        return None
    body_hash, job_id = known
    if body_hash != key[1]:
        raise KeyReused
    return job_id
