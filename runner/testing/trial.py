"""One job on its way, disturbed at one place: what the server does around its runs is done here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from runner.ending import RunEnd, conclude
from runner.job import Job, JobStatus, JsonDict, ProcessIdentity, Progress
from runner.launcher import run_of
from runner.starting import StartRequest, write_retry, write_start
from runner.store import Store, Transaction
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.jobs import JobRows
from runner.stores.pauses import PauseRows
from runner.stores.runs import RunRows
from runner.testing.places import Disturbance, Place, Way
from runner.testing.process import RunProcess
from runner.testing.trace import Traced
from runner.testing.watched import BY, NODE
from runner.testing.world import World
from runner.workflow import JobConfig, Workflow

_MOST_RUNS = 50
_CONTAINMENT = "a test"


@dataclass(frozen=True)
class End:
    """What there is when a job has ended, or has been cancelled.

    ``result``: as the API shows it; of a job that was retried, put together from all its ledgers. ``items``: those
    ledgers' items, in order. ``effects``: all there have been, in order. ``attempts``: how many runs were begun.
    ``folder``, ``store``: of its world, for whatever else is to be looked at.
    """

    status: JobStatus
    result: JsonDict
    position: object
    progress: Progress
    items: list[LedgerItem]
    effects: list[str]
    attempts: int
    error: str | None
    folder: Path
    store: Store


@dataclass
class Trial:
    """``runs``: what each run has left, in order. ``job_ids``: the job, and its retry.

    ``repeatable``: what the runs that were killed had done since their last commit.
    """

    world: World
    workflow: Workflow
    process: RunProcess
    runs: list[Traced] = field(default_factory=list)
    job_ids: list[str] = field(default_factory=list)
    repeatable: list[str] = field(default_factory=list)

    def start(self, config: JobConfig, options: JsonDict) -> None:
        """Writes the job as the manager does."""
        workflow = self.workflow
        given = workflow.options.from_wire(options) if workflow.options else None
        if workflow.check:
            workflow.check(config, self.world.settings)
        request = StartRequest(workflow, config, given, BY)
        with self.world.store.write() as tx:
            self.job_ids.append(write_start(request, self.world.settings, tx))

    def retry(self) -> None:
        """A new job that goes on where this one stopped."""
        with self.world.store.write() as tx:
            self.job_ids.append(write_retry(self.job_ids[-1], BY, self.world.settings, tx))

    def resume(self) -> None:
        with self.world.store.write() as tx:
            PauseRows(tx).resume(self.job_ids[-1], BY)

    def run_on(self, chosen: Disturbance | None = None) -> None:
        """From a job that waits to one that has ended or is paused, through as many runs as that takes."""
        with self.world.store.write() as tx:
            RunRows(tx).claim(self.job_ids[-1], NODE)
            job = JobRows(tx).get(self.job_ids[-1])
            self._acknowledge(tx, job, "run")
        mode: str | None = "run"
        while mode is not None and len(self.runs) < _MOST_RUNS:
            mode, job = self._run(job, mode, chosen)
            chosen = _once_more(chosen, self.runs)

    def _run(self, job: Job, mode: str, chosen: Disturbance | None) -> tuple[str | None, Job]:
        """One run; returns the mode of the next, if there is one, and the job it is claimed for."""
        before = self.world.effects()
        traced = self.process.run(run_of(job, mode), chosen)
        self.runs.append(traced)
        if traced.ended is None:
            since = traced.effects_at_commit if traced.effects_at_commit is not None else before
            self.repeatable += self.world.effects()[len(since) :]
        end = RunEnd(job.id, job.epoch, NODE, True, traced.ended, traced.words, _CONTAINMENT, mode, traced.error)
        with self.world.store.write() as tx:
            conclusion = conclude(tx, end)
            if conclusion.next.mode is not None:
                self._acknowledge(tx, conclusion.job, conclusion.next.mode)
        return conclusion.next.mode, conclusion.job

    def _acknowledge(self, tx: Transaction, job: Job, mode: str) -> None:
        here = ProcessIdentity(os.getpid(), 0, self.world.clock.boot_id)
        if mode == "run":
            RunRows(tx).acknowledge(job.id, job.epoch, here, tx.now, _CONTAINMENT)
        else:
            RunRows(tx).settling(job.id, job.epoch, here)

    @property
    def status(self) -> JobStatus:
        with self.world.store.read() as tx:
            return JobRows(tx).get(self.job_ids[-1]).status

    def look(self) -> End:
        """How it stands now."""
        with self.world.store.read() as tx:
            job = JobRows(tx).get(self.job_ids[-1])
            items = [item for job_id in self.job_ids for item in BatchRows(tx, job_id).items()]
        from_ledger = self.workflow.result(job, items) if self.workflow.result else {}
        return End(
            status=job.status,
            result=job.result | from_ledger,
            position=job.position,
            progress=job.progress,
            items=items,
            effects=self.world.effects(),
            attempts=len(self.runs),
            error=job.error,
            folder=self.world.folder,
            store=self.world.store,
        )


def _once_more(chosen: Disturbance | None, runs: list[Traced]) -> Disturbance | None:
    """The second kill: in the next run, at the first place of the kind."""
    if chosen is None or chosen.way is not Way.KILL_TWICE or len(runs) > 1:
        return None
    return Disturbance(Way.KILL_TWICE, Place(chosen.place.kind, 1))
