"""Simulated processes: the job's side is shipped code in an actor, the server's end has the face of ``JobProcess``."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runner.abort import AbortBell, AbortFlag
from runner.child import Ways, work
from runner.clock import Clock
from runner.context import Run
from runner.job import JsonDict, ProcessIdentity
from runner.process import JobProcess
from runner.settings import Settings
from runner.store import Store
from runner.tree import JobTree
from tests.simulation.being import FIRST_PID, Being, Nature
from tests.simulation.turns import Actor, Unwound

if TYPE_CHECKING:
    from tests.simulation.machine import Hardware


class SimFlag(AbortFlag):
    """The process's end of the flag: set when it was rung, or when the server is gone."""

    def __init__(self, process: SimProcess) -> None:
        self._process = process

    def is_set(self) -> bool:
        self._process.turns.check()
        return self._process.is_rung

    def wait(self, seconds: float) -> bool:
        process = self._process
        process.place = "in the delay" if process.place == "between batches" else process.place
        process.turns.pause("wait", until=process.turns.now + max(0.0, seconds), ready=lambda: process.is_rung)
        process.place = "between batches" if process.place == "in the delay" else process.place
        return process.is_rung


class SimBell(AbortBell):
    """The server's end of the flag."""

    def __init__(self, process: SimProcess) -> None:
        self._process = process
        self.marker = ""

    def ring(self) -> None:
        self._process.is_rung = True

    def close(self) -> None:
        """There is nothing to close."""


class Channel:
    """The server's end of the control pipe, known to the selector by a number of its own."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number


class SimProcess(Being, JobProcess):  # type: ignore[misc]  # both say who it is
    """One process for at most one job. ``place``: where in its work it stands, for the histogram."""

    hung_up = False  # it hangs up by dying
    fault = overdue_at = None  # no workflow of these speaks for itself

    def __init__(self, hardware: Hardware, nature: Nature, started_by: int) -> None:
        Being.__init__(self, hardware, nature)
        self.turns = hardware.turns
        self.started_by = started_by
        self.bell = SimBell(self)
        self.flag = SimFlag(self)
        self.is_rung = False
        self.preloaded = True
        self.run: Run | None = None
        self.place = "idle"
        self.dies_at_commit = False
        self.memory_mb = 20.0
        self.orphans: list[Being] = []
        self._outbox: list[JsonDict] = []
        self._actor: Actor | None = None
        self._sentinel = self.identity.pid * 2
        self.control: Any = Channel(self._sentinel + 1)

    # -- the server's end ------------------------------------------------------------------------------------

    @property
    def sentinel(self) -> int:
        return self._sentinel

    def is_readable(self, number: int) -> bool:
        return self.dead or (number != self._sentinel and bool(self._outbox))

    def hand_over(self, run: Run, settings: JsonDict) -> None:
        self.turns.pause(f"hand over to {self.identity.pid}")
        if self.dying or self._actor is not None:
            raise BrokenPipeError
        handed = json.loads(json.dumps({"run": vars(run), "settings": settings}))
        self.run, self.place = Run(**handed["run"]), "handing over"
        self.orphans = [Being(self.hardware, self.nature) for _ in range(self.nature.children)]
        self._actor = self.turns.spawn(
            f"{run.mode} {self.identity.pid - FIRST_PID}", lambda: self._work(handed), self._exit
        )
        self._actor.frozen = self.stopped

    def messages(self, *, to_the_last: bool = False) -> Iterator[JsonDict]:
        while self._outbox:
            yield self._outbox.pop(0)
        self.hung_up = self.dead

    def is_alive(self) -> bool:
        return not self.dead

    def exit_code(self) -> int | None:
        return self.code if self.dead else None

    def tree(self, job_id: str) -> JobTree:
        return SimTree(self.identity, job_id, "", None, frozenset(), process=self)

    @property
    def containment(self) -> str:
        return "subreaper"

    def examine(self) -> None:
        """What it says when it is asked where it is does not matter here."""

    def post_mortem(self) -> JsonDict | None:
        return None

    def log_tail(self, lines: int = 200) -> list[str]:
        return []

    def send_away(self) -> None:
        if self._actor is None:
            self.turns.after(0.001, lambda: self.die(0))

    def dismiss(self) -> None:
        self.send_away()

    def close(self) -> None:
        """There is nothing to give back."""

    # -- the job's end ---------------------------------------------------------------------------------------

    def _work(self, handed: JsonDict) -> None:
        work(
            handed,
            Ways(self._open_store, self.flag, self._say, self._show, self.turns.chance.random),
            self.turns.clock(),
        )
        self.turns.pause("exit")

    def _open_store(self, _settings: Settings, _clock: Clock) -> Store:
        assert self.run is not None
        self.place = "settling" if self.run.mode == "settle" else "between batches"
        return self.hardware.store_of_job(self)

    def _show(self, value: JsonDict) -> None:
        assert self.run is not None
        self.hardware.lines[self.run.job_id] = value

    def _say(self, message: JsonDict) -> None:
        if "ended" in message:
            self.place = "ending"
        self.turns.pause(f"say {message}")
        self._outbox.append(message)

    def _exit(self) -> None:
        """A job that ends by itself takes along what it started."""
        for orphan in self.orphans:
            orphan.die(-signal.SIGKILL)
        self.die(0)

    def exit_now(self, code: int) -> None:
        """As ``os._exit``, in the job's own actor."""
        self.die(code)
        raise Unwound

    def committed(self, has_open: bool) -> None:
        """Where it stands after its own commit."""
        if has_open and self.place in ("between batches", "in the delay"):
            self.place = "between intent and call"
        elif not has_open and self.place in ("between intent and call", "between call and commit"):
            self.place = "between batches"

    def dies_in_commit(self) -> bool:
        if self.dies_at_commit:
            self.die(-signal.SIGKILL)
        return self.dying

    def die(self, code: int) -> None:
        super().die(code)
        if self._actor is not None:
            self.turns.doom(self._actor)

    def _stop(self, stopped: bool) -> None:
        super()._stop(stopped)
        if self._actor is not None:
            self._actor.frozen = self.stopped

    def server_died(self) -> None:
        """End of file on the flag's pipe; the watcher ends the tree, unless the job is deep in C code."""
        self.is_rung = True
        if not self.nature.is_deaf:
            self.turns.after(self.turns.chance.random() * 0.02, self._end_with_server)

    def _end_with_server(self) -> None:
        for orphan in self.orphans:
            orphan.die(-signal.SIGKILL)
        self.die(1)


class SimTree(JobTree):
    """A job's process and what it started."""

    def __init__(self, *args: Any, process: SimProcess) -> None:
        super().__init__(*args)
        object.__setattr__(self, "_process", process)

    def _beings(self) -> list[Being]:
        process: SimProcess = self.__dict__["_process"]
        return [being for being in [*process.orphans, process] if not being.dead]

    def members(self) -> list[ProcessIdentity]:
        return [being.identity for being in self._beings()]

    def is_empty(self) -> bool:
        return not self._beings()

    def signal_all(self, number: int) -> list[int]:
        return [being.identity.pid for being in self._beings() if being.signal(number)]

    def kill(self) -> list[int]:
        for being in self._beings():
            being.signal(signal.SIGSTOP)
        return self.signal_all(signal.SIGKILL)
