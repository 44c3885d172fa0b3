"""A simulated gateway that fails as the real adapters do: by the outcomes and errors of their contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.gateway import (
    AuthFailed,
    Connection,
    GatewayError,
    GroupGateway,
    Listing,
    NotConnected,
    Outcome,
    Participant,
    RateLimited,
    Transient,
)
from runner.gateways.refusals import UNKNOWN, outcomes_of
from runner.groups.silence import ADMIN, MEMBER, SUPERADMIN
from tests.simulation.gateway import CALL_SECONDS, Outside
from tests.simulation.village import US, VILLAGES, real_roles

if TYPE_CHECKING:
    from tests.simulation.process import SimProcess

_ENOUGH = 0.85
_UNANSWERED = {"timeout": False, "timeout_after": True, "reset_after": True, "garbage": True, "raised_after": True}
_UNANSWERED |= {"empty": False, "empty_after": True, "raised": False}
"""Faults after which nobody knows; True: it was done."""

_TURNED_DOWN = ("reset", "rate_overlimit", "http429", "odd_text")
_PARTLY = ("refuse", "put_off", "flood", "some")
CALL_FAULTS = (*_UNANSWERED, *_TURNED_DOWN, *_PARTLY)
LIST_FAULTS = ("transient", "transient", "slow_down", "stale", "stale", "stale", "cut", "empty", "without_us")


@dataclass
class Villages(Outside):
    """The groups as they really are, and what was said of them. ``counts``: whether lists tell the group's size.

    ``down_until``: not connected; ``keyless_until``: the key is wrong; ``powerless_until``: we are no admin.
    ``admin_since``: who was made an admin, and when. ``shown_wrongly``: of whom a list has said that they are still
    there although they had been removed. ``misled``: processes whose last list was not of now.
    """

    counts: bool = True
    call_faults: Sequence[str] = CALL_FAULTS
    list_faults: Sequence[str] = LIST_FAULTS
    down_until: float = 0.0
    keyless_until: float = 0.0
    powerless_until: float = 0.0
    roles: dict[str, dict[str, str]] = field(default_factory=dict)
    admin_since: dict[str, float] = field(default_factory=dict)
    shown_wrongly: set[str] = field(default_factory=set)
    misled: set[SimProcess] = field(default_factory=set)
    met: Counter[str] = field(default_factory=Counter)
    listing: Callable[[SimProcess], None] = lambda _process: None
    listed: Callable[[SimProcess], None] = lambda _process: None
    _past: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.roles = {wa_id: real_roles(number) for number, wa_id in enumerate(VILLAGES)}
        self.groups |= {wa_id: set(people) for wa_id, people in self.roles.items()}
        for wa_id, people in self.roles.items():
            self.admin_since |= {known: -1000.0 for known, role in people.items() if role != MEMBER}
            self._remember(wa_id)

    def open(self, process: SimProcess) -> GroupGateway:
        return VillageGateway(self, process)

    def calm(self) -> None:
        super().calm()
        self.down_until = self.keyless_until = self.powerless_until = 0.0

    def act(self, process: SimProcess, wa_id: str, ids: Sequence[str]) -> None:
        if ids:
            super().act(process, wa_id, ids)
            for known in ids:
                self.roles[wa_id].pop(known, None)
            self._remember(wa_id)

    def leave(self, wa_id: str, known: str) -> None:
        """By themselves."""
        self.groups[wa_id].discard(known)
        self.roles[wa_id].pop(known, None)
        self.admin_since.pop(known, None)
        self._remember(wa_id)

    def join(self, wa_id: str, known: str) -> None:
        self.groups[wa_id].add(known)
        self.roles[wa_id][known] = MEMBER
        self._remember(wa_id)

    def promote(self, wa_id: str, known: str) -> None:
        self.roles[wa_id][known] = ADMIN
        self.admin_since.setdefault(known, self.turns.now)
        self._remember(wa_id)

    def some(self, names: Sequence[str]) -> str:
        """One of these faults, counted."""
        name = self.chance.choice(names)
        self.met[name] += 1
        return name

    def unanswered(self) -> GatewayError | None:
        """Why a call does not get through now."""
        if self.turns.now < self.keyless_until:
            return AuthFailed("the gateway does not take the key")
        return NotConnected("the gateway is not connected") if self.turns.now < self.down_until else None

    def code_of(self, wa_id: str, known: str) -> str:
        if self.turns.now < self.powerless_until:
            return "403"
        role = self.roles[wa_id].get(known)
        return "404" if role is None else "406" if role == SUPERADMIN else "200"

    def as_it_was(self, wa_id: str, seconds: float) -> dict[str, str]:
        """So long ago."""
        then = self.turns.now - seconds
        states = [people for at, of, people in self._past if of == wa_id]
        earlier = [people for at, of, people in self._past if of == wa_id and at <= then]
        return earlier[-1] if earlier else states[0]

    def _remember(self, wa_id: str) -> None:
        self._past.append((self.turns.now, wa_id, dict(self.roles[wa_id])))


class VillageGateway:
    """A ``GroupGateway`` of one process, as ``Distant`` is: it looks at the connection, and only then it sends."""

    via = "simulated"
    call_seconds = CALL_SECONDS

    def __init__(self, villages: Villages, process: SimProcess) -> None:
        self._villages, self._process = villages, process

    def connection(self) -> Connection:
        error = self._villages.unanswered()
        if isinstance(error, AuthFailed):
            raise error
        return Connection(error is None, "simulated")

    def list_group(self, group_wa_id: str) -> Listing:
        villages = self._villages
        villages.listing(self._process)
        villages.turns.sleep(villages.seconds() / 4)
        fault = villages.some(villages.list_faults) if villages.chance.random() < villages.faults / 3 else ""
        if (error := villages.unanswered()) is not None:
            raise error
        if fault == "transient":
            raise Transient("an answer that is not understood", nothing_sent=True)
        if fault == "slow_down":
            raise RateLimited("WhatsApp asks for a pause")
        listing = self._listing(group_wa_id, fault)
        if not fault:
            villages.listed(self._process)
        return listing

    def _listing(self, wa_id: str, fault: str) -> Listing:
        villages, people = self._villages, self._villages.roles[wa_id]
        villages.misled.discard(self._process)
        if fault == "stale":
            people = villages.as_it_was(wa_id, villages.chance.choice([1.0, 8.0, 60.0]))
            villages.misled.add(self._process)
            villages.shown_wrongly |= people.keys() - villages.roles[wa_id].keys()
        size = len(people) if villages.counts else None
        shown = dict(people)
        if fault == "without_us":
            shown = {known: role for known, role in people.items() if known not in US}
        if fault == "empty":
            shown = {}
        if fault == "cut":
            shown = dict(list(people.items())[: len(people) // (2 if villages.counts else 4)])
        rows = tuple(Participant(known, known, None, role, known in US) for known, role in shown.items())
        return Listing(None, len(rows) if fault == "without_us" else size, rows, lacks_us=not US & shown.keys())

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        turns, process = self._villages.turns, self._process
        turns.pause("about to call")
        if seconds_left() < _ENOUGH * CALL_SECONDS:
            raise NotConnected("the time was over before the call")
        if (error := self._villages.unanswered()) is not None:
            raise error
        place, process.place = process.place, "in the call"
        try:
            return self._send(group_wa_id, ids, seconds_left())
        finally:
            process.place = "between call and commit" if process.place == "in the call" else place

    def _send(self, wa_id: str, ids: Sequence[str], left: float) -> dict[str, Outcome]:
        villages, turns = self._villages, self._villages.turns
        fault = villages.some(villages.call_faults) if villages.chance.random() < villages.faults else ""
        if fault in _TURNED_DOWN:
            raise _turned_down(fault)
        villages.began(self._process, ids)
        codes: dict[str, str] = {}
        if _UNANSWERED.get(fault, True):
            first = left * villages.chance.random() if fault in _UNANSWERED else min(villages.seconds(), left)
            turns.after(first, lambda: codes.update(self._act(wa_id, ids, fault)))
            turns.sleep(min(first + villages.seconds(), left) + 0.0001)
        if fault in _UNANSWERED:
            turns.sleep(max(0.0, left - villages.seconds()) if "timeout" in fault else 0.0)
            return self._unanswered(fault, ids)
        if not codes:
            return dict.fromkeys(ids, UNKNOWN)
        return outcomes_of(codes, ids, lambda: turns.now >= villages.powerless_until)

    def _unanswered(self, fault: str, ids: Sequence[str]) -> dict[str, Outcome]:
        if "raised" in fault:
            raise Transient("no answer in time")
        return {} if "empty" in fault else dict.fromkeys(ids, UNKNOWN)

    def _act(self, wa_id: str, ids: Sequence[str], fault: str) -> dict[str, str]:
        """At one moment; the code of each. Of those left out by ``some`` nothing is said, done or not."""
        villages, chance = self._villages, self._villages.chance
        codes = {known: villages.code_of(wa_id, known) for known in ids}
        for known in ids if fault in _PARTLY and fault != "some" else ():
            if codes[known] == "200" and (fault == "flood" or chance.random() < 0.5):
                codes[known] = {"refuse": chance.choice(["403", "406"]), "put_off": "500", "flood": "429"}[fault]
        villages.act(self._process, wa_id, [known for known, code in codes.items() if code == "200"])
        return {known: code for known, code in codes.items() if fault != "some" or chance.random() < 0.5}


def _turned_down(fault: str) -> GatewayError:
    """Before anything was done."""
    if fault == "reset":
        return NotConnected("the connection was refused")
    if fault == "odd_text":
        return Transient("a text that is not known", nothing_sent=True)
    return RateLimited("slow down", after_seconds=7.0 if fault == "http429" else None)
