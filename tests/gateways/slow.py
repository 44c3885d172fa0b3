"""A gateway that takes its time and writes down what it does: the oracle of the removal tests.

``RUNNER_GATEWAY=tests.gateways.slow:open_slow``. Its group is the roster's, less whom it removed itself. It is told
how to behave by ``slow-gateway.json`` in the home folder, read anew at each call; every key may be left out:

    {"call_ms": 200,                            how long a removal takes; the effect comes in the middle
     "before_ms": 0, "after_ms": 0,             how long it dawdles before it begins, and after it has ended
     "call_seconds": 5.0,                       how long it may take
     "refuse": {"1@lid": "403"},                whom it refuses, with which code
     "calls": {"1": "timeout", "2": "empty"}}   what goes wrong in which of its removals, counted over all processes

``timeout``: done, and no answer. ``lost``: not done, and no answer. ``empty``: not done, answered ``{}``.
``not_connected``, ``rate_limited``, ``not_admin``: nothing sent.

``gateway-effects.jsonl`` beside it, only ever appended to, has a line for ``asked``, ``begin``, ``effect`` and
``end`` of each removal: ``{"event", "call", "ids", "at", "pid"}``, ``at`` in monotonic seconds. An ``effect`` is a
removal.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runner.clock import Clock
from runner.gateway import (
    Connection,
    GatewayError,
    Listing,
    NotAdmin,
    NotConnected,
    Outcome,
    OutcomeKind,
    Participant,
    RateLimited,
    Transient,
)
from runner.gateways.roster import RosterGateway
from runner.settings import Settings
from runner.store import Store

CONFIG, LOG = "slow-gateway.json", "gateway-effects.jsonl"
_CALL_MS, _CALL_SECONDS = 200, 5.0

_NOTHING_SENT: dict[str, GatewayError] = {
    "not_connected": NotConnected("the slow gateway is not connected"),
    "rate_limited": RateLimited("slow down", after_seconds=1),
    "not_admin": NotAdmin("we are not an admin of the group"),
}


class SlowGateway:
    """A ``GroupGateway`` with effects of its own; the store is only read."""

    via = "slow"

    def __init__(self, home: Path, roster: RosterGateway) -> None:
        self._home = home
        self._roster = roster

    @property
    def call_seconds(self) -> float:
        return float(self._config().get("call_seconds", _CALL_SECONDS))

    def connection(self) -> Connection:
        return Connection(True, "slow, but there")

    def list_group(self, group_wa_id: str) -> Listing:
        listing = self._roster.list_group(group_wa_id)
        removed = set(removed_ids(self._home))
        left = tuple(one for one in listing.participants if one.id not in removed)
        return Listing(listing.name, len(left), left)

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        config = self._config()
        call = 1 + sum(line["event"] == "begin" for line in effects(self._home))
        fault = config.get("calls", {}).get(str(call))
        if seconds_left() <= 0:
            raise NotConnected("the time was over before the call")
        self._log("asked", call, ids)
        _wait(config.get("before_ms", 0) / 1000)
        self._log("begin", call, ids)
        if fault in _NOTHING_SENT:
            raise _NOTHING_SENT[fault]
        return self._act(config, fault, call, self._outcomes(config, group_wa_id, ids))

    def _act(
        self, config: dict[str, Any], fault: str | None, call: int, outcomes: dict[str, Outcome]
    ) -> dict[str, Outcome]:
        done = [known for known, outcome in outcomes.items() if outcome.kind is OutcomeKind.REMOVED]
        half = config.get("call_ms", _CALL_MS) / 2000
        _wait(half)
        if fault not in ("lost", "empty"):
            self._log("effect", call, done)
        _wait(half)
        if fault in ("timeout", "lost"):
            raise Transient("no answer in time")
        self._log("end", call, done)
        _wait(config.get("after_ms", 0) / 1000)
        return {} if fault == "empty" else outcomes

    def _outcomes(self, config: dict[str, Any], group_wa_id: str, ids: Sequence[str]) -> dict[str, Outcome]:
        listed = {one.id: one for one in self.list_group(group_wa_id).participants}
        return {known: _outcome(listed.get(known), config.get("refuse", {}).get(known)) for known in ids}

    def _config(self) -> dict[str, Any]:
        path = self._home / CONFIG
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def _log(self, event: str, call: int, ids: Sequence[str]) -> None:
        line = {"event": event, "call": call, "ids": list(ids), "at": time.monotonic(), "pid": os.getpid()}
        with (self._home / LOG).open("ab", buffering=0) as log:
            log.write(json.dumps(line).encode() + b"\n")


def open_slow(settings: Settings, store: Store, clock: Clock) -> SlowGateway:
    return SlowGateway(settings.home, RosterGateway(store, clock))


open_slow.call_seconds = _CALL_SECONDS  # type: ignore[attr-defined]


def configure(home: Path, **config: Any) -> None:
    (home / CONFIG).write_text(json.dumps(config))


def effects(home: Path) -> list[dict[str, Any]]:
    """The whole log, in order."""
    path = home / LOG
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def removed_ids(home: Path) -> list[str]:
    """Everybody who was really removed, in order; somebody removed twice is in it twice."""
    return [known for line in effects(home) if line["event"] == "effect" for known in line["ids"]]


def _outcome(listed: Participant | None, code: str | None) -> Outcome:
    if listed is None:
        return Outcome(OutcomeKind.ALREADY_GONE)
    if code is not None:
        return Outcome(OutcomeKind.REFUSED, code, "the slow gateway would not")
    if listed.role != "member" or listed.is_me:
        return Outcome(OutcomeKind.REFUSED, "403", "not a plain member")
    return Outcome(OutcomeKind.REMOVED)


def _wait(seconds: float) -> None:
    if seconds:
        threading.Event().wait(seconds)
