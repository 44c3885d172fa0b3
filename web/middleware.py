"""What is true of every request and every answer."""

from __future__ import annotations

import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import falcon

from runner.networks import origin_of
from runner.settings import Settings
from web.proxies import Proxies, headers_of
from web.visible import visible
from web.webhooks import is_webhook

log = logging.getLogger(__name__)

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ANSWER_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class RequestId:
    """Every request has an id, in its answer and in the log: the client's own if it is harmless."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.request_id = request_id(req.get_header("X-Request-Id") or "")
        req.context.began = time.monotonic()
        resp.set_header("X-Request-Id", req.context.request_id)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        if log.isEnabledFor(logging.DEBUG):
            took = (time.monotonic() - req.context.began) * 1000
            path = visible(req.path, 200)
            log.debug("%s %s %s %.1f ms, request %s", req.method, path, resp.status_code, took, req.context.request_id)


def request_id(given: str) -> str:
    """The client's own if it is harmless, else one of ours."""
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


class AnswerHeaders:
    """Nothing is kept in a cache, guessed at, framed, or shared with another origin."""

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        resp.set_headers(ANSWER_HEADERS)


class HostCheck:
    """Only names that are ours: a page that has its own name point at this machine gets nothing (421).

    A webhook has a secret that no page knows, and comes by whatever name its gateway has for this machine.
    """

    def __init__(self, settings: Settings) -> None:
        own = [settings.host, *settings.allowed_hosts.split(",")]
        own += [origin_of(settings.public_url)[1]] if settings.public_url else []
        self._names = LOOPBACK_NAMES | {name.strip().strip("[]").lower() for name in own if name.strip()}

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        name, _ = split_host(req.get_header("Host") or "")
        if name not in self._names and not is_webhook(req.method, req.path):
            raise falcon.HTTPError(
                HTTPStatus.MISDIRECTED_REQUEST,
                description="This server does not answer to that Host; RUNNER_ALLOWED_HOSTS may name more",
            )


class SameOrigin:
    """No other site may change anything with somebody's browser (403). Programs send neither header, and pass.

    Ours are the pages under the name that was asked for, by the scheme that a trusted proxy tells; and those under
    ``RUNNER_PUBLIC_URL``, since a proxy may ask by a name of its own.
    """

    def __init__(self, settings: Settings, proxies: Proxies) -> None:
        self._public = origin_of(settings.public_url) if settings.public_url else None
        self._proxies = proxies

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.method not in SAFE_METHODS and not self._is_ours(req):
            raise falcon.HTTPForbidden(description="Requests that change something are not taken from other sites")

    def _is_ours(self, req: falcon.Request) -> bool:
        site = req.get_header("Sec-Fetch-Site")
        if site is not None and site not in ("same-origin", "none"):
            return False
        sent = req.get_header("Origin")
        if sent is None:
            return True
        scheme, name, port = _origin(sent)
        if not name:
            return False
        if self._public is not None and _whole(scheme, name, port) == _whole(*self._public):
            return True
        said = self._proxies.scheme(req.remote_addr, headers_of(req))
        host, host_port = split_host(req.get_header("Host") or "")
        return said in (None, scheme) and _whole(scheme, name, port) == _whole(scheme, host, host_port)


def split_host(host: str) -> tuple[str, int | None]:
    """Name and port of a Host header, brackets off, in lower case; ("", None) for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return "", None
    return ("", None) if parts.path or parts.username is not None else (parts.hostname or "", port)


def _origin(text: str) -> tuple[str, str, int | None]:
    """Scheme, name and port of an Origin header; no name for what is none."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "", "", None
    is_one = parts.scheme in _DEFAULT_PORTS and not (parts.path or parts.query or parts.fragment)
    return (parts.scheme, *split_host(parts.netloc)) if is_one else ("", "", None)


def _whole(scheme: str, name: str, port: int | None) -> tuple[str, str, int]:
    return scheme, name, port or _DEFAULT_PORTS[scheme]


def all_middleware(settings: Settings, proxies: Proxies) -> list[Any]:
    """In the order they see a request; answers pass them the other way round."""
    return [RequestId(), AnswerHeaders(), HostCheck(settings), SameOrigin(settings, proxies)]
