"""One simulated world: the machine, the servers that follow one another on it, the outside, and whoever asks."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import sqlite3
from collections.abc import Callable, Iterator

import pytest

from runner.errors import RunnerError, StoreUnavailable
from runner.manager import JobManager
from runner.settings import Settings
from tests.simulation import workflows
from tests.simulation.being import Nature
from tests.simulation.gateway import Outside
from tests.simulation.machine import Hardware, SimMachine
from tests.simulation.oracle import Oracle
from tests.simulation.process import SimProcess
from tests.simulation.store import SimStore, database
from tests.simulation.turns import Actor, Turns

_STORE_PAUSE = 0.2
GATEWAY = "tests.simulation.gateway:open_simulated"


class Server:
    """One life of the server, from its start to its end or its death."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self.number = world, number
        self.is_up = self.is_dead = False
        self._frozen_until = 0.0
        self.actors: list[Actor] = []
        self.asking: list[Actor] = []
        turns = world.turns
        self.store = SimStore(
            turns,
            turns.clock(),
            database().of_server,
            committed=world.committed,
            is_out=world.is_out,
        )
        self.machine = SimMachine(world.hardware, world.settings.standby, number, self._begin_loop)
        self.manager = JobManager(world.settings, clock=turns.clock(), store=self.store, machine=self.machine)
        self.supervisor = self.manager._supervisor
        self._act("open", self._open)

    def ask(self, name: str, act: Callable[[JobManager], object], answered: Callable[[object], None]) -> None:
        """A request, on a thread of its own. ``answered``: with what it returned, or the error it raised."""

        def live() -> None:
            try:
                answer = act(self.manager)
            except RunnerError as error:
                answer = error
            self._world.turns.say(f"answered {type(answer).__name__} {str(answer)[:80]}")
            answered(answer)

        self.asking.append(self._act(name, live))

    def kill(self) -> None:
        """SIGKILL: nothing of it acts any more, and its processes notice."""
        if self.is_dead:
            return
        self.is_dead, self.is_up = True, False
        for actor in self.actors:
            self._world.turns.doom(actor)
        if self.machine.sim_pool is not None:
            self.machine.sim_pool.over = True
        self._world.hardware.server_died(self.number)
        self._world.oracle.disturbed(math.inf)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP: none of its threads has a turn for so long; its leases run out meanwhile."""
        turns = self._world.turns
        self._frozen_until = max(self._frozen_until, turns.now + seconds)
        self._freeze_actors(True)
        turns.after(seconds, lambda: self._freeze_actors(False))
        self._world.oracle.disturbed(seconds + 1.0)

    def _freeze_actors(self, frozen: bool) -> None:
        if frozen or self._world.turns.now >= self._frozen_until:
            for actor in self.actors:
                actor.frozen = frozen

    def drain(self) -> None:
        """SIGTERM: as ``web.__main__`` does it."""
        self._act("drain", self._drain)

    def close_files(self) -> None:
        for end in self.supervisor.waiting.bell:
            os.close(end)

    def _drain(self) -> None:
        self.manager.drain(SimEvent(self._world.turns))  # type: ignore[arg-type]
        self.manager.close()
        self.kill()

    def _open(self) -> None:
        """A server that cannot begin ends; somebody starts it again."""
        try:
            self.manager.open()
        except StoreUnavailable:
            self.kill()
        self.is_up = not self.is_dead
        if self.is_up:
            self._world.oracle.is_up()

    def _begin_loop(self) -> Actor:
        return self._act("loop", self._loop)

    def _loop(self) -> None:
        """As ``Supervisor._loop``, with pauses of this clock; whatever it stumbles over is a fault."""
        while not self.supervisor._over:
            try:
                self.supervisor._tick()
            except StoreUnavailable:
                self._world.turns.sleep(_STORE_PAUSE)

    def _act(self, name: str, act: Callable[[], object]) -> Actor:
        actor = self._world.turns.spawn(f"{name} {self.number}", act)
        actor.frozen = self._world.turns.now < self._frozen_until
        self.actors.append(actor)
        return actor


class SimEvent:
    """The second signal, which never comes."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def wait(self, seconds: float) -> bool:
        self._turns.sleep(seconds)
        return False


