"""The calls that change what becomes of a job: cancel, pause, resume, retry."""

from __future__ import annotations

import falcon
from pydantic import Field

from runner.cancelling import CancelPreview
from runner.clock import iso
from runner.errors import StoreUnavailable
from runner.job import Job, JsonDict
from runner.manager import JobManager
from web.bodies import read_optional_object
from web.faults import RequestBody, validated
from web.gate import caller_of
from web.jobs import checked_id
from web.queries import CANCEL_FLAGS, read_flag, read_query
from web.starts import accepted


class CancelBody(RequestBody):
    """What may come with a cancel."""

    reason: str | None = Field(None, max_length=500)


class NoBody(RequestBody):
    """Nothing may come with these calls."""


class JobCancel:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """``?force=true``: straight to the kill. ``?dryRun=true``: what it would do, changing nothing."""
        query = read_query(req, CANCEL_FLAGS)
        force, dry_run = (read_flag(query, name) for name in CANCEL_FLAGS)
        wanted = validated(CancelBody, read_optional_object(req))
        if dry_run:
            resp.media = _preview(self._manager.preview_cancel(checked_id(job_id), force=force))
        else:
            job = self._manager.cancel(checked_id(job_id), caller_of(req), wanted.reason, force=force)
            resp.media = _done(job, "cancelled")


class JobPause:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """``status`` stays running until the process has ended at its next checkpoint; then it is paused."""
        _read_nothing(req)
        resp.media = _done(self._manager.pause(checked_id(job_id), caller_of(req)), "paused")


class JobResume:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        _read_nothing(req)
        resp.media = _done(self._manager.resume(checked_id(job_id), caller_of(req)), "resumed")


class JobRetry:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """202: a new job goes on where this one stopped."""
        _read_nothing(req)
        retried = checked_id(job_id)
        new_id = self._manager.retry(retried, caller_of(req))
        accepted(resp, new_id)
        goes_on_with = self._goes_on_with(new_id) or retried
        resp.media = {
            "jobId": new_id,
            "message": "Job retried successfully",
            "status": "pending",
            "retryOf": goes_on_with,
        }

    def _goes_on_with(self, job_id: str) -> str | None:
        """Another job than was asked for, where that had never run; None where the store does not say just now: the
        retry is written, so this must be no error.
        """
        try:
            return self._manager.get(job_id).retry_of
        except StoreUnavailable:
            return None


def _read_nothing(req: falcon.Request) -> None:
    validated(NoBody, read_optional_object(req))


def _done(job: Job, verb: str) -> JsonDict:
    return {"jobId": job.id, "message": f"Job {verb} successfully", "status": job.status.value}


def _preview(preview: CancelPreview) -> JsonDict:
    return {
        "jobId": preview.job_id,
        "wouldSignal": preview.would_signal,
        "batchInHand": {"items": preview.in_hand},
        "kept": {"processed": preview.kept},
        "deadlineAt": iso(preview.deadline_at),
    }
