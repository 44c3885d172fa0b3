"""``JobManager``: start, get, list, cancel, delete, reap, shut down. What the world outside talks to."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from functools import partial

from runner.arguments import MOST
from runner.cancelling import Canceller, CancelPreview
from runner.clock import Clock
from runner.crashpoint import crashpoint
from runner.dispatcher import Dispatcher
from runner.dispatchers.local import LocalDispatcher
from runner.ending import Conclusion, Next
from runner.errors import Draining, JobFinished, JobLive, NoBirths
from runner.job import Job, JobStatus, JsonDict, Progress
from runner.leaving import Leaving
from runner.machine import Machine
from runner.opening import guard, open_store
from runner.pausing import Pauser
from runner.readiness import readiness
from runner.results import Results
from runner.settings import Settings
from runner.standing import Standing
from runner.starting import StartRequest, known_start, write_retry, write_start
from runner.store import Store
from runner.stores.batches import BatchRows
from runner.stores.events import add_event
from runner.stores.jobs import JobFilter, JobRows
from runner.stores.keys import KeyRows
from runner.stores.runs import RunRows
from runner.supervisor import Supervisor
from runner.workflow import grace_of, load_workflows

log = logging.getLogger(__name__)
_LEASE_SECONDS = 5.0
_REAP_SECONDS = 10.0
_REAP_AT_ONCE = 100
_JOURNAL_SECONDS = 0.5
_LEFT_SECONDS = 1.0  # a cancel of a job whose processes would not die keeps its deadline, too
_KEY_MS = 24 * 3600 * 1000
_DAY_MS = 24 * 3600 * 1000
_LOOP_SECONDS = 0.25


class JobManager:
    """The jobs of one node. Its methods may be called from any thread; none waits for a job."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        store: Store | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.store = store or open_store(settings, self.clock)
        self.node = socket.gethostname()
        self._machine = machine or Machine(settings, self.clock)
        self._hasty = self.store.hasty(_LOOP_SECONDS)  # the loop has ladders to climb, locked database or not
        self._supervisor = Supervisor(self._hasty, settings, self._machine, self.node, self.clock)
        self._canceller = Canceller(
            (self.store, self._hasty), settings, self.clock, self._supervisor.stop, self._supervisor.job_of
        )
        self._dispatcher: Dispatcher = LocalDispatcher(
            (self.store, self._hasty),
            self._supervisor.launcher,
            self.node,
            self._supervisor.wake,
            self._machine.sweep,
            self._canceller.write_journalled,
        )
        self._pauser = Pauser(self.store, settings, self._supervisor.stop)
        self.results, self._standing = Results(self.store), Standing(self._supervisor, settings)
        self._stopped: set[tuple[str, int]] = set()

    @property
    def draining(self) -> bool:
        """Whether it is going down: no job is started any more."""
        return self._supervisor.draining

    def open(self) -> None:
        """Starts the processes, takes up what an earlier server left, and begins. From the main thread."""
        load_workflows(self.settings.workflow_modules)
        self._machine.prepare()
        guard(self.store, self._stop_all)
        self._canceller.record_journalled()
        self._supervisor.on_free = self._dispatcher.dispatch
        self._supervisor.on_end = self._run_ended
        self._supervisor.before_end = self._canceller.write_journalled
        for seconds, act in self._chores():
            self._supervisor.every(seconds, act)
        self._dispatcher.recover()
        self._supervisor.start()

    def _chores(self) -> list[tuple[float, Callable[[], None]]]:
        return [
            (_LEASE_SECONDS, self._renew_leases),
            (_REAP_SECONDS, self.reap),
            (_JOURNAL_SECONDS, self._canceller.record_journalled),
            (_LEFT_SECONDS, self._dispatcher.look_again),
        ]

    # -- what clients ask for --------------------------------------------------------------------------------

    def find_started(self, caller: str, key: str, body_hash: str) -> str | None:
        """The job of the first accepted start with this key, within 24 h. Raises KeyReused for another body."""
        with self.store.read() as tx:
            return known_start(tx, caller, (key, body_hash))

    def start(self, request: StartRequest) -> str:
        """Writes the job and, where a slot is free, hands it to a process; returns its id once it is on disk.

        Raises Draining, NoBirths, TooManyJobs, LockBusy, KeyReused, StoreUnavailable, and whatever the type's
        ``admit`` finds.
        """
        self._check_open()
        job_id = self._dispatcher.admit(partial(write_start, request, self.settings))
        log.info("Job started successfully", extra={"job": job_id, "type": request.workflow.name})
        return job_id

    def _check_open(self) -> None:
        """Raises Draining, and NoBirths while no process can be started: the job would wait, and nobody know why."""
        if self.draining:
            raise Draining
        if (births := self._machine.births()) != "ok":
            raise NoBirths(births)

    def get(self, job_id: str) -> Job:
        """The job as it stands, with what it said since its last commit; from the archive, too. Raises JobNotFound."""
        with self.store.read() as tx:
            return self._standing.of(JobRows(tx).get(job_id, archived=True))

    def list(self, wanted: JobFilter, limit: int) -> list[Job]:
        """The newest first."""
        with self.store.read() as tx:
            return [self._standing.of(job) for job in JobRows(tx).newest(wanted, limit)]

    def result(self, job: Job) -> JsonDict | None:
        """What the job has brought so far, put together from its ledger; None when there is nothing to say."""
        return self.results.of(job)

    def cancel(self, job_id: str, by: str, reason: str | None = None, *, force: bool = False) -> Job:
        """Cancels a job; durable once it returns. A cancelled job can be cancelled again: nothing changes, unless
        ``force`` cuts its grace period short.

        Raises JobNotFound, JobFinished, and StoppingUnrecorded when the process is being stopped but the store could
        not write that down yet.
        """
        job = self._canceller.cancel(job_id, by, reason, force=force)
        self._dispatcher.look()
        return job

    def preview_cancel(self, job_id: str, *, force: bool = False) -> CancelPreview:
        """What a cancel would do now; changes nothing. Raises JobNotFound, JobFinished."""
        with self.store.read() as tx:
            job = JobRows(tx).get(job_id, archived=True)
            intended = sum(len(batch.items) for batch in BatchRows(tx, job_id).open_batches())
        if not job.is_live and not (job.status is JobStatus.CANCELLED and job.is_claimed):
            raise JobFinished(job.status)
        deadline = self._canceller.deadline_of(job, force=force)
        in_hand = intended or self._in_hand(job)
        return CancelPreview(job_id, self._supervisor.members_of(job_id), in_hand, job.progress.processed, deadline)

    def pause(self, job_id: str, by: str) -> Job:
        """Ends the job's process at its next checkpoint; its place is kept. Raises JobNotFound, NotForThatState."""
        return self._pauser.pause(job_id, by)

    def resume(self, job_id: str, by: str) -> Job:
        """A paused job goes on from its place. Raises JobNotFound, NotForThatState.

        Going down, the server leaves it to its next start.
        """
        job = self._pauser.resume(job_id, by)
        self._dispatcher.wake()
        return job

    def retry(self, job_id: str, by: str) -> str:
        """Starts a new job that goes on where this one stopped; returns its id.

        Raises Draining, NoBirths, TooManyJobs, JobNotFound, JobLive, RetriedAlready, NotForThatState, InvalidFields,
        and what ``admit`` finds.
        """
        self._check_open()
        return self._dispatcher.admit(partial(write_retry, job_id, by, self.settings))

    def delete(self, job_id: str, by: str) -> None:
        """Puts a finished job into the archive, if it is not there. Raises JobNotFound, and JobLive while anything of
        it is under way.
        """
        with self.store.write() as tx:
            job = JobRows(tx).get(job_id, archived=True)
            if job.archived_at is not None:
                return
            if job.is_live or job.is_claimed:
                raise JobLive(job.status)
            JobRows(tx).archive(job_id)
            add_event(tx, job_id, "deleted", {"requestedBy": by})

    def readiness(self) -> dict[str, str]:
        """What this node needs to work, each "ok" or what is wrong with it."""
        return readiness(self.store, self._supervisor, self._machine, self.node, self.clock)

    # -- what it does by itself ------------------------------------------------------------------------------

    def reap(self) -> None:
        """Archives jobs that ended an hour ago, 100 at a time, and forgets archived ones after their days."""
        now = self.clock.now_ms()
        with self._hasty.read() as tx:
            over = JobRows(tx).finished_before(now - self.settings.job_ttl_seconds * 1000, _REAP_AT_ONCE)
        if over:
            with self._hasty.write() as tx:
                for job_id in over:
                    JobRows(tx).archive(job_id)
                crashpoint("before_reap_commit")
            crashpoint("after_reap_commit")
            for job_id in over:
                log.info("Cleaned up finished job: %s", job_id)
        with self._hasty.write() as tx:
            KeyRows(tx).forget_before(now - _KEY_MS)
            JobRows(tx).forget_archived_before(now - self.settings.retention_days * _DAY_MS, _REAP_AT_ONCE)

    def drain(self, done: threading.Event) -> int:
        """Stops every job at its next checkpoint, forcing those that do not heed; returns how many were forced, or are
        left to be concluded by the next start because the store does not answer.

        No job is started from here on; status and cancel still answer. ``done``: set by a second signal, which
        cuts the waiting short. Resumable jobs go on at the next start.
        """
        return Leaving(self.store, self.settings, self.clock, self._supervisor).drain(done)

    def _stop_all(self) -> None:
        """The database is lost: what the jobs do can be written down nowhere. Each is stopped once."""
        for job_id in self._supervisor.running_ids():
            job = self._supervisor.job_of(job_id)
            if job is not None and (job.id, job.epoch) not in self._stopped:
                self._stopped.add((job.id, job.epoch))
                self._supervisor.stop(job.id, job.epoch, grace_of(job, self.settings))

    def close(self) -> None:
        self._supervisor.close()
        self.store.close()

    def _renew_leases(self) -> None:
        if not self._supervisor.is_idle():
            with self._hasty.write() as tx:
                RunRows(tx).renew_leases(self.node)

    def _run_ended(self, conclusion: Conclusion) -> None:
        if conclusion.next is Next.PUT_BACK:
            self._dispatcher.wake()
        else:
            self._dispatcher.look()
        job = conclusion.job
        if conclusion.next is not Next.RELEASED:
            return
        if job.status is JobStatus.COMPLETED:
            log.info("Job %s completed successfully", job.id)
        elif job.status is JobStatus.CANCELLED:
            log.info("Job cancelled during batch processing", extra={"job": job.id})
        elif job.status is JobStatus.FAILED:
            log.error("Job %s failed: %s", job.id, job.error)

    def _in_hand(self, job: Job) -> int:
        """Of a batch that was not written down beforehand, its process alone can tell; what it said before the last
        commit is over.
        """
        live = (self._supervisor.live.of(job.id) or {}) if job.is_claimed else {}
        said, told = Progress.from_json(live), live.get("in_hand")
        if (said.processed, said.current_batch) < (job.progress.processed, job.progress.current_batch):
            return 0
        return told if isinstance(told, int) and 0 < told <= MOST else 0
