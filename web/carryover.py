"""What an earlier server left and this one goes on with, for whoever starts it and may not know."""

from __future__ import annotations

from runner.job import Job, JobStatus
from runner.manager import JobManager
from runner.stores.jobs import JobFilter

_MOST_SHOWN = 20


def carried_over(manager: JobManager) -> list[str]:
    """A line for each job that runs or waits, and how to end it. To be asked before the first request."""
    found = [
        job
        for status in (JobStatus.RUNNING, JobStatus.PENDING)
        for job in manager.list(JobFilter(status=status), _MOST_SHOWN + 1)
    ]
    lines = [_line(job) for job in found[:_MOST_SHOWN]]
    return [*lines, "and more: runner list"] if len(found) > _MOST_SHOWN else lines


def _line(job: Job) -> str:
    group, dry_run = job.config.get("groupWaId"), job.config.get("dryRun")
    real = "" if not isinstance(dry_run, bool) else " dry run" if dry_run else " real run"
    progress = job.progress
    done = f"{progress.processed} of {progress.total}" if progress.total is not None else str(progress.processed)
    waits = f", waits for {job.waiting_for}" if job.waiting_for else ""
    where = f" on {group}" if isinstance(group, str) else ""
    return f"{job.type}{real}{where}, {done} done{waits}: runner cancel {job.id}"
