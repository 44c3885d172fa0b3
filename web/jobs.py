"""The calls of a job: start, status, list, delete."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import replace

import falcon

from runner.errors import InvalidFields, JobNotFound
from runner.groups.group import lock_key
from runner.job import Job, JsonDict, Progress
from runner.manager import JobManager
from runner.results import Brief
from runner.stores.jobs import JobFilter
from runner.workflow import find_workflow, workflow_names
from web.bodies import read_object
from web.gate import caller_of
from web.groups import find_group
from web.queries import (
    LIST_FILTERS,
    link_next,
    read_archived,
    read_job_cursor,
    read_limit,
    read_query,
    read_status,
    write_cursor,
)
from web.schemas import job_in_list, job_on_wire
from web.starts import foretold, start_job

log = logging.getLogger(__name__)
_UNREADABLE = "what the database holds of this job cannot be shown"
_NOTHING_SAID: JsonDict = {
    **{"config": {}, "options": {}, "progress": Progress(), "result": {}, "waiting": None, "post_mortem": None},
    **{"survivors": (), "cancellation": None, "pause": None, "failure": None, "error": None},
}
_JOB_ID = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)


class JobStart:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """202 once the job is on disk."""
        job_id = start_job(self._manager, req, resp, read_object(req))
        said = {"jobId": job_id, "message": "Job started successfully", "status": "pending"}
        resp.media = said | foretold(self._manager, job_id)


class JobState:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """200, or 304 when the client has exactly this: the tag is made of everything that is shown."""
        job = self._manager.get(checked_id(job_id))
        body = json.dumps(on_wire(self._manager, job), ensure_ascii=False).encode()
        tag = hashlib.sha256(body).hexdigest()[:32]
        resp.etag = f'W/"{tag}"'
        if any(known in ("*", tag) for known in req.if_none_match or ()):  # compared weakly, as RFC 9110 has it
            resp.status = falcon.HTTP_304
        else:
            resp.content_type = falcon.MEDIA_JSON
            resp.data = body


class JobList:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Newest first; more than ``limit`` are found behind the ``Link`` of this answer."""
        query = read_query(req, LIST_FILTERS)
        limit = read_limit(query.get("limit"))
        wanted = JobFilter(
            status=read_status(query.get("status")),
            type=_known_type(query.get("type")),
            lock_key=self._lock_of(query.get("groupWaId")),
            after=read_job_cursor(query.get("cursor")),
            archived=read_archived(query.get("archived")),
        )
        found = self._manager.list(wanted, limit + 1)
        if len(found) > limit:
            last = found[limit - 1]
            link_next(resp, "/admin/jobs", query, write_cursor(last.created_at, last.id))
        resp.content_type = falcon.MEDIA_JSON
        shown = found[:limit]
        briefs = self._manager.results.briefs(shown)
        resp.data = b"[" + b", ".join(map(self._entry, shown, briefs)) + b"]"

    def _entry(self, job: Job, brief: Brief) -> bytes:
        """Each by itself: what stands in one row must not cost the list of all."""
        try:
            shown = job_in_list(job, brief, self._manager.clock.now_ms())
            return json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
        except Exception:
            log.exception("Job %s cannot be shown in the list", job.id)
            known = job_on_wire(replace(job, **_NOTHING_SAID), None, 0, whole=False)
            return json.dumps(known | {"error": {"type": "Unreadable", "message": _UNREADABLE}}).encode()

    def _lock_of(self, group_wa_id: str | None) -> str | None:
        """Raises GroupNotFound for a group nobody knows: it has no jobs, and that is not the same as all of them."""
        if group_wa_id is None:
            return None
        with self._manager.store.read() as tx:
            return lock_key(find_group(tx, group_wa_id).wa_id)


class JobEntry:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_delete(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """204: a finished job has gone to the archive, now or before."""
        self._manager.delete(checked_id(job_id), caller_of(req))
        resp.status = falcon.HTTP_204


def checked_id(job_id: str) -> str:
    """Raises JobNotFound for what no job can be called."""
    if not _JOB_ID.fullmatch(job_id):
        raise JobNotFound
    return job_id


def on_wire(manager: JobManager, job: Job) -> JsonDict:
    return job_on_wire(job, manager.result(job), manager.clock.now_ms())


def _known_type(name: str | None) -> str | None:
    if name is not None and find_workflow(name) is None:
        raise InvalidFields.one("type", f"type must be one of: {', '.join(workflow_names())}")
    return name
