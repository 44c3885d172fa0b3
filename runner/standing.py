"""A job as it stands: its row, and what this server knows beside it."""

from __future__ import annotations

from dataclasses import replace

from runner.job import Job, JobStatus, Progress
from runner.settings import Settings
from runner.supervisor import Supervisor
from runner.waits import WaitKind, wait_of

_GOING_DOWN = "the server is going down; it runs when the server is started again"


class Standing:
    """Adds what a run has said since its last commit, and that a job waits for nothing but a place."""

    def __init__(self, supervisor: Supervisor, settings: Settings) -> None:
        self._supervisor, self._settings = supervisor, settings

    def of(self, job: Job) -> Job:
        if job.status is JobStatus.RUNNING:
            return self._with_live_progress(job)
        return self._with_wait_for_slot(job) if job.is_waiting else job

    def _with_live_progress(self, job: Job) -> Job:
        live = self._supervisor.live.of(job.id)
        if live is None:
            return job
        said = Progress.from_json(live)
        return replace(job, progress=said) if said.processed >= job.progress.processed else job

    def _with_wait_for_slot(self, job: Job) -> Job:
        if job.waiting_for or job.waiting or self._supervisor.launcher.has_room():
            return job
        most = self._settings.max_running
        taken = "the one place is taken" if most == 1 else f"all {most} places are taken"
        reason = _GOING_DOWN if self._supervisor.draining else f"{taken} (RUNNER_MAX_RUNNING)"
        return replace(job, waiting=wait_of(WaitKind.SLOT, reason))
