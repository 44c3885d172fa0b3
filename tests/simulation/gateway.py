"""The simulated gateway: groups in memory, and an append-only log of what was really done: the oracle of effects."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.clock import Clock
from runner.gateway import (
    Connection,
    GroupGateway,
    Listing,
    NotConnected,
    Outcome,
    OutcomeKind,
    Participant,
    RateLimited,
    Transient,
)
from runner.settings import Settings
from runner.store import Store
from tests.simulation.store import GROUPS, KEPT, QUEUED, SimStore, lid
from tests.simulation.turns import Turns

if TYPE_CHECKING:
    from tests.simulation.process import SimProcess

CALL_SECONDS = 5.0
_REMOVED, _GONE = Outcome(OutcomeKind.REMOVED), Outcome(OutcomeKind.ALREADY_GONE)


@dataclass(frozen=True)
class Effect:
    """``ids`` were acted on by this job's run, at this step of the simulation; ``gone`` of them were in the group."""

    job_id: str
    epoch: int
    step: int
    ids: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass
class Outside:
    """All groups as they really are. ``faults``: how often something goes wrong. ``began``, ``acted``: told of each
    call and of each effect.
    """

    turns: Turns
    chance: random.Random
    faults: float = 0.0
    slowness: float = 0.1
    log: list[Effect] = field(default_factory=list)
    began: Callable[[SimProcess, Sequence[str]], None] = lambda _process, _ids: None
    acted: Callable[[Effect], None] = lambda _effect: None
    groups: dict[str, set[str]] = field(
        default_factory=lambda: {
            wa_id: {lid(number, one) for one in range(QUEUED + KEPT)} for number, wa_id in enumerate(GROUPS)
        }
    )

    def seconds(self) -> float:
        """How long half a call takes: mostly little, at times nearly all it may."""
        return self.slowness * self.chance.random() if self.chance.random() < 0.9 else self.chance.random() * 2.2

    def open(self, process: SimProcess) -> GroupGateway:
        """The way to them of one process."""
        return SimGateway(self, process)

    def calm(self) -> None:
        """Nothing goes wrong from here on."""
        self.faults = 0.0

    def fault(self) -> str | None:
        if self.chance.random() >= self.faults:
            return None
        return self.chance.choice(["lost", "timeout", "empty", "refuse", "not_connected", "rate_limited", "some"])

    def act(self, process: SimProcess, wa_id: str, ids: Sequence[str]) -> None:
        assert process.run is not None
        gone = tuple(one for one in ids if one in self.groups[wa_id])
        self.groups[wa_id] -= set(gone)
        effect = Effect(process.run.job_id, process.run.epoch, self.turns.steps, tuple(ids), gone)
        self.log.append(effect)
        self.turns.say(f"effect on {len(gone)}", "gateway")
        self.acted(effect)


class SimGateway:
    """A ``GroupGateway`` of one process. The effect of a call that was sent comes even if the caller dies meanwhile."""

    via = "simulated"
    call_seconds = CALL_SECONDS

    def __init__(self, outside: Outside, process: SimProcess) -> None:
        self._outside, self._process = outside, process

    def connection(self) -> Connection:
        return Connection(True, "simulated")

    def list_group(self, group_wa_id: str) -> Listing:
        outside = self._outside
        outside.turns.sleep(outside.seconds() / 4)
        if outside.chance.random() < outside.faults / 4:
            raise NotConnected("nobody answers")
        present = sorted(outside.groups[group_wa_id])
        return Listing(None, len(present), tuple(Participant(one, one, None, "member") for one in present))

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        outside, process = self._outside, self._process
        outside.turns.pause("about to call")
        if seconds_left() <= 0:
            raise NotConnected("the time was over before the call")
        place, process.place = process.place, "in the call"
        try:
            return self._send(group_wa_id, ids, seconds_left())
        finally:
            process.place = "between call and commit" if process.place == "in the call" else place

    def _send(self, group_wa_id: str, ids: Sequence[str], left: float) -> dict[str, Outcome]:
        outside, process, turns = self._outside, self._process, self._outside.turns
        outside.began(process, ids)
        fault = outside.fault()
        if fault == "not_connected":
            raise NotConnected("nothing was sent")
        if fault == "rate_limited":
            raise RateLimited("slow down", after_seconds=1 + outside.chance.random() * 3)
        acted_on = self._acted_on(ids, fault)
        before = {one: one in outside.groups[group_wa_id] for one in ids}
        first, second = outside.seconds(), outside.seconds()
        if fault != "lost" and fault != "empty":
            turns.after(min(first, left), lambda: outside.act(process, group_wa_id, acted_on))
        turns.sleep(min(first + second, left) + 0.0001)
        if fault in ("lost", "timeout"):
            raise Transient("no answer in time")
        if fault == "empty":
            return {}
        refused = Outcome(OutcomeKind.REFUSED, "403", "it would not")
        answers = {one: _REMOVED if before[one] else _GONE for one in acted_on}
        return answers | {one: refused for one in ids if one not in answers and fault == "refuse"}

    def _acted_on(self, ids: Sequence[str], fault: str | None) -> list[str]:
        """``refuse``: some are refused; ``some``: some are neither removed nor answered for."""
        if fault not in ("refuse", "some"):
            return list(ids)
        return [one for one in ids if self._outside.chance.random() < 0.6]


def open_simulated(_settings: Settings, store: Store, _clock: Clock) -> GroupGateway:
    assert isinstance(store, SimStore)
    gateway: GroupGateway = store.gateway()
    return gateway


open_simulated.call_seconds = CALL_SECONDS  # type: ignore[attr-defined]
