"""Proxies: how a request shows that one passed it on, and whose word on the caller is believed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

import falcon

from runner.networks import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PASSED_ON = re.compile(
    # Any part of a name that tells of forwarding, of an original request, or of somebody else's address …
    r".*(FORWARD|ORIGINAL|ORIGINATING|CLIENT_?IP|CLUSTER|CONNECTING_?IP|REAL_?IP|USER_?IP|REMOTE_?(IP|ADDR)|SOCKET_?IP"
    r"|COMING_?FROM|EXTERNAL_ADDRESS|FRONT_END|PROXY|PROXIED|TRACE_CONTEXT|AMZN).*"
    # … and what single makes of them add beside it.
    r"|VIA|X_VIA|CDN_LOOP|X_SCHEME|X_URL_SCHEME|X_HTTPS|X_SSL|SSL_.*|CF_.*|FLY_.*|FASTLY_.*|X_ENVOY_.*|X_AZURE_.*"
    r"|X_APPENGINE_.*|X_ARR_.*|X_VARNISH|X_VERCEL_.*|X_NF_.*|AKAMAI_.*|X_AKAMAI_.*|TAILSCALE_.*|NGROK_.*|X_CACHE.*"
)
_OWN_TO_CLIENTS = frozenset({"PROXY_CONNECTION"})
"""Old clients send it to any server."""

_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_PROTO = re.compile(r'(?:^|;)\s*proto\s*=\s*"?([a-z]+)"?\s*(?:;|$)', re.IGNORECASE)


class Proxies:
    """``trusted``: the only ones whose word on the caller is believed. What another one says shows that it is one."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)

    def trusts(self, address: str) -> bool:
        found = _address(address)
        return found is not None and self._is_trusted(found)

    def caller(self, peer: str, headers: Mapping[str, str]) -> str:
        """The address of whoever asks. ``headers``: as CGI has their names, ``X_FORWARDED_FOR``.

        Each proxy adds to the right, so the first from there that is not trusted is the caller: what stands to the
        left of it anybody may have written. Where an entry is no address, the proxy that added it is all we know.
        """
        if not self.trusts(peer):
            return peer
        found = peer
        for said in _chain(headers):
            address = _address(said)
            if address is None:
                break
            found = str(address)
            if not self._is_trusted(address):
                break
        return found

    def scheme(self, peer: str, headers: Mapping[str, str]) -> str | None:
        """``http`` or ``https``, as the nearest proxy says; None where none is believed, or says so."""
        if not self.trusts(peer):
            return None
        said = headers.get("X_FORWARDED_PROTO", "").rpartition(",")[2].strip()
        if not said and (match := _PROTO.search(headers.get("FORWARDED", "").rpartition(",")[2])):
            said = match[1]
        return said.lower() if said.lower() in ("http", "https") else None

    def _is_trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def was_passed_on(headers: Iterable[str]) -> bool:
    """Whether one of these names (as CGI has them) is one that proxies add, and programs here do not."""
    return any(_PASSED_ON.fullmatch(name) for name in headers if name not in _OWN_TO_CLIENTS)


def headers_of(req: falcon.Request) -> dict[str, str]:
    """By their names as CGI has them, without ``HTTP_``."""
    return {name[5:]: value for name, value in req.env.items() if name.startswith("HTTP_")}


def _chain(headers: Mapping[str, str]) -> Iterator[str]:
    """Who asked, as each proxy says, the nearest first. X-Forwarded-For goes before Forwarded: most proxies write that
    alone, and pass on what a client has put into the other.
    """
    if "X_FORWARDED_FOR" in headers:
        yield from reversed(headers["X_FORWARDED_FOR"].split(","))
        return
    for element in reversed(headers.get("FORWARDED", "").split(",") if "FORWARDED" in headers else []):
        match = _FOR.search(element)
        yield match[1] if match else ""


def _address(text: str) -> Address | None:
    """``192.0.2.1``, ``192.0.2.1:443``, ``2001:db8::1``, ``[2001:db8::1]:443``, with or without quotes."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
