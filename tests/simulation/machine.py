"""The machine that simulated servers run on: processes that outlive a server, and what one server sees of them."""

from __future__ import annotations

import itertools
import random
import select
import selectors
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from runner.job import Job, JsonDict, ProcessIdentity
from runner.machine import Live, Machine, Pool
from runner.process import JobProcess
from runner.sweep import Survivors
from tests.simulation.being import FIRST_PID, Nature
from tests.simulation.process import SimProcess
from tests.simulation.store import SimStore
from tests.simulation.turns import Actor, Turns


class Hardware:
    """What stays when a server goes. ``natures``: draws what the next process is like."""

    def __init__(
        self, turns: Turns, chance: random.Random, natures: Callable[[], Nature], store_of: Callable[..., SimStore]
    ) -> None:
        self.turns, self.chance, self._natures, self._store_of = turns, chance, natures, store_of
        self.processes: list[SimProcess] = []
        self.lines: dict[str, JsonDict] = {}
        self.barren_until = 0.0
        self._pids = itertools.count(FIRST_PID)

    def next_pid(self) -> int:
        return next(self._pids)

    def start_process(self, started_by: int) -> SimProcess:
        process = SimProcess(self, self._natures(), started_by)
        self.processes.append(process)
        return process

    def store_of_job(self, process: SimProcess) -> SimStore:
        return self._store_of(process)

    def living(self) -> list[SimProcess]:
        """Whose tree is not empty."""
        return [process for process in self.processes if not process.tree("").is_empty()]

    def memory_mb(self, pids: Iterable[int]) -> float:
        wanted = set(pids)
        return sum(process.memory_mb for process in self.processes if process.identity.pid in wanted)

    def server_died(self, number: int) -> None:
        for process in self.living():
            if process.started_by == number:
                process.server_died()

    def reboot(self) -> None:
        """Everybody is gone, and the boot's clock begins anew."""
        for process in self.processes:
            for being in (*process.orphans, process):
                being.nature = Nature()
                being.die(-9)
                being.dead = True
        self.turns.boot += 1
        self.turns.booted_at = self.turns.now - 20.0


class SimLive:
    """Live progress, at once."""

    def __init__(self, lines: dict[str, JsonDict]) -> None:
        self._lines = lines

    def of(self, job_id: str) -> JsonDict | None:
        return self._lines.get(job_id)

    def forget(self, job_id: str) -> None:
        self._lines.pop(job_id, None)

    @property
    def pid(self) -> int | None:
        return None

    def state(self) -> str:
        return "ok"

    def close(self) -> None:
        self._lines.clear()


class SimPool:
    """Standby processes; a new one is there some milliseconds after it is missed."""

    def __init__(self, hardware: Hardware, size: int, server: int, on_ready: Callable[[], None]) -> None:
        self._hardware, self._size, self._server, self._on_ready = hardware, size, server, on_ready
        self._idle: deque[SimProcess] = deque()
        self._wanted = self._coming = 0
        self.over = False

    def start(self) -> None:
        self._fill()

    def take(self) -> JobProcess | None:
        while self._idle:
            process = self._idle.popleft()
            self._fill()
            if process.is_alive():
                return process
        return None

    def want(self, count: int) -> None:
        self._wanted = count
        self._fill()

    def put_back(self, process: JobProcess) -> None:
        assert isinstance(process, SimProcess)
        if self.over:
            process.dismiss()
        else:
            self._idle.appendleft(process)

    def pids(self) -> list[int]:
        return [process.identity.pid for process in self._idle]

    def close(self) -> None:
        self.over = True
        for process in self._idle:
            process.dismiss()
        self._idle.clear()

    def _fill(self) -> None:
        while not self.over and len(self._idle) + self._coming < max(self._size, self._wanted):
            self._coming += 1
            self._hardware.turns.after(0.002 + self._hardware.turns.chance.random() * 0.05, self._add)

    def _add(self) -> None:
        if self._hardware.turns.now < self._hardware.barren_until:
            self._hardware.turns.after(1.0, self._add)
            return
        self._coming -= 1
        if not self.over:
            self._idle.append(self._hardware.start_process(self._server))
            self._on_ready()


