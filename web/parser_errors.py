"""What the server's own parser refuses, before there is an application to say so: in the shape of all other errors."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from waitress.task import ErrorTask
from waitress.utilities import BadRequest, Error

from web.errors import RETRY_AFTER_SECONDS, problem
from web.middleware import ANSWER_HEADERS, request_id

_LIMIT = re.compile(r"exceeds max_\w+ of ([0-9]+)")
_SENTENCES = {
    413: "The body is larger than {} bytes",
    422: "The body is larger than {} bytes",
    431: "The headers are larger than {} bytes",
    500: "Something went wrong in the server; its log says more",
    501: "That Transfer-Encoding is not known here: send the body as it is, with Content-Length, or chunked",
}
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class TooManyHere(BadRequest):
    """As many connections as one address may have."""

    code = 429
    reason = "Too Many Requests"


class ProblemAnswer(ErrorTask):
    """An error of waitress, as problem+json; the connection is closed after it."""

    def execute(self) -> None:
        request: Any = self.request
        error = request.error
        status = HTTPStatus(error.code)
        path = str(getattr(request, "path", ""))
        body = problem(status, _sentence(error), path)
        self.status = f"{status.value} {body['title']}"
        self.response_headers = [*self.response_headers, *_headers(status, request.headers.get("X_REQUEST_ID", ""))]
        self.set_close_on_finish()
        data = json.dumps(body).encode()
        self.content_length = len(data)
        self.write(b"" if getattr(request, "command", "") == "HEAD" else data)


def whole_answer(status: HTTPStatus, said: str) -> bytes:
    """For a connection that never comes to have a request."""
    body = problem(status, said, "")
    data = json.dumps(body).encode()
    headers = [*_headers(status, ""), ("Content-Length", str(len(data))), ("Connection", "close")]
    lines = [f"HTTP/1.1 {status.value} {body['title']}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + data


def _sentence(error: Error) -> str:
    limit = _LIMIT.search(str(error.body))
    if error.code in _SENTENCES:
        return _SENTENCES[error.code].format(limit[1] if limit else "allowed")
    if error.code == HTTPStatus.BAD_REQUEST:
        return f"This is not HTTP as it should be: {error.body}"
    return str(error.body)


def _headers(status: HTTPStatus, given_id: str) -> list[tuple[str, str]]:
    headers: list[Any] = [("Content-Type", "application/problem+json"), ("X-Request-Id", request_id(given_id))]
    headers += [*ANSWER_HEADERS.items()]
    return headers + ([("Retry-After", str(RETRY_AFTER_SECONDS))] if status in _LATER else [])
