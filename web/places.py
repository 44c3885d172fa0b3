"""Places: how many connections there may be, of whom, and who makes room when all are taken."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from web.guesses import network_of
from web.proxies import Proxies

log = logging.getLogger(__name__)
_WARN_SECONDS = 60.0

Refusal = tuple[HTTPStatus, str]


@dataclass(frozen=True)
class Bounds:
    """``most``: connections of all together; ``kept`` of them are for this machine alone; ``of_one``: of one address
    of another machine. ``…_seconds``: how long a connection may take until a header is whole, and after that its body;
    until the next request begins; and until an answer has been read.
    """

    most: int = 2000
    kept: int = 50
    of_one: int = 200
    header_seconds: float = 30
    body_seconds: float = 60
    idle_seconds: float = 30
    answer_seconds: float = 60


class Connection(Protocol):
    """What has a place."""

    @property
    def quiet_since(self) -> float | None:
        """Since when nothing is being done for it; None while something is."""

    def hang_up(self) -> None: ...


class Places:
    """``is_near``: whether an address is of this machine: for it a place is always found. Of what a trusted proxy
    passes on, each request counts for the address that it came from.
    """

    def __init__(
        self,
        bounds: Bounds,
        is_near: Callable[[str], bool],
        proxies: Proxies,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bounds, self._seconds = bounds, seconds
        self._is_near, self._proxies = is_near, proxies
        self._taken: dict[Connection, str] = {}
        self._counted: dict[Connection, str] = {}
        self._far = 0  # of other machines
        self._warned_at: float | None = None
        self._lock = threading.Lock()  # requests end in threads

    def make_room(self, peer: str) -> Refusal | None:
        """None where a connection of ``peer`` may come, which may cost another its place; else why it may not."""
        near = self._is_near(peer)
        with self._lock:
            if not near and not self._proxies.trusts(peer) and self._is_full_of(network_of(peer)):
                return self._too_many
            taken, most = (
                (len(self._taken), self.bounds.most) if near else (self._far, self.bounds.most - self.bounds.kept)
            )
            is_full = taken >= most
            leaving = self._least(near) if is_full else None
        if is_full and leaving is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, "All connections of this server are at work; try again"
        if leaving is not None:
            self._warn()
            leaving.hang_up()
        return None

    def take(self, one: Connection, peer: str) -> None:
        with self._lock:
            self._taken[one] = peer
            self._far += not self._is_near(peer)
            if not self._is_near(peer) and not self._proxies.trusts(peer):
                self._counted[one] = network_of(peer)

    def leave(self, one: Connection) -> None:
        with self._lock:
            peer = self._taken.pop(one, None)
            self._far -= peer is not None and not self._is_near(peer)
            self._counted.pop(one, None)

    def request_comes(self, one: Connection, peer: str, headers: Mapping[str, str]) -> Refusal | None:
        """Its header is whole. None where it may be served, else why not: too many are there from where it comes."""
        if not self._proxies.trusts(peer):
            return None
        caller = self._proxies.caller(peer, headers)
        with self._lock:
            self._counted.pop(one, None)
            if caller == peer or self._is_near(caller):
                return None
            if self._is_full_of(network_of(caller)):
                return self._too_many
            self._counted[one] = network_of(caller)
        return None

    def request_is_over(self, one: Connection, peer: str) -> None:
        if self._proxies.trusts(peer):
            with self._lock:
                self._counted.pop(one, None)

    @property
    def _too_many(self) -> Refusal:
        said = f"There are {self.bounds.of_one} connections from this address already; close some"
        return HTTPStatus.TOO_MANY_REQUESTS, said

    def _is_full_of(self, network: str) -> bool:
        return sum(counted == network for counted in self._counted.values()) >= self.bounds.of_one

    def _least(self, near: bool) -> Connection | None:
        """Of those for whom nothing is being done: one of whoever has most, and of these the one quiet for longest.
        ``near``: who comes is of this machine, and anybody may have to make room for that; else other machines alone.
        """
        quiet = [
            (one, network_of(peer), since)
            for one, peer in self._taken.items()
            if (near or not self._is_near(peer)) and (since := one.quiet_since) is not None
        ]
        of = Counter(network for _, network, _ in quiet)
        found = min(quiet, key=lambda each: (-of[each[1]], each[2]), default=None)
        return None if found is None else found[0]

    def _warn(self) -> None:
        """Once a minute, however many come."""
        now = self._seconds()
        if self._warned_at is None or now - self._warned_at >= _WARN_SECONDS:
            self._warned_at = now
            log.warning("All %d connections are taken; whoever is quiet is hung up on", self.bounds.most)
