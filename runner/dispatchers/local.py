"""One machine, one server: whoever waits longest runs next, as soon as a slot and its lock are free."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from runner.crashpoint import crashpoint
from runner.ending import Next, RunEnd, conclude
from runner.job import Job, Phase, ProcessIdentity
from runner.launcher import Launcher
from runner.proc import name_of
from runner.store import Store, Transaction
from runner.stores.cancels import CancelRows
from runner.stores.jobs import JobRows
from runner.stores.runs import RunRows
from runner.tree import containment
from runner.unready import mark_unready

log = logging.getLogger(__name__)
_SWEEP_SECONDS = 5.0


class LocalDispatcher:
    """A ``Dispatcher`` for one server; nobody else works on its database (the server holds a file lock).

    ``stores``: one that waits, for those who ask, and a hasty one, for the loop. ``before_end``: as the supervisor's.
    """

    def __init__(
        self,
        stores: tuple[Store, Store],
        launcher: Launcher,
        node: str,
        wake: Callable[[], None],
        sweep: Callable[[Sequence[Job], float], Mapping[str, Iterable[ProcessIdentity]]],
        before_end: Callable[[Transaction], object],
    ) -> None:
        self._store, self._hasty = stores
        self._launcher, self._node = launcher, node
        self._wake_loop = wake
        self._sweep, self._before_end = sweep, before_end
        self._left: dict[str, Job] = {}
        self._laid_aside: dict[str, Job] = {}
        self._look = threading.Event()
        self._look.set()
        self._somebody_waits = threading.Event()  # or may: cleared before it is asked, so that no wake is lost
        self._somebody_waits.set()

    def wake(self) -> None:
        self._somebody_waits.set()
        self._look.set()
        self._wake_loop()

    def look(self) -> None:
        self._look.set()

    def admit(self, write: Callable[[Transaction], str]) -> str:
        slot = self._launcher.reserve()
        try:
            with self._store.write() as tx:
                job_id = write(tx)
                process = slot.process.identity if slot and slot.process else None
                job = RunRows(tx).claim_first(job_id, self._node, process) if slot is not None else None
                if slot is not None and job is not None:
                    self._launcher.expect(slot, job_id)
                crashpoint("before_start_commit")
            crashpoint("after_start_commit")
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
            if not self._somebody_waits.is_set():
                return
            try:
                found = self._claim_next()
            except BaseException:
                self._somebody_waits.set()
                self._look.set()
                raise
            if not found:
                return
            self._look.set()

    def _claim_next(self) -> bool:
        """Claims and launches the first waiting job; takes neither slot nor process while nobody waits."""
        self._somebody_waits.clear()
        with self._hasty.read() as tx:
            if RunRows(tx).first_waiting() is None:
                if JobRows(tx).count_waiting():  # for a lock
                    self._somebody_waits.set()
                return False
        self._somebody_waits.set()
        slot = self._launcher.reserve()
        if slot is None:
            return True  # somebody else took it; whoever waits is looked for again
        try:
            with self._hasty.write() as tx:
                job = RunRows(tx).claim_next(self._node, slot.process.identity if slot.process else None)
                if job is not None:
                    self._launcher.expect(slot, job.id)
                crashpoint("before_claim_commit")
        except BaseException:
            self._launcher.give_back(slot)
            raise
        if job is None:
            self._launcher.give_back(slot)
            return False
        crashpoint("after_claim_commit")
        self._launcher.launch(job, slot=slot)
        return True

    def recover(self) -> None:
        mark_unready(self._store)
        with self._store.read() as tx:
            left = JobRows(tx).held()
        crashpoint("before_sweep")
        undying = self._sweep(left, _SWEEP_SECONDS)
        crashpoint("after_sweep")
        for job in left:
            self._launcher.take_over()
            if job.id in undying:
                self._leave(self._store, job, undying[job.id])
            else:
                self._take_up(self._store, job)
                crashpoint("after_take_up")

    def look_again(self) -> None:
        """Takes up the jobs that were left because somebody of theirs would not die, if he has since; and those that
        are cancelled while they wait, with something open, for a server that can run them.
        """
        for job in list(self._laid_aside.values()):
            self._release_if_ended(job)
        if not self._left:
            return
        undying = self._sweep(list(self._left.values()), 0.0)
        for job in list(self._left.values()):
            if job.id in undying:
                self._leave(self._hasty, job, undying[job.id])
            else:
                self._take_up(self._hasty, job)
                del self._left[job.id]
                self.wake()

    def _leave(self, store: Store, job: Job, survivors: Iterable[ProcessIdentity]) -> None:
        """Somebody of it would not die: it keeps lock and slot until he is seen gone, and a cancel says so."""
        named = [{"pid": survivor.pid, "name": name_of(survivor.pid)} for survivor in survivors]
        if job.id not in self._left:
            log.error("Job %s is not taken up yet: processes of an earlier server would not die: %s", job.id, named)
        self._left[job.id] = job
        with store.write() as tx:
            if CancelRows(tx).advance(job.id, Phase.UNCONFIRMED):  # of one cancelled by now, and not told before
                CancelRows(tx).record_stop(job.id, survivors=named)

    def _take_up(self, store: Store, job: Job) -> None:
        """What a dead server was doing goes on, or is brought to its end. It has a slot."""
        end = self._end_of(job)
        with store.write() as tx:
            self._before_end(tx)
            conclusion = conclude(tx, end)
        if conclusion.next is Next.KEPT:
            self._laid_aside[job.id] = job
        if conclusion.next.mode is not None:
            self._launcher.launch(conclusion.job, conclusion.next.mode)
        else:
            self._launcher.free_slot()

    def _release_if_ended(self, job: Job) -> None:
        """It has no slot: nothing of it ran here."""
        with self._hasty.read() as tx:
            if JobRows(tx).get(job.id, archived=True).is_live:
                return
        with self._hasty.write() as tx:
            conclude(tx, self._end_of(job))
        del self._laid_aside[job.id]
        self.wake()

    def _end_of(self, job: Job) -> RunEnd:
        """Of a run that a dead server had."""
        return RunEnd(
            job.id,
            job.epoch,
            self._node,
            job.status != "pending",
            None,
            "the server died while it ran",
            job.containment or containment(),
            server_died=True,
        )
