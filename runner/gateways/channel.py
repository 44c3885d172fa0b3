"""The channel to a gateway at a distance: one HTTP call at a time, bounded in time and size."""

from __future__ import annotations

import email.utils
import json
import logging
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import httpcore
import httpx

from runner.gateway import BadRequest, NotConnected, Transient
from runner.gateways.access import Access

MOST_BYTES = 1_000_000
LIST_BYTES = 64_000_000
"""A list of 100,000 people has about 15 MB."""

_LONGEST_PAUSE_ASKED = 3600.0
_PIECE = 65_536
_SAMPLE = 200
_A_SECRET = 8
"""A shorter key keeps nobody out, and would be found in the middle of other things."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log each call with its address


class NoAnswer(Transient):
    """The call went out, and nothing came that could be read: what became of it is unknown."""


@dataclass(frozen=True)
class Answer:
    """What came back. ``body``: the JSON; None where it was none. ``retry_after``: seconds the other side asks for.

    ``sample``: the beginning of the body, for people.
    """

    status: int
    body: Any
    sample: str
    retry_after: float | None = None


class Channel:
    """One gateway by its address. Follows no redirect, takes no proxy from the environment, keeps no connection.

    A connection that was kept could be closed just when the next call is written to it, and nobody could say whether
    that call was read.
    """

    def __init__(self, access: Access, key_header: str) -> None:
        self._url = access.url
        self._key = access.key.get_secret_value()
        self._headers = {
            key_header: self._key,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": "cancellable-jobs",
        }

    def __repr__(self) -> str:
        return f"Channel({self._url!r})"

    def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """One call, whole within ``seconds``, from the connection to the last byte.

        ``path``: quoted. Raises NotConnected where nothing was sent; NoAnswer where the answer did not come, came too
        late, or was larger than ``most_bytes``. Any status and any body is an answer.
        """
        deadline = _Deadline(seconds)
        with httpx.Client(transport=_Transport(deadline, self._tls), trust_env=False, timeout=seconds) as client:
            try:
                with client.stream(
                    method, self._url + path, params=params or None, json=body, headers=self._headers
                ) as response:
                    content = _content(response, most_bytes)
            except (httpx.InvalidURL, UnicodeError) as error:  # the latter of a host whose parts are empty or too long
                raise BadRequest(f"{self._url} is no address that can be called: {error}") from None
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise NotConnected(self._plain(f"nobody answers at {self._url}: {_words(error)}")) from None
            except httpx.HTTPError as error:
                raise NoAnswer(self._plain(f"no answer came from {self._url}: {_words(error)}")) from None
        if len(self._key) >= _A_SECRET:  # also where it stands in what will be an error's text
            content = content.replace(self._key.encode(), b"(key)")
        sample = content[: 4 * _SAMPLE].decode("utf-8", "replace")[:_SAMPLE]
        return Answer(response.status_code, _parsed(content), sample, _retry_after(response.headers))

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        return httpx.create_ssl_context() if self._url.startswith("https:") else None

    def _plain(self, text: str) -> str:
        """Without our key, should the other side have repeated it."""
        return text.replace(self._key, "(key)") if len(self._key) >= _A_SECRET else text


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, over: type[Exception], most: float | None) -> float:
        """Seconds, at most ``most``. Raises ``over`` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise over("the time is over")
        return left if most is None else min(left, most)


class _TimedStream(httpcore.NetworkStream):
    """httpx limits each read alone: one byte a second would keep a call alive for ever, also in the headers."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(httpcore.ReadTimeout, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _PIECE):
            left = self._deadline.left(httpcore.WriteTimeout, timeout)
            self._stream.write(buffer[at : at + _PIECE], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout, timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _TimedBackend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline) -> None:
        self._plain, self._deadline = httpcore.SyncBackend(), deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout, timeout)
        return _TimedStream(self._plain.connect_tcp(host, port, left, local_address, socket_options), self._deadline)

    def sleep(self, seconds: float) -> None:
        self._plain.sleep(seconds)


class _Transport(httpx.HTTPTransport):
    """httpx's own, on connections that keep to the deadline."""

    def __init__(self, deadline: _Deadline, tls: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls, max_connections=1, max_keepalive_connections=0, network_backend=_TimedBackend(deadline)
        )


def _content(response: httpx.Response, most_bytes: int) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.DecodingError("the answer is packed, which was not asked for")
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > most_bytes:
            raise httpx.ReadError(f"the answer is larger than {most_bytes:,} bytes")
    return bytes(content)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds or a date; at most an hour; None for what cannot be meant."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), _LONGEST_PAUSE_ASKED)
    try:
        at = email.utils.parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return min(at - now(), _LONGEST_PAUSE_ASKED) if at > now() else None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
