"""What went wrong, as an answer: one table from facts to statuses, one shape for all (RFC 9457)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import falcon

from runner.errors import (
    Conflict,
    FieldFault,
    GatewayRefused,
    InvalidFields,
    KeyReused,
    NotFound,
    RunnerError,
    TooManyJobs,
    Unavailable,
)
from web.visible import visible

log = logging.getLogger(__name__)
Params = dict[str, Any]

STATUSES: dict[type[RunnerError], HTTPStatus] = {
    InvalidFields: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    GatewayRefused: HTTPStatus.BAD_GATEWAY,
    TooManyJobs: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The nearest class of an error decides. What is not here is no business of a client: 500."""

RETRY_AFTER_SECONDS = 10
"""Where an answer says "later" and the error itself does not say when."""

_LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_PLAIN = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that method; the header Allow names those it takes",
}


def add_error_answers(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Every error leaves in the one shape: ours, falcon's own, and those nobody thought of."""
    app.add_error_handler(RunnerError, _answer_fact)
    app.add_error_handler(Exception, _answer_unexpected)
    app.add_error_handler(falcon.HTTPError, _answer_http)


def status_of(error: RunnerError) -> HTTPStatus | None:
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)


def problem(
    status: HTTPStatus, detail: str, instance: str, *, kind: str = "about:blank", faults: Sequence[FieldFault] = ()
) -> dict[str, Any]:
    """The body of an error. ``error`` repeats ``detail``: clients of the first bot read it."""
    text = visible(detail, 2000)
    body: dict[str, Any] = {
        "type": kind,
        "title": str(getattr(falcon, f"HTTP_{status.value}"))[4:],  # not status.phrase: it varies with the Python
        "status": status.value,
        "detail": text,
        "instance": visible(instance, 200),
        "error": text,
    }
    if faults:
        body["errors"] = [
            {"field": visible(fault.field, 100), "message": visible(fault.message, 1000)} for fault in faults
        ]
    return body


def _answer_fact(req: falcon.Request, resp: falcon.Response, error: RunnerError, params: Params) -> None:
    status = status_of(error)
    if status is None:
        _answer_unexpected(req, resp, error, params)
        return
    if status in _LATER:
        resp.set_header("Retry-After", str(getattr(error, "retry_after", RETRY_AFTER_SECONDS)))
    faults = error.faults if isinstance(error, InvalidFields) else ()
    _send(resp, problem(status, str(error), req.path, kind=_kind(error), faults=faults))


def _answer_http(req: falcon.Request, resp: falcon.Response, error: Exception, _params: Params) -> None:
    if not isinstance(error, falcon.HTTPError):
        raise error
    status = HTTPStatus(error.status_code)
    if error.headers is not None:
        resp.set_headers(error.headers)
    _send(resp, problem(status, error.description or _PLAIN.get(status, status.phrase), req.path))


def _answer_unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _params: Params) -> None:
    """The trace goes to the log; the client gets the id under which to find it."""
    request_id = getattr(req.context, "request_id", "unknown")
    log.error("Unexpected error in request %s", request_id, exc_info=error)
    detail = f"Something went wrong in the server; its log says more under request {request_id}"
    _send(resp, problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, req.path))


def _kind(error: RunnerError) -> str:
    words = re.findall(r"[A-Z][a-z]*", type(error).__name__)
    return "urn:cancellable-jobs:" + "-".join(words).lower()


def _send(resp: falcon.Response, body: dict[str, Any]) -> None:
    resp.status = body["status"]
    resp.content_type = "application/problem+json"
    resp.text = None
    resp.media = None
    resp.data = json.dumps(body).encode()  # escapes all that is not ASCII