class SimSelector(selectors.BaseSelector):
    """Real pipes are asked without waiting; simulated processes by what they have said and whether they are dead."""

    def __init__(self, turns: Turns, hardware: Hardware) -> None:
        self._turns, self._hardware = turns, hardware
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._poll = select.poll()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = _number(fileobj)
        if number in self._keys:
            raise KeyError(number)
        key = self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        if number < FIRST_PID:
            self._poll.register(number, select.POLLIN)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(_number(fileobj))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        until = self._turns.now + (timeout if timeout is not None else 3600.0)
        self._turns.pause("select", until=until, ready=lambda: any(map(self._is_readable, self._keys.values())))
        return [(key, key.events) for key in self._keys.values() if self._is_readable(key)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def _is_readable(self, key: selectors.SelectorKey) -> bool:
        if key.fd < FIRST_PID:
            return any(number == key.fd for number, _ in self._poll.poll(0))
        process: SimProcess = key.data.process
        return process.is_readable(key.fd)


def _number(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


class SimMachine(Machine):
    """What one server sees of the machine. ``loop_of``: makes the actor of its loop."""

    def __init__(self, hardware: Hardware, standby: int, number: int, begin_loop: Callable[[], Actor]) -> None:
        self.hardware, self._standby, self._number, self._begin_loop = hardware, standby, number, begin_loop
        self.live: Live = SimLive(hardware.lines)
        self.sim_pool: SimPool | None = None
        self.loop: Actor | None = None

    def prepare(self) -> None:
        """The fork server is there at once."""

    def pool(self, on_ready: Callable[[], None]) -> Pool:
        self.sim_pool = SimPool(self.hardware, self._standby, self._number, on_ready)
        return self.sim_pool

    def selector(self) -> selectors.BaseSelector:
        return SimSelector(self.hardware.turns, self.hardware)

    def sweep(self, left: Sequence[Job], seconds: float) -> Survivors:
        """As ``runner.sweep``: all that comes of an earlier server is killed; returns who of it is still there."""
        old = [one for one in self.hardware.living() if one.started_by != self._number]
        for process in old:
            process.tree("").kill()
        turns = self.hardware.turns
        turns.pause("sweep", until=turns.now + seconds, ready=lambda: not any(map(_is_living, old)))
        living = {one: frozenset(one.tree("").members()) for one in old if _is_living(one)}
        ids = {job.id for job in left}
        found = {one.run.job_id if one.run is not None and one.run.job_id in ids else "" for one in living}
        return {job_id: _members_of(living, job_id) for job_id in ids if {job_id, ""} & found}

    def begin(self, loop: Callable[[], None], is_busy: Callable[[], bool]) -> None:
        """The simulation calls the loop's step itself, so that its pauses are simulated too."""
        self.loop = self._begin_loop()

    def close(self) -> None:
        """There is nothing to close."""

    def wait_for_loop(self, seconds: float) -> bool:
        loop, turns = self.loop, self.hardware.turns
        if loop is not None and not loop.over:
            turns.pause("wait for the loop", until=turns.now + seconds, ready=lambda: loop.over)
        return loop is None or loop.over


def _is_living(process: SimProcess) -> bool:
    return not process.tree("").is_empty()


def _members_of(living: Mapping[SimProcess, frozenset[ProcessIdentity]], job_id: str) -> frozenset[ProcessIdentity]:
    """Of whom it cannot be told whose it is, it is said of every job."""
    mine = [found for one, found in living.items() if one.run is None or one.run.job_id == job_id]
    return frozenset[ProcessIdentity]().union(*mine)
