"""What may be done to a simulated world: asking for something, and killing, stopping or starving what runs."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from runner.errors import StoppingUnrecorded
from runner.job import Job
from runner.manager import JobManager
from runner.starting import StartRequest
from runner.workflow import find_workflow
from tests.simulation import workflows
from tests.simulation.being import Nature
from tests.simulation.process import SimProcess
from tests.simulation.store import GROUPS
from tests.simulation.world import World

_ODD = ("", "", "", "raise", "exit", "deaf", "swallow", "hungry")
_BY = "somebody"


class Deeds:
    """Each method without an argument is a deed; a mix names them. ``wild``: whether odd processes and jobs are born.

    ``places``: how often which deed fell where.
    """

    def __init__(self, seed: object, *, wild: bool) -> None:
        self.chance = random.Random(f"deeds {seed}")
        self.places: Counter[tuple[str, str]] = Counter()
        self._wild = wild
        self._keys: dict[str, str] = {}
        standby, slots = self.chance.randint(0, 2), self.chance.randint(1, 3)
        self.world = self._make_world(seed, standby=standby, max_running=slots)
        self.world.outside.faults = self.chance.choice([0.0, 0.1, 0.4]) if wild else 0.0

    def _make_world(self, seed: object, **settings: int) -> World:
        return World(seed, self._nature, **settings)

    def calm(self) -> None:
        """Nothing goes wrong from here on."""
        self.world.outside.calm()

    # -- asked for -------------------------------------------------------------------------------------------

    def start(self) -> None:
        name = self.chance.choice(["removal_queue", "removal_queue", "counted", "counted_frail"])
        self._start(name, self._removal() if name == "removal_queue" else self._count())

    def _start(self, name: str, given: dict[str, Any]) -> None:
        workflow = find_workflow(name)
        assert workflow is not None
        config = workflow.config.from_wire(given)
        timeout = self.chance.choice([300, 2000, 6000]) if self._wild and self.chance.random() < 0.15 else None
        most = 100 if self._wild else None
        key = (self.chance.choice("abc"), "the body") if self.chance.random() < 0.2 else None
        request = StartRequest(workflow, config, None, _BY, timeout_ms=timeout, max_memory_mb=most, key=key)

        def answered(answer: object) -> None:
            self._accepted(answer)
            if key is not None and isinstance(answer, str) and self._keys.setdefault(key[0], answer) != answer:
                self.world.oracle.found("one key makes one job", f"{self._keys[key[0]]} and {answer}")

        self._ask("start", lambda manager: manager.start(request), answered)

    def cancel(self) -> None:
        self._cancel(force=self._wild and self.chance.random() < 0.2)

    def pause(self) -> None:
        if job_id := self._some_job("pause"):
            self._ask("pause", lambda manager: manager.pause(job_id, _BY))

    def resume(self) -> None:
        paused = [
            row.id for row in self.world.oracle.rows.values() if row.status == "paused" or row.stop_reason == "pause"
        ]
        if job_id := self.chance.choice(paused) if paused else None:
            self.places["resume", self._place_of(job_id)] += 1
            self._ask("resume", lambda manager: manager.resume(job_id, _BY))

    def retry(self) -> None:
        over = [row.id for row in self.world.oracle.rows.values() if row.status in ("cancelled", "failed")]
        if job_id := self.chance.choice(over) if over else None:
            self._ask("retry", lambda manager: manager.retry(job_id, _BY), self._accepted)

    def delete(self) -> None:
        over = [row.id for row in self.world.oracle.rows.values() if row.is_over]
        if job_id := self.chance.choice(over) if over else None:
            self.places["delete", self._place_of(job_id)] += 1
            self._ask("delete", lambda manager: manager.delete(job_id, _BY))

    def _cancel(self, *, force: bool) -> None:
        job_id = self._some_job("cancel")
        if job_id is None:
            return
        oracle = self.world.oracle

        def answered(answer: object) -> None:
            if isinstance(answer, Job):
                oracle.cancelled.add(job_id)
                if oracle.rows[job_id].status != "cancelled":
                    oracle.found("a cancel is never lost", f"{job_id}: answered, and {oracle.rows[job_id].status}")
            elif isinstance(answer, StoppingUnrecorded) and answer.journalled:
                oracle.journalled.add(job_id)

        self._ask("cancel", lambda manager: manager.cancel(job_id, _BY, "no more", force=force), answered)

    def _accepted(self, answer: object) -> None:
        if isinstance(answer, str):
            self.world.oracle.accepted.add(answer)
            if answer not in self.world.oracle.rows:
                self.world.oracle.found("an accepted start is present", answer)

    def _ask(
        self, name: str, act: Callable[[JobManager], object], answered: Callable[[object], None] = lambda _: None
    ) -> None:
        if self.world.server is not None:
            self.world.server.ask(name, act, answered)

    # -- done to processes -----------------------------------------------------------------------------------

    def kill_child(self) -> None:
        if process := self._some_process("kill"):
            if process.run is not None and self.chance.random() < 0.2:
                process.dies_at_commit = True
            else:
                process.signal(signal.SIGKILL)

    def terminate_child(self) -> None:
        if process := self._some_process("terminate"):
            process.signal(signal.SIGTERM)

    def freeze_child(self) -> None:
        """Stopped, and mostly continued later."""
        if process := self._some_process("freeze"):
            process.signal(signal.SIGSTOP)
            if self.chance.random() < 0.7:
                self.world.turns.after(self.chance.choice([0.01, 1.0, 12.0]), process.go_on)

    # -- done to the server and its machine ------------------------------------------------------------------

    def kill_server(self) -> None:
        server = self.world.servers[-1]
        for process in self.world.hardware.living() if not server.is_dead else []:
            if process.run is not None:
                self.places["kill server", process.place] += 1
        server.kill()
        self._start_server_again([0.0001, 0.01, 0.5, 20.0])

    def freeze_server(self) -> None:
        seconds = self.chance.choice([0.5, 6.0, 25.0])
        self.world.servers[-1].freeze(seconds)
        self.places["freeze server", f"for {seconds} s"] += 1

    def drain(self) -> None:
        """SIGTERM; and perhaps the end comes before it is through."""
        server = self.world.server
        if server is None or server.supervisor.draining:
            return
        self.places["drain", ""] += 1
        server.drain()
        self.world.turns.direct(until=lambda: server.is_dead, seconds=self.chance.choice([0.01, 0.5, 100.0]))
        server.kill()
        self._start_server_again([0.0001, 0.1])

    def reboot(self) -> None:
        self.world.servers[-1].kill()
        self.world.hardware.reboot()
        self.places["reboot", ""] += 1
        self._start_server_again([30.0])

    def lose_store(self) -> None:
        seconds = self.chance.choice([0.05, 1.5, 8.0, 20.0])
        self.world.lose_store(seconds, reads=self.chance.random() < 0.4)
        self.places["lose store", f"for {seconds} s"] += 1

    def starve(self) -> None:
        """No process can be started for a while."""
        seconds = self.chance.choice([0.5, 5.0, 40.0])
        self.world.hardware.barren_until = self.world.turns.now + seconds
        self.world.oracle.disturbed(seconds)
        self.places["starve", f"for {seconds} s"] += 1

    def shift_clock(self) -> None:
        """The wall clock, by somebody's hand."""
        shift = self.chance.choice([-7200.0, -20.0, 20.0, 3500.0])
        self.world.turns.wall_shift += shift
        self.world.oracle.disturbed(60.0)
        self.places["shift clock", f"by {shift} s"] += 1

    def _start_server_again(self, pauses: list[float]) -> None:
        """Mostly it is up before the next deed."""
        self.world.turns.direct(seconds=self.chance.choice(pauses))
        server = self.world.start_server()
        if self.chance.random() < 0.8:
            self.world.turns.direct(until=lambda: server.is_up, seconds=60.0)

    # -- choosing --------------------------------------------------------------------------------------------

    def _some_job(self, deed: str) -> str | None:
        rows = self.world.oracle.rows
        live = [job_id for job_id, row in rows.items() if not row.is_over]
        chosen = live if live and self.chance.random() < 0.9 else list(rows)
        if not chosen:
            return None
        job_id = self.chance.choice(chosen)
        self.places[deed, self._place_of(job_id)] += 1
        return job_id

    def _some_process(self, deed: str) -> SimProcess | None:
        living = [one for one in self.world.hardware.living() if not one.dying]
        working = [one for one in living if one.run is not None]
        chosen = working if working and self.chance.random() < 0.9 else living
        if not chosen:
            return None
        process = self.chance.choice(chosen)
        self.places[deed, process.place] += 1
        return process

    def _place_of(self, job_id: str) -> str:
        row = self.world.oracle.rows[job_id]
        mine = [one for one in self.world.hardware.living() if one.run is not None and one.run.job_id == job_id]
        if row.is_over:
            return "ended" if not mine else "over, its process not yet"
        if mine:
            return mine[-1].place
        return "claimed, no process" if row.is_claimed else f"waiting ({row.status})"

    # -- drawing ---------------------------------------------------------------------------------------------

    def _removal(self) -> dict[str, Any]:
        chance = self.chance
        config = {"groupWaId": chance.choice(GROUPS), "batchSize": chance.choice([3, 5, 7])}
        return config | {"delayMs": chance.choice([0, 300, 700, 3000]), "dryRun": chance.random() < 0.1}

    def _count(self) -> dict[str, Any]:
        chance = self.chance
        config = {"key": chance.choice(workflows.LOCKS), "delayMs": chance.choice([0, 100, 500])}
        odd = {"odd": chance.choice(_ODD) if self._wild else "", "times": chance.randint(1, 4)}
        return config | odd | {"at": chance.randint(1, 4)}

    def _nature(self) -> Nature:
        chance = self.chance
        if not self._wild or chance.random() < 0.7:
            return Nature(dying_seconds=chance.choice([0.0, 0.0, 0.003]))
        return Nature(
            dying_seconds=chance.choice([0.0, 0.05, 2.0, 8.0]),
            children=chance.choice([0, 0, 1, 2]),
            ignores_term=chance.random() < 0.5,
            is_deaf=chance.random() < 0.3,
        )
