"""One simulated run: jobs are started, disturbed at random steps, and then left alone until all has come to rest."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulation.deeds import Deeds
from tests.simulation.oracle import Violation
from tests.simulation.world import simulated

REST_SECONDS = 3600.0
_PAUSE_SECONDS = 3.0


@dataclass(frozen=True)
class Scene:
    """What a run is made of. ``mix``: how often each deed is chosen; ``wild``: odd processes and jobs, faulty calls;
    ``most_steps``: between two deeds. ``acting``: who does the deeds, and in which world.
    """

    mix: Mapping[str, int]
    deeds: int = 8
    jobs: int = 2
    wild: bool = True
    most_steps: int = 45
    acting: type[Deeds] = Deeds


RUNS = Scene(
    {
        **{"start": 2, "cancel": 3, "pause": 3, "resume": 3, "retry": 2, "lose_store": 2},
        **{"kill_child": 3, "terminate_child": 1, "freeze_child": 2, "kill_server": 2, "drain": 1, "reboot": 1},
        **{"delete": 1, "starve": 1, "shift_clock": 1, "freeze_server": 1},
    }
)
CANCELS = Scene({"cancel": 1}, deeds=3, jobs=3)
CALM_CANCELS = Scene({"cancel": 1}, deeds=3, jobs=3, wild=False)


@dataclass
class Told:
    """What a run was like."""

    seed: object
    steps: int = 0
    digest: int = 0
    places: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        lines = [f"seed {self.seed}: {one.invariant}: {one.detail}" for one in self.violations]
        return "\n".join([*self.trace, *lines])


def play(seed: object, scene: Scene) -> Told:
    """Seed and scene decide everything."""
    acting = scene.acting(seed, wild=scene.wild)
    told = Told(seed, places=acting.places)
    world = acting.world
    try:
        with simulated(world):
            _disturb(acting, scene)
            if not world.oracle.violations:
                _rest(acting)
    except BaseException as error:
        told.violations.append(Violation("the simulation runs", repr(error)))
        if not isinstance(error, Exception):
            raise
    told.violations[:0] = world.oracle.violations
    told.steps, told.digest = world.turns.steps, world.turns.digest
    if told.violations:
        told.trace = [str(step) for step in world.turns.trace]
    return told


def _disturb(acting: Deeds, scene: Scene) -> None:
    """Each run leaves some deeds out, so that the others come more often."""
    turns, chance = acting.world.turns, acting.chance
    server = acting.world.start_server()
    turns.direct(until=lambda: server.is_up, seconds=60.0)
    for _ in range(scene.jobs):
        acting.start()
        turns.direct(steps=chance.randint(1, scene.most_steps), seconds=_PAUSE_SECONDS)
    left_out = {name for name in scene.mix if len(scene.mix) > 5 and chance.random() < 0.3}
    chosen = {name: weight for name, weight in scene.mix.items() if name not in left_out} or scene.mix
    for _ in range(scene.deeds):
        turns.direct(steps=chance.randint(1, scene.most_steps), seconds=_PAUSE_SECONDS)
        if acting.world.oracle.violations:
            return
        getattr(acting, chance.choices(list(chosen), list(chosen.values()))[0])()


def _rest(acting: Deeds) -> None:
    """Without faults from here on, and with a server: everything must come to its end by itself."""
    world = acting.world
    acting.calm()
    world.lose_store(0.0, reads=False)
    world.hardware.barren_until = 0.0
    for process in world.hardware.processes:
        process.signal(signal.SIGCONT)
    if world.servers[-1].is_dead:
        world.start_server()
    server = world.servers[-1]
    world.turns.direct(until=lambda: server.is_up, seconds=60.0)
    _come_to_rest(acting)
    if not world.oracle.violations:
        world.oracle.judge_rest(server.supervisor.launcher._slots)


def _come_to_rest(acting: Deeds) -> None:
    world = acting.world
    for _ in range(3):
        world.turns.direct(until=world.is_at_rest, seconds=REST_SECONDS)
        if world.oracle.violations:
            return
        world.turns.direct(seconds=1.5)
        if world.is_at_rest():
            return
