"""Pausing and resuming: a job that stops now, without a process, and goes on later from where it was."""

from __future__ import annotations

from runner.cancelling import Stop
from runner.crashpoint import crashpoint
from runner.errors import NotForThatState
from runner.job import Job, JobStatus
from runner.settings import Settings
from runner.store import Store
from runner.stores.jobs import JobRows
from runner.stores.pauses import PauseRows
from runner.workflow import find_workflow, grace_of


class Pauser:
    """``stop`` raises the flag of a job's run, if it has one here."""

    def __init__(self, store: Store, settings: Settings, stop: Stop) -> None:
        self._store, self._settings, self._stop = store, settings, stop

    def pause(self, job_id: str, by: str) -> Job:
        """The job ends at its next checkpoint and keeps its place, without a process. A paused one stays as it is.

        Raises JobNotFound, and NotForThatState for a job that has ended or whose type cannot go on.
        """
        with self._store.write() as tx:
            job = JobRows(tx).get(job_id, archived=True)
            if job.status is JobStatus.PAUSED or job.is_pausing:
                return job
            _check_resumable(job)
            if not PauseRows(tx).request(job_id, by):
                raise NotForThatState("paused", _state_of(job))
            job = JobRows(tx).get(job_id, archived=True)
            crashpoint("before_pause_commit")
        crashpoint("after_pause_commit")
        if job.is_claimed:
            self._stop(job_id, job.epoch, grace_of(job, self._settings))
        return job

    def resume(self, job_id: str, by: str) -> Job:
        """Raises JobNotFound, and NotForThatState for a job that is neither paused nor pausing."""
        with self._store.write() as tx:
            job = JobRows(tx).get(job_id, archived=True)
            if not PauseRows(tx).resume(job_id, by):
                raise NotForThatState("resumed", _state_of(job))
            job = JobRows(tx).get(job_id, archived=True)
            crashpoint("before_resume_commit")
        crashpoint("after_resume_commit")
        return job


def _check_resumable(job: Job) -> None:
    workflow = find_workflow(job.type)
    if job.is_live and (workflow is None or not workflow.resumable):
        raise NotForThatState("paused", f"of type {job.type}, which cannot go on from where it was")


def _state_of(job: Job) -> str:
    return "being stopped" if job.is_live and job.stop_reason is not None else job.status
