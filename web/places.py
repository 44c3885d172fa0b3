"""Places: how many connections there may be, of whom, and who makes room when all are taken."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from web.guesses import network_of
from web.proxies import Proxies

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

    def __init__(self, bounds: Bounds, is_near: Callable[[str], bool], proxies: Proxies) -> None:
        self.bounds = bounds
        self._is_near, self._proxies = is_near, proxies
        self._taken: dict[Connection, str] = {}
        self._counted: dict[Connection, str] = {}
        self._lock = threading.Lock()  # requests end in threads

    def make_room(self, peer: str) -> Refusal | None:
        """None where a connection of ``peer`` may come, which may cost another its place; else why it may not."""
        near = self._is_near(peer)
        with self._lock:
            if not near and not self._proxies.trusts(peer) and self._is_full_of(network_of(peer)):
                return self._too_many
            others = [one for one, address in self._taken.items() if near or not self._is_near(address)]
            is_full = len(others) >= self.bounds.most - (0 if near else self.bounds.kept)
            leaving = self._least(others) if is_full else None
        if is_full and leaving is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, "All connections of this server are at work; try again"
        if leaving is not None:
            leaving.hang_up()
        return None

    def take(self, one: Connection, peer: str) -> None:
        with self._lock:
            self._taken[one] = peer
            if not self._is_near(peer) and not self._proxies.trusts(peer):
                self._counted[one] = network_of(peer)

    def leave(self, one: Connection) -> None:
        with self._lock:
            self._taken.pop(one, None)
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

    def _least(self, among: list[Connection]) -> Connection | None:
        """Of those for whom nothing is being done: one of whoever has most, and of these the one quiet for longest."""
        quiet = [(one, since) for one in among if (since := one.quiet_since) is not None]
        of = Counter(network_of(self._taken[one]) for one, _ in quiet)
        found = min(quiet, key=lambda pair: (-of[network_of(self._taken[pair[0]])], pair[1]), default=None)
        return None if found is None else found[0]
