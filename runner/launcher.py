"""Slots, and the way of a claimed job to its process."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from runner.clock import Clock
from runner.context import Run
from runner.crashpoint import crashpoint
from runner.errors import StoreUnavailable
from runner.job import Job, JsonDict
from runner.machine import Pool
from runner.opening import marks_of
from runner.process import JobProcess
from runner.running import Running
from runner.settings import Settings
from runner.store import Store
from runner.stores.jobs import JobRows
from runner.stores.runs import RunRows

log = logging.getLogger(__name__)
_SILENT_SECONDS = 0.5


@dataclass
class Slot:
    """A place to run one job in, and the process that will, if one stood ready. ``job_id``: once it is expected."""

    process: JobProcess | None = None
    job_id: str | None = None


@dataclass(eq=False)
class Launch:
    """A claimed job on its way to a process. ``not_before``: boot seconds."""

    job: Job
    mode: str
    process: JobProcess | None = None
    not_before: float = 0.0


class Launcher:
    """Which runs this node has. ``wake``: tells the supervisor's loop that there is something to do.

    ``running`` is read by the loop and written under ``lock``. ``withdrawn``: what will not be launched after all, to
    be concluded by the loop.
    """

    def __init__(self, store: Store, settings: Settings, clock: Clock, pool: Pool, wake: Callable[[], None]) -> None:
        self._store, self._settings, self._clock, self._pool, self._wake = store, settings, clock, pool, wake
        self._for_job: JsonDict = settings.for_job()
        self._slots = 0
        self._silent_until = 0.0  # the store did not answer just now, in boot seconds
        self._waiting: deque[Launch] = deque()
        self._expected: dict[str, bool] = {}  # whether it was to be stopped before it was launched
        self.lock = threading.RLock()
        self.running: dict[str, Running] = {}
        self.fresh: deque[Running] = deque()
        self.withdrawn: deque[Launch] = deque()
        self.closed = False

    def has_room(self) -> bool:
        """Whether ``reserve`` would give a slot now."""
        return not self.closed and self._slots < self._settings.max_running

    def reserve(self) -> Slot | None:
        """A slot, or None when all are taken or no more are given."""
        with self.lock:
            if not self.has_room():
                return None
            self._slots += 1
        try:
            return Slot(self._pool.take())
        except BaseException:
            self.free_slot()
            raise

    def expect(self, slot: Slot, job_id: str) -> None:
        """The job is being claimed for this slot and its process. Called in the claim's transaction: from its commit
        on, whoever stops the job is heard, and its row need not be read once more before it is launched.
        """
        slot.job_id = job_id
        with self.lock:
            self._expected[job_id] = False

    def give_back(self, slot: Slot) -> None:
        """A slot that was not used after all."""
        self.free_slot()
        self._forget(slot.job_id)
        if slot.process is not None:
            self._pool.put_back(slot.process)

    def free_slot(self) -> None:
        with self.lock:
            self._slots -= 1

    def take_over(self) -> None:
        """A slot for a job that had one before the server went down, whatever the limit is now."""
        with self.lock:
            self._slots += 1

    def launch(self, job: Job, mode: str = "run", slot: Slot | None = None, *, after_seconds: float = 0.0) -> None:
        """Brings a claimed job to a process: at once where one stands ready, else as soon as one is started."""
        process = slot.process if slot is not None else None
        not_before = self._clock.boot_seconds() + after_seconds if after_seconds else 0.0
        item = Launch(job, mode, process, not_before)
        if process is not None:
            self._bind_and_send(item, process)
        else:
            self._forget(job.id)
            self._waiting.append(item)
            self._wake()

    def _forget(self, job_id: str | None) -> bool | None:
        """Expects it no longer; whether it was to be stopped, None for one that was not expected."""
        with self.lock:
            return self._expected.pop(job_id, None) if job_id is not None else None

    def launch_waiting(self) -> None:
        """Launches what is due and has a process now. Called by the loop. What waits when no more runs are begun
        keeps its claim, for the next start.
        """
        now = self._clock.boot_seconds()
        if self.closed or now < self._silent_until:
            return
        for item in [item for item in tuple(self._waiting) if item.not_before <= now]:
            process = self._pool.take()
            if process is None:
                return
            try:
                self._waiting.remove(item)
            except ValueError:  # it has just been withdrawn
                self._pool.put_back(process)
            else:
                self._bind_and_send(item, process)
            if now < self._silent_until:  # of a store that does not answer nothing more is asked: the loop has to go on
                return

    def hurry(self, job_id: str) -> None:
        """The job is to be stopped: a launch that waits for a process is withdrawn, a settling waits no longer. Called
        under ``lock``, for a job that has no process here.
        """
        if job_id in self._expected:
            self._expected[job_id] = True
        for item in tuple(self._waiting):
            if item.job.id != job_id:
                continue
            item.not_before = 0.0
            if item.mode != "settle":
                with contextlib.suppress(ValueError):  # the loop has just taken it
                    self._waiting.remove(item)
                    self.withdrawn.append(item)

    def next_at(self) -> list[float]:
        """When a launch that waits for its time is due, in boot seconds; one that is due waits to be woken."""
        now = self._clock.boot_seconds()
        silent = [self._silent_until] if self._waiting and self._silent_until > now else []
        return silent + [item.not_before for item in tuple(self._waiting) if item.not_before > now]

    def missing_processes(self) -> int:
        """How many launches wait for nothing but a process."""
        now = self._clock.boot_seconds()
        return sum(item.not_before <= now for item in tuple(self._waiting))

    def _bind_and_send(self, item: Launch, process: JobProcess) -> None:
        """Binds the process, looks once more whether the job is stopped, then sends: a cancel finds either that it is
        expected, or the row, or the process.
        """
        run = Running(item.job, item.mode, process, self._clock)
        with self.lock:
            self.running[run.job_id] = run
            is_stopped = self._forget(run.job_id)
            may_begin = not (self.closed or is_stopped)
        self.fresh.append(run)
        crashpoint("before_bind")
        is_bound = is_stopped is not None  # its claim has named the process
        if not (may_begin and (is_bound or self._bound(item, process)) and self._handed_over(item, process)):
            run.send_away()
        self._wake()

    def _handed_over(self, item: Launch, process: JobProcess) -> bool:
        crashpoint("after_bind")
        try:
            process.hand_over(run_of(item.job, item.mode), self._for_job | marks_of(self._store))
        except OSError:  # it is gone: another process can have the job
            return False
        crashpoint("after_hand_over")
        return True

    def _bound(self, item: Launch, process: JobProcess) -> bool:
        """Writes down which process has the run, since its claim did not; and whether the run may still begin.

        A store that does not answer means no: the process goes, and another has the job when the store is back.
        """
        job = item.job
        try:
            with self._store.write() as tx:
                RunRows(tx).bind(job.id, job.epoch, process.identity)
                now = JobRows(tx).get(job.id, archived=True)
        except StoreUnavailable as error:
            log.warning("%s", error)
            self._silent_until = self._clock.boot_seconds() + _SILENT_SECONDS
            return False
        return now.epoch == job.epoch and (item.mode == "settle" or (now.stop_reason is None and now.is_live))


def run_of(job: Job, mode: str) -> Run:
    """What the process of a claimed job is handed."""
    return Run(
        job_id=job.id,
        type=job.type,
        mode=mode,
        epoch=job.epoch,
        attempt=job.attempt + 1,
        lock_key=job.lock_key,
        config=job.config,
        options=job.options,
        progress=job.progress.as_json(),
        result=job.result,
        position=job.position,
        is_first=job.epoch == 1,
    )
