"""From the flat body of a start to what the manager is asked for."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import falcon

from runner.errors import FieldFault, InvalidFields
from runner.job import JsonDict
from runner.manager import JobManager, StartRequest
from runner.settings import Settings
from runner.workflow import JobConfig, Workflow, find_workflow, workflow_names
from web.faults import in_order, unknown_field, validated, wire_names
from web.visible import visible

ANONYMOUS = "anonymous"
IF_BUSY = ("wait", "reject")

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True)
class Start:
    """A start request that was found to be in order."""

    workflow: Workflow
    config: JobConfig
    options: JobConfig | None
    reject_if_busy: bool


def start_job(manager: JobManager, req: falcon.Request, resp: falcon.Response, body: JsonDict) -> str:
    """Starts what the flat ``body`` asks for, and says where to look for it; returns the job's id.

    The key comes first: what was answered to it must not depend on what has changed since.
    """
    key = read_key(req)
    hashed = body_hash(body)
    job_id = manager.find_started(ANONYMOUS, key, hashed) if key else None
    if job_id is None:
        start = read_start(body, manager.settings)
        keyed = (key, hashed) if key else None
        request = StartRequest(start.workflow, start.config, start.options, ANONYMOUS, start.reject_if_busy, keyed)
        job_id = manager.start(request)
    resp.status = falcon.HTTP_202
    resp.location = f"/admin/jobs/{job_id}/status"
    resp.set_header("Retry-After", "1")
    return job_id


def read_key(req: falcon.Request) -> str | None:
    """The ``Idempotency-Key``, if there is one. Raises InvalidFields for one that is empty, too long, unprintable."""
    key = req.get_header("Idempotency-Key")
    if key is not None and not (_KEY.fullmatch(key) and key.strip()):
        raise InvalidFields.one("Idempotency-Key", "Idempotency-Key must be 1 to 255 printable ASCII characters")
    return key


def body_hash(body: JsonDict) -> str:
    """The same for the same values, however they are spaced and ordered."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_start(body: JsonDict, settings: Settings) -> Start:
    """Checks in the contract's order; raises InvalidFields with all faults, the first in that order first."""
    workflow = _workflow(body.get("type"), "type" in body)
    options_known = wire_names(workflow.options) if workflow.options else []
    known = [*wire_names(workflow.config), *options_known, "ifBusy"]
    for_config = {name: body[name] for name in wire_names(workflow.config) if name in body}
    for_options = {name: body[name] for name in options_known if name in body}
    faults: list[FieldFault] = []
    config = _collect(faults, workflow.config, for_config)
    _check_limits(faults, workflow, config, for_config, settings)
    options = _collect(faults, workflow.options, for_options) if workflow.options else None
    if body.get("ifBusy", "wait") not in IF_BUSY:
        faults.append(FieldFault("ifBusy", 'ifBusy must be "wait" or "reject"'))
    faults += [unknown_field(name, known) for name in body if name not in {"type", *known}]
    if faults or config is None:
        raise InvalidFields(in_order(faults, known))
    return Start(workflow, config, options, body.get("ifBusy") == "reject")


def _workflow(name: object, given: bool) -> Workflow:
    allowed = ", ".join(workflow_names())
    if not given or name in (None, ""):
        raise InvalidFields.one("type", f"type is required: one of {allowed}")
    found = find_workflow(name) if isinstance(name, str) else None
    if found is None:
        shown = f' "{visible(name, 80)}"' if isinstance(name, str) else ""
        raise InvalidFields.one("type", f"Unknown job type{shown}; type must be one of: {allowed}")
    return found


def _collect(faults: list[FieldFault], model: type[JobConfig], values: JsonDict) -> JobConfig | None:
    try:
        return validated(model, values)
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
