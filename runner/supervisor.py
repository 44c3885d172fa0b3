"""The loop that watches every process of a job: one thread, whatever the number of jobs.

``_tick`` is its table of contents. It waits for no process, and asks a store that does not answer again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from runner.clock import Clock
from runner.crashpoint import crashpoint
from runner.ending import Conclusion, Next, RunEnd, conclude
from runner.errors import StoreUnavailable
from runner.job import Job, JsonDict
from runner.launcher import Launcher
from runner.limits import Limits
from runner.machine import Machine
from runner.records import record, tell
from runner.running import Running
from runner.settings import Settings
from runner.store import Store, Transaction
from runner.tree import containment
from runner.waiting import Waiting

log = logging.getLogger(__name__)
_STORE_PAUSE = 0.2
_FIRST_AGAIN, _LONGEST_AGAIN = 1.0, 60.0
_IDLE_SECONDS = 1.0
_LAST_SECONDS = 5.0


@dataclass
class Chore:
    """Something the loop does every so often. Times are boot seconds."""

    every: float
    act: Callable[[], None]
    due_at: float = 0.0


class Supervisor:
    """Starts, watches, stops and collects the processes of this node's jobs.

    Called from the loop: ``on_free`` when a slot may be free, ``before_end`` before it is decided what a run's end
    means, ``on_end`` with what follows when a run has ended.
    """

    def __init__(self, store: Store, settings: Settings, machine: Machine, node: str, clock: Clock) -> None:
        self._store, self._settings, self._node, self._clock = store, settings, node, clock
        self._machine = machine
        self.live = machine.live
        self._pool = machine.pool(self.wake)
        self.launcher = Launcher(store, settings, clock, self._pool, self.wake)
        self.before_end: Callable[[Transaction], object] = lambda _: None
        self.on_free: Callable[[], None] = lambda: None
        self.on_end: Callable[[Conclusion], None] = lambda _: None
        self._chores: list[Chore] = []
        self._tries: dict[str, int] = {}
        self.waiting = Waiting(machine.selector())
        self._over = self._warned = False
        self._limits = Limits(settings, clock)
        self.forced = 0  # runs that did not end by themselves while it drained
        self.beat_at = clock.boot_seconds()

    def start(self) -> None:
        self._machine.begin(self._loop, is_busy=lambda: bool(self.launcher.running))
        self._pool.start()

    def every(self, seconds: float, act: Callable[[], None]) -> None:
        """Adds a chore; before ``start``."""
        self._chores.append(Chore(seconds, act))

    def wake(self) -> None:
        """There is something to do. From any thread; never blocks."""
        self.waiting.wake()

    def stop(self, job_id: str, epoch: int | None, grace: float, *, force: bool = False) -> None:
        """Raises the flag of a job's run, if it has one here, and begins its ladder. From any thread.

        ``epoch``: which run is meant, None for whichever it is: a later one was not asked to stop. force: straight to
        the kill. What finds out about a call left open is not stopped, only made to begin.
        """
        with self.launcher.lock:
            run = self.launcher.running.get(job_id)
            if run is None or run.mode == "settle":
                self.launcher.hurry(job_id)
            elif epoch in (None, run.epoch):
                run.stop(grace, self._settings.terminate_seconds, force=force)
        self.wake()

    def drain(self) -> None:
        """No run begins from here on. Settling is cut short: the next start takes it up again."""
        with self.launcher.lock:  # whoever is bound from here on is not handed its job
            self.launcher.closed = True
        for run in self._all():
            if run.mode == "settle":
                run.stop(0.0, self._settings.terminate_seconds)
        self.wake()

    @property
    def draining(self) -> bool:
        return self.launcher.closed

    def job_of(self, job_id: str) -> Job | None:
        """A job that has a run here, as it was launched; the store need not answer."""
        with self.launcher.lock:
            run = self.launcher.running.get(job_id)
        return run.job if run is not None and run.mode != "settle" else None

    def members_of(self, job_id: str) -> list[JsonDict]:
        """Every process of a job's run, pid and name: whom a stop would reach."""
        with self.launcher.lock:
            run = self.launcher.running.get(job_id)
        return run.survivors() if run is not None and run.mode != "settle" else []

    def running_ids(self) -> list[str]:
        return [run.job_id for run in self._all() if run.mode != "settle"]

    def unconcluded(self) -> list[str]:
        """Of whom the store has not taken down the end."""
        return [run.job_id for run in self._all()]

    def unproved(self) -> list[str]:
        """Of whom somebody may live."""
        return [run.job_id for run in self._all() if not run.proved]

    def is_idle(self) -> bool:
        return not self.launcher.running

    def close(self) -> None:
        """Ends the loop, the standbys, the Manager, and whatever job still runs, as if the server had been killed.

        The store is told nothing: the next start takes it up. Without this the interpreter's exit would wait for them.
        """
        self._over = True
        self.wake()
        has_ended = self._machine.wait_for_loop(_LAST_SECONDS)
        for run in self._all():
            with contextlib.suppress(OSError):
                run.process.tree(run.job_id).kill()
            if has_ended:
                run.process.dismiss()
        self._pool.close()
        self.live.close()
        self._machine.close()
        if has_ended:
            self.waiting.close()

    def _loop(self) -> None:
        while not self._over:
            try:
                self._tick()
            except StoreUnavailable as error:
                log.warning("%s", error)
                threading.Event().wait(_STORE_PAUSE)
            except Exception:
                log.exception("The supervisor stumbled; it goes on")
                threading.Event().wait(_STORE_PAUSE)

    def _tick(self) -> None:
        due = self._wait()
        self.beat_at = self._clock.boot_seconds()
        self._watch_new()
        self._limits.enforce(due)
        self._limits.look_at_memory(self._all())
        for run in due:
            self._apart(f"{run.job_id} cannot be signalled", run.attend)
        # Whatever is due is sent by now. What follows asks the store, which may not answer.
        self._apart("What waits for a process cannot be launched", self.launcher.launch_waiting)
        self._pool.want(self.launcher.missing_processes())
        self._watch_new()
        record(self._store, [run for run in due if not run.exited])
        self._conclude_withdrawn()
        for run in due:
            if not self._apart(f"The end of {run.job_id} cannot be concluded", partial(self._collect, run)):
                run.be_brief(_FIRST_AGAIN)
        record(self._store, due)  # of those that have exited and are not over yet
        self._do_chores()
        if not self.draining:
            self.on_free()

    def _wait(self) -> list[Running]:
        """Sleeps until something happens or is due; returns the runs it happened to."""
        now = self._clock.boot_seconds()
        runs = self._all()
        times = [at for run in runs for at in run.next_at()] + self.launcher.next_at()
        times += [chore.due_at for chore in self._chores] + self._limits.next_at(runs)
        due: dict[str, Running] = {}
        for run, descriptors in self.waiting.wait(min([now + _IDLE_SECONDS, *times]) - now):
            due[run.job_id] = run
            self._apart(f"{run.job_id} cannot be heard", partial(self._heard, run, descriptors))
        now = self._clock.boot_seconds()
        late = {run.job_id: run for run in self._all() if any(at <= now for at in run.next_at())}
        return list((due | late).values())

    def _heard(self, run: Running, descriptors: list[int]) -> None:
        """Takes in what a run says."""
        for descriptor in descriptors:
            if descriptor == run.process.sentinel:
                run.exited = True
                self.waiting.ignore(descriptor)
        run.listen()
        if run.process.preloaded is False and not self._warned:
            self._warned = True
            log.error("The fork server could not load runner.preload: every start is tens of times slower")
        if run.process.hung_up:
            self.waiting.ignore(run.process.control.fileno())

    def _all(self) -> list[Running]:
        with self.launcher.lock:
            return list(self.launcher.running.values())

    def _watch_new(self) -> None:
        while self.launcher.fresh:
            self.waiting.watch(self.launcher.fresh.popleft())

    def _apart(self, what: str, act: Callable[[], object]) -> bool:
        """One run must not hold up the others: what cannot be done for it now comes again by itself."""
        try:
            act()
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("%s; trying again", what)
            return False
        return True

    def _collect(self, run: Running) -> None:
        """Concludes a run whose tree is empty; what it said last is written in the same transaction."""
        if not run.proved or run.look_at > self._clock.boot_seconds():
            return
        run.listen(to_the_last=True)
        news, end = run.worth_telling(list(run.unrecorded)), self._end_of(run)
        with self._store.write() as tx:
            self.before_end(tx)
            tell(tx, run, news)
            conclusion = conclude(tx, end)
            crashpoint("before_conclude_commit")
        crashpoint("after_conclude_commit")
        run.unrecorded.clear()
        self.forced += self.draining and run.was_forced
        try:
            self._let_go(run)
        finally:  # what is concluded is followed up, whatever cannot be given back
            self._follow_up(run.job_id, conclusion, self._pause(run) if conclusion.next.mode is not None else 0.0)

    def _end_of(self, run: Running) -> RunEnd:
        return run.as_end(self._node, self.live.of(run.job_id), draining=self.draining)

    def _conclude_withdrawn(self) -> None:
        """A job that was to be stopped while it still waited for a process is over without one."""
        while self.launcher.withdrawn:
            job = self.launcher.withdrawn[0].job
            end = RunEnd(job.id, job.epoch, self._node, False, None, "it never had a process", containment())
            with self._store.write() as tx:
                self.before_end(tx)
                conclusion = conclude(tx, end)
            self.launcher.withdrawn.popleft()
            self._follow_up(job.id, conclusion, 0.0)

    def _let_go(self, run: Running) -> None:
        self.waiting.let_go(run)
        with self.launcher.lock:
            if self.launcher.running.get(run.job_id) is run:
                del self.launcher.running[run.job_id]
        run.process.close()
        self.live.forget(run.job_id)

    def _follow_up(self, job_id: str, conclusion: Conclusion, pause: float) -> None:
        """The next run under the same claim, or the slot for another job."""
        if conclusion.next is Next.SETTLE:
            crashpoint("before_settle_launch")
        if conclusion.next.mode is not None:
            self.launcher.launch(conclusion.job, conclusion.next.mode, after_seconds=pause)
        else:
            self._tries.pop(job_id, None)
            self.launcher.free_slot()
        self.on_end(conclusion)

    def _pause(self, run: Running) -> float:
        """None before the first try; doubling for a process that dies before its job or a settling that fails."""
        fruitless = not run.acknowledged or (run.mode == "settle" and run.ended != "settled")
        if not fruitless:
            return 0.0
        tries = self._tries[run.job_id] = self._tries.get(run.job_id, -1) + 1
        return min(_LONGEST_AGAIN, _FIRST_AGAIN * 2 ** (tries - 1)) if tries else 0.0

    def _do_chores(self) -> None:
        now = self._clock.boot_seconds()
        for chore in self._chores:
            if chore.due_at <= now:
                chore.due_at = now + chore.every
                chore.act()
