"""One machine, one server: whoever waits longest runs next, as soon as a slot and its lock are free."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from runner.clock import Clock
from runner.ending import RunEnd, conclude
from runner.job import Job, Phase, ProcessIdentity
from runner.launcher import Launcher
from runner.store import Store, Transaction
from runner.stores.cancels import CancelRows
from runner.stores.jobs import JobRows
from runner.stores.runs import RunRows
from runner.tree import containment, descendants, identify, is_alive, left_behind, send_signal

log = logging.getLogger(__name__)
_SWEEP_SECONDS = 5.0


class LocalDispatcher:
    """A ``Dispatcher`` for one server; nobody else works on its database (the server holds a file lock)."""

    def __init__(
        self, store: Store, launcher: Launcher, clock: Clock, node: str, wake: Callable[[], None], database: str
    ) -> None:
        self._store, self._launcher, self._clock, self._node, self._database = store, launcher, clock, node, database
        self._wake_loop = wake
        self._look = threading.Event()
        self._look.set()

    def wake(self) -> None:
        self._look.set()
        self._wake_loop()

    def admit(self, write: Callable[[Transaction], str]) -> str:
        slot = self._launcher.reserve()
        try:
            with self._store.write() as tx:
                job_id = write(tx)
                process = slot.process.identity if slot and slot.process else None
                claimed = slot is not None and RunRows(tx).claim_first(job_id, self._node, process)
                job = JobRows(tx).get(job_id) if claimed else None
        except BaseException:
            if slot is not None:
                self._launcher.give_back(slot)
                self.wake()
            raise
        if job is not None:
            self._launcher.launch(job, slot=slot)
            return job_id
        if slot is not None:
            self._launcher.give_back(slot)
        self.wake()  # without a slot too: one may have become free while the job was being written
        return job_id

    def dispatch(self) -> None:
        while self._look.is_set() and self._launcher.has_room():
            self._look.clear()
            try:
                found = self._claim_next()
            except BaseException:
                self._look.set()
                raise
            if not found:
                return
            self._look.set()

    def _claim_next(self) -> bool:
        """Claims and launches the first waiting job; takes neither slot nor process while nobody waits."""
        with self._store.read() as tx:
            if RunRows(tx).first_waiting() is None:
                return False
        slot = self._launcher.reserve()
        if slot is None:
            return True  # somebody else took it; whoever waits is looked for again
        try:
            with self._store.write() as tx:
                job = RunRows(tx).claim_next(self._node, slot.process.identity if slot.process else None)
        except BaseException:
            self._launcher.give_back(slot)
            raise
        if job is None:
            self._launcher.give_back(slot)
            return False
        self._launcher.launch(job, slot=slot)
        return True

    def recover(self) -> None:
        with self._store.read() as tx:
            left = JobRows(tx).held()
        undying = self._sweep(left)
        for job in left:
            if job.process in undying:
                self._leave(job)
            else:
                self._take_up(job)

    def _leave(self, job: Job) -> None:
        """Its process would not die: it keeps lock and slot until a later start sees it gone."""
        with self._store.write() as tx:
            CancelRows(tx).advance(job.id, Phase.UNCONFIRMED)

    def _take_up(self, job: Job) -> None:
        """What a dead server was doing goes on, or is brought to its end."""
        started = job.status != "pending"
        end = RunEnd(
            job.id,
            job.epoch,
            self._node,
            started,
            None,
            "the server died while it ran",
            containment(),
            server_died=True,
        )
        with self._store.write() as tx:
            conclusion = conclude(tx, end)
        if conclusion.next.mode is not None:
            self._launcher.take_over()
            self._launcher.launch(conclusion.job, conclusion.next.mode)

    def _sweep(self, left: list[Job]) -> set[ProcessIdentity]:
        """Ends what is still there of these jobs: a process deep in C code does not notice that its server died.

        Returns who would not die.
        """
        found = {job.process for job in left if job.process and is_alive(job.process, self._clock.boot_id)}
        found |= left_behind(self._database, [job.id for job in left], self._clock)
        for process in list(found):
            below = (identify(pid, self._clock.boot_id) for pid in descendants(process.pid))
            found |= {child for child in below if child is not None}
        for process in found:
            send_signal(process, signal.SIGKILL, self._clock.boot_id)
        deadline = self._clock.boot_seconds() + _SWEEP_SECONDS
        pause = threading.Event()
        while living := {process for process in found if is_alive(process, self._clock.boot_id)}:
            if self._clock.boot_seconds() > deadline:
                log.error("Processes of an earlier server would not die: %s", sorted(p.pid for p in living))
                return living
            pause.wait(0.01)
        return set()
