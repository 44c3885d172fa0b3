"""Wrong tokens, counted for each address: who sends many in a minute is told to wait."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

FREE_GUESSES = 10
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 4096
"""So many are remembered, those that came last; about 1 MB."""


@dataclass
class _Burst:
    until: float
    count: int = 0


class Guesses:
    """``seconds``: a clock that nobody sets back.

    Only wrong tokens are limited. Whoever has a right one passes, also from an address that guesses: behind a proxy
    all have the same, and no number of guesses finds 256 random bits; this spares the log, and tells of an attack.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._bursts: OrderedDict[str, _Burst] = OrderedDict()
        self._lock = threading.Lock()

    def wrong(self, address: str) -> int | None:
        """Counts a wrong token. None while it is one of the free ones, else in how many seconds there are new ones."""
        network, now = network_of(address), self._seconds()
        with self._lock:
            burst = self._bursts.pop(network, None)
            if burst is None or burst.until <= now:
                burst = _Burst(now + WINDOW_SECONDS)
            burst.count += 1
            self._bursts[network] = burst
            if len(self._bursts) > MOST_ADDRESSES:
                self._bursts.popitem(last=False)
        if burst.count == FREE_GUESSES + 1:
            log.warning("More than %d wrong tokens from %s within a minute", FREE_GUESSES, network)
        return None if burst.count <= FREE_GUESSES else max(1, round(burst.until - now))


def network_of(address: str) -> str:
    """The address; of IPv6 its first half, since whoever has one address there has all that begin with it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
