"""Addresses and networks as people write them in a setting."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_EXAMPLES = "an address such as 10.0.0.5, or a network such as 10.0.0.0/24"


def networks_of(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas. Raises ValueError with a sentence."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def origin_of(text: str) -> tuple[str, str, int | None]:
    """Scheme, name and port of ``https://runner.example.com``. Raises ValueError with a sentence."""
    wrong = ValueError(f"{text!r} must be like https://runner.example.com: http or https, a name, perhaps a port")
    try:
        parts = urlsplit(text.strip())
        name, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not name or more or any(sign.isspace() for sign in text.strip()):
        raise wrong
    return parts.scheme, name, port


def _network(text: str) -> Network:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither {_EXAMPLES}") from None
    if "/" in text and str(found.network_address) != str(ipaddress.ip_address(text.partition("/")[0])):
        raise ValueError(f"{text!r} is an address and not a network: write {text.partition('/')[0]}, or {found}")
    if found.prefixlen == 0:
        raise ValueError(f"{text!r} is everybody: name the proxies that are yours, {_EXAMPLES}")
    return found
