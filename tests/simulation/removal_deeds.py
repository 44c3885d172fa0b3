"""What may be done to a world of removals, beside what may be done to any: people move, and the gateway fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from runner.groups.silence import MEMBER
from tests.simulation.being import Nature
from tests.simulation.deeds import Deeds
from tests.simulation.oracle import Oracle
from tests.simulation.play import RUNS, Scene
from tests.simulation.removal_gateway import Villages
from tests.simulation.removal_oracle import RemovalOracle
from tests.simulation.village import US, VILLAGES, WINDOW_MS, Records
from tests.simulation.world import World

_QUICK = {"slow_down_seconds": 3.0, "retry_seconds": 0.5, "gateway_wait_seconds": 20.0}


class RemovalWorld(World):
    """Two villages, behind a gateway that fails as real ones do."""

    outside: Villages
    oracle: RemovalOracle

    def __init__(self, seed: object, natures: Callable[[], Nature] = Nature, **settings: object) -> None:
        super().__init__(seed, natures, **(_QUICK | settings))
        self.records = Records(self.turns.clock())
        self.records.fill()

    def _make_outside(self) -> Villages:
        return Villages(self.turns, self.chance, counts=self.chance.random() < 0.6)

    def _make_oracle(self, look: sqlite3.Connection) -> Oracle:
        return RemovalOracle(look, self.turns, self.hardware, self.outside)


class RemovalDeeds(Deeds):
    """Each method without an argument is a deed."""

    world: RemovalWorld

    def __init__(self, seed: object, *, wild: bool) -> None:
        super().__init__(seed, wild=wild)
        self.world.outside.faults = self.chance.choice([0.05, 0.25, 0.5])

    def _make_world(self, seed: object, **settings: int) -> World:
        return RemovalWorld(seed, self._nature, **settings)

    def calm(self) -> None:
        """And somebody brings the member lists up to date, as a job that believes no list asks for."""
        super().calm()
        for wa_id in VILLAGES:
            self.world.records.bring_up_to_date(wa_id, self.world.outside.groups[wa_id])

    def start(self) -> None:
        chance = self.chance
        name = chance.choice(["removal_workflow", "removal_workflow", "removal_queue"])
        given: dict[str, Any] = {"groupWaId": chance.choice(VILLAGES), "batchSize": chance.choice([1, 2, 3, 5])}
        given |= {"delayMs": chance.choice([0, 700, 3000, 9000]), "dryRun": chance.random() < 0.15}
        self._start(name, given | ({"inactivityWindowMs": WINDOW_MS} if name == "removal_workflow" else {}))

    # -- people ----------------------------------------------------------------------------------------------

    def speak(self) -> None:
        wa_id, known = self._somebody()
        self._note("speak", lambda: self.world.records.heard(wa_id, known))

    def whitelist(self) -> None:
        wa_id, known = self._somebody()
        self._note("whitelist", lambda: self.world.records.whitelist(wa_id, known))

    def queue_up(self) -> None:
        """By hand; also whoever is gone already, as the store need not know."""
        wa_id = self.chance.choice(VILLAGES)
        known = self.chance.choice(sorted(self.world.outside.as_it_was(wa_id, 1e9)))
        self._note("queue up", lambda: self.world.records.queue(wa_id, known))

    def promote(self) -> None:
        """The gateway knows at once; the store only at times, since events may be lost."""
        wa_id, known = self._somebody()
        self.places["promote", ""] += 1
        self.world.outside.promote(wa_id, known)
        if self.chance.random() < 0.3:
            self._note("hear of an admin", lambda: self.world.records.made_admin(wa_id, known))

    def leave(self) -> None:
        wa_id, known = self._somebody()
        self.places["leave", ""] += 1
        self.world.oracle.moves(known)
        self.world.outside.leave(wa_id, known)

    def come_back(self) -> None:
        wa_id = self.chance.choice(VILLAGES)
        outside = self.world.outside
        gone = sorted(outside.as_it_was(wa_id, 1e9).keys() - outside.groups[wa_id])
        if gone:
            known = self.chance.choice(gone)
            self.places["come back", ""] += 1
            self.world.oracle.moves(known)
            outside.join(wa_id, known)

    def _somebody(self) -> tuple[str, str]:
        """A plain member of one of the groups; where there is none left, somebody."""
        wa_id = self.chance.choice(VILLAGES)
        people = self.world.outside.roles[wa_id]
        others = people.keys() - US
        plain = {known for known in others if people[known] == MEMBER}
        return wa_id, self.chance.choice(sorted(plain or others))

    def _note(self, deed: str, write: Callable[[], None]) -> None:
        self.places[deed, ""] += 1
        write()
        self.world.oracle.look()

    # -- the gateway -----------------------------------------------------------------------------------------

    def disconnect(self) -> None:
        self.world.outside.down_until = self._for_a_while("disconnect")

    def lock_out(self) -> None:
        """Its key is changed, and changed back."""
        self.world.outside.keyless_until = self._for_a_while("lock out")

    def depose(self) -> None:
        """We are no admin for a while."""
        self.world.outside.powerless_until = self._for_a_while("depose")

    def pass_time(self) -> None:
        """So that waits come to their ends."""
        seconds = self.chance.choice([5.0, 15.0, 60.0])
        self.places["pass time", f"{seconds} s"] += 1
        self.world.turns.direct(seconds=seconds)

    def _for_a_while(self, deed: str) -> float:
        seconds = self.chance.choice([0.5, 3.0, 20.0])
        self.places[deed, f"for {seconds} s"] += 1
        return self.world.turns.now + seconds


_OF_PEOPLE = {"speak": 3, "whitelist": 2, "queue_up": 2, "promote": 3, "leave": 2, "come_back": 2}
_OF_THE_GATEWAY = {"disconnect": 2, "lock_out": 1, "depose": 1, "pass_time": 5}
_OF_JOBS = {name: weight for name, weight in RUNS.mix.items() if name != "delete"} | {"retry": 5, "start": 3}

REMOVALS = Scene(_OF_JOBS | _OF_PEOPLE | _OF_THE_GATEWAY, deeds=16, acting=RemovalDeeds)
