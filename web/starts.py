"""From the flat body of a start to what the manager is asked for."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import falcon
from pydantic import Field

from runner.config import secret_names
from runner.errors import FieldFault, InvalidFields, JobNotFound
from runner.job import JsonDict
from runner.manager import JobManager
from runner.settings import Settings
from runner.starting import StartRequest
from runner.workflow import JobConfig, Workflow, find_workflow, workflow_names
from web.faults import Model, in_order, unknown_field, validated, wire_names
from web.gate import caller_of
from web.visible import visible

IF_BUSY = ("wait", "reject")

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


MOST_TIMEOUT_MS = 365 * 86_400_000
LEAST_MEMORY_MB, MOST_MEMORY_MB = 32, 16_000_000


@dataclass(frozen=True)
class Start:
    """A start request that was found to be in order."""

    workflow: Workflow
    config: JobConfig
    options: JobConfig | None
    reject_if_busy: bool
    limits: LimitOptions


class LimitOptions(JobConfig):
    """Start options of every type. ``timeout_ms``: how long it may run, pauses and waiting not counted;
    ``max_memory_mb``: what its processes may use together, in MB of 10**6 bytes.
    """

    timeout_ms: int = Field(0, ge=1, le=MOST_TIMEOUT_MS)
    max_memory_mb: int = Field(0, ge=LEAST_MEMORY_MB, le=MOST_MEMORY_MB)


def start_job(manager: JobManager, req: falcon.Request, resp: falcon.Response, body: JsonDict) -> str:
    """Starts what the flat ``body`` asks for, and says where to look for it; returns the job's id.

    The key comes first: what was answered to it must not depend on what has changed since.
    """
    key = read_key(req)
    hashed = body_hash(_without_secrets(body, key)) if key else ""
    caller = caller_of(req)
    job_id = manager.find_started(caller, key, hashed) if key else None
    if job_id is None:
        start = read_start(body, manager.settings)
        keyed = (key, hashed) if key else None
        job_id = manager.start(
            StartRequest(
                start.workflow,
                start.config,
                start.options,
                caller,
                start.reject_if_busy,
                timeout_ms=start.limits.timeout_ms or None,
                max_memory_mb=start.limits.max_memory_mb or None,
                key=keyed,
            )
        )
    accepted(resp, job_id)
    return job_id


def foretold(manager: JobManager, job_id: str) -> JsonDict:
    """What a start says of how it will go, where a pace is set; the same for each start with one key."""
    if not manager.settings.is_paced:
        return {}
    try:
        result = manager.get(job_id).result
    except JobNotFound:  # reaped: an old key came again
        return {}
    return {name: result[name] for name in ("pacing", "estimate") if name in result}


def accepted(resp: falcon.Response, job_id: str) -> None:
    """202, and where to look for the job."""
    resp.status = falcon.HTTP_202
    resp.location = f"/admin/jobs/{job_id}/status"
    resp.set_header("Retry-After", "1")


def read_key(req: falcon.Request) -> str | None:
    """The ``Idempotency-Key``, if there is one. Raises InvalidFields for one that is empty, too long, unprintable."""
    key = req.get_header("Idempotency-Key")
    if key is not None and not (_KEY.fullmatch(key) and key.strip()):
        raise InvalidFields.one("Idempotency-Key", "Idempotency-Key must be 1 to 255 printable ASCII characters")
    return key


def _without_secrets(body: JsonDict, key: str) -> JsonDict:
    """What is kept of a secret to tell one body from another must not let anybody guess it."""
    name = body.get("type")
    workflow = find_workflow(name) if isinstance(name, str) else None
    if workflow is None:
        return body
    secret = secret_names(workflow.config) | (secret_names(workflow.options) if workflow.options else set())
    return body | {field: _slow_hash(body[field], key) for field in sorted(secret & body.keys())}


def _slow_hash(value: object, key: str) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.scrypt(canonical.encode(), salt=key.encode(), n=2**14, r=8, p=1).hex()


def body_hash(body: JsonDict) -> str:
    """The same for the same values, however they are spaced and ordered."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_start(body: JsonDict, settings: Settings) -> Start:
    """Checks in the contract's order; raises InvalidFields with all faults, the first in that order first."""
    workflow = _workflow(body.get("type"), "type" in body)
    options_known = wire_names(workflow.options) if workflow.options else []
    limits_known = wire_names(LimitOptions)
    known = [*wire_names(workflow.config), *options_known, "ifBusy", *limits_known]
    for_config = {name: body[name] for name in wire_names(workflow.config) if name in body}
    for_options = {name: body[name] for name in options_known if name in body}
    faults: list[FieldFault] = []
    config = _collect(faults, workflow.config, for_config, nulls=True)
    _check_limits(faults, workflow, config, for_config, settings)
    options = _collect(faults, workflow.options, for_options) if workflow.options else None
    limits = _collect(faults, LimitOptions, {name: body[name] for name in limits_known if name in body})
    if body.get("ifBusy", "wait") not in IF_BUSY:
        faults.append(FieldFault("ifBusy", 'ifBusy must be "wait" or "reject"'))
    faults += [unknown_field(name, known) for name in body if name not in {"type", *known}]
    if faults or config is None or limits is None:
        raise InvalidFields(in_order(faults, known))
    return Start(workflow, config, options, body.get("ifBusy") == "reject", limits)


def _workflow(name: object, given: bool) -> Workflow:
    allowed = ", ".join(workflow_names())
    if not given or name in (None, ""):
        raise InvalidFields.one("type", f"type is required: one of {allowed}")
    found = find_workflow(name) if isinstance(name, str) else None
    if found is None:
        shown = f' "{visible(name, 80)}"' if isinstance(name, str) else ""
        raise InvalidFields.one("type", f"Unknown job type{shown}; type must be one of: {allowed}")
    return found


def _collect(faults: list[FieldFault], model: type[Model], values: JsonDict, *, nulls: bool = False) -> Model | None:
    try:
        return validated(model, values, nulls=nulls)
    except InvalidFields as error:
        faults += error.faults
        return None


def _check_limits(
    faults: list[FieldFault], workflow: Workflow, config: JobConfig | None, values: JsonDict, settings: Settings
) -> None:
    """The limits that come from settings, also of a config that has other faults: all of them are told at once."""
    if workflow.check is None:
        return
    wrong = {fault.field for fault in faults}
    try:
        workflow.check(config or _what_stands(workflow.config, values, wrong), settings)
    except InvalidFields as error:
        faults += [fault for fault in error.faults if fault.field not in wrong]
    except (AttributeError, TypeError):
        if config is not None:
            raise  # a faulty config lacks fields the check may want; a whole one does not


def _what_stands(model: type[JobConfig], values: JsonDict, wrong: set[str]) -> JobConfig:
    names = zip(model.model_fields, wire_names(model), strict=True)
    kept = {name: values[wire] for name, wire in names if wire in values and wire not in wrong}
    return model.model_construct(_fields_set=None, **kept)