class Sleeper:
    """In the place of ``time`` in the ledger."""

    def __init__(self, turns: Turns) -> None:
        self.sleep = turns.sleep


class Stumbles(logging.Handler):
    """The loop goes on after an error it did not expect. Here that is a fault."""

    def __init__(self, found: Callable[[str, str], None]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._found("the loop does not stumble", f"{record.getMessage()}: {record.exc_info[1]!r}")


class World:
    """Begins with an empty machine. ``natures``: draws what the next process is like."""

    def __init__(self, seed: object, natures: Callable[[], Nature] = Nature, **settings: object) -> None:
        database().begin()
        self.turns = Turns(seed)
        self.chance = random.Random(f"world {seed}")
        few = {"max_running": 2, "standby": 1, "grace_seconds": 8.0, "terminate_seconds": 2.0, "min_delay_ms": 0}
        given = few | settings | {"home": database().home, "gateway": GATEWAY, "workflows": workflows.__name__}
        self.settings = Settings(**given)  # type: ignore[arg-type]
        self.outside = self._make_outside()
        self.hardware = Hardware(self.turns, self.chance, natures, self._store_of)
        self._look = database().look()
        self.oracle = self._make_oracle(self._look)
        self.turns.is_over = lambda: bool(self.oracle.violations)
        self.servers: list[Server] = []
        self._out: tuple[bool, float] = (False, 0.0)

    def _make_outside(self) -> Outside:
        return Outside(self.turns, self.chance)

    def _make_oracle(self, look: sqlite3.Connection) -> Oracle:
        return Oracle(look, self.turns, self.hardware, self.outside)

    @property
    def server(self) -> Server | None:
        """The one that answers."""
        return self.servers[-1] if self.servers and self.servers[-1].is_up else None

    def start_server(self) -> Server:
        self.servers.append(Server(self, len(self.servers)))
        return self.servers[-1]

    def is_at_rest(self) -> bool:
        """Nobody asks for anything, nothing runs, nothing waits."""
        server = self.server
        if server is None or not self.oracle.at_rest() or not server.supervisor.is_idle():
            return False
        return all(actor.over for actor in server.asking)

    def committed(self) -> None:
        self.oracle.look()

    def _job_committed(self, process: SimProcess) -> None:
        self.oracle.look()
        process.committed(self.oracle.has_open(process))

    def lose_store(self, seconds: float, *, reads: bool) -> None:
        """The database does not answer for so long: nobody writes, or nobody reads either."""
        self._out = (reads, self.turns.now + seconds)
        self.oracle.disturbed(seconds)

    def is_out(self, writing: bool) -> bool:
        reads, until = self._out
        return self.turns.now < until and (writing or reads)

    def close(self) -> None:
        self.turns.end()
        for server in self.servers:
            server.close_files()
        self._look.close()

    def _store_of(self, process: SimProcess) -> SimStore:
        return SimStore(
            self.turns,
            self.turns.clock(),
            database().of_jobs,
            committed=lambda: self._job_committed(process),
            is_out=self.is_out,
            dies=process.dies_in_commit,
            gateway=lambda: self.outside.open(process),
        )


@contextlib.contextmanager
def simulated(world: World) -> Iterator[World]:
    """Clock and chance of the modules that take neither as an argument, for as long as the world lasts."""
    stumbles = Stumbles(world.oracle.found)
    supervisor, runner = logging.getLogger("runner.supervisor"), logging.getLogger("runner")
    supervisor.addHandler(stumbles)
    level, propagated = runner.level, runner.propagate
    runner.propagate = False
    runner.addHandler(nobody := logging.NullHandler())
    runner.setLevel(logging.ERROR)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("runner.job.secrets", world.turns.chance)
            patch.setattr("runner.ledger.time", Sleeper(world.turns))
            patch.setattr("runner.limits.memory_mb", world.hardware.memory_mb)
            patch.setattr("runner.loading.entry_points", lambda **_: ())
            yield world
    finally:
        world.close()
        supervisor.removeHandler(stumbles)
        runner.removeHandler(nobody)
        runner.setLevel(level)
        runner.propagate = propagated
