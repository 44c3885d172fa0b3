"""The machine that jobs run on: its fork server, its processes, live progress, and what an earlier server left on it.

The one thing below the manager that a simulation replaces.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from runner.births import BIRTHS, BirthWatch
from runner.clock import Clock
from runner.containment import Containment
from runner.fork_server import fork_server_pid, raise_file_limit, replace_fork_server, start_fork_server
from runner.job import Job, JsonDict
from runner.live import LiveProgress
from runner.loading import for_the_fork_server
from runner.process import JobProcess, also_ours, ours_no_more
from runner.settings import Settings
from runner.sockets import socket_folder
from runner.standby import StandbyPool
from runner.sweep import Survivors, sweep
from runner.tree import server_mark


class Pool(Protocol):
    """Processes that stand by, each given out once."""

    def start(self) -> None: ...

    def take(self) -> JobProcess | None:
        """One that is alive; None when there is none now."""

    def want(self, count: int) -> None:
        """So many are waited for now."""

    def put_back(self, process: JobProcess) -> None:
        """One that was taken and not used."""

    def pids(self) -> list[int]: ...

    def close(self) -> None: ...


class Live(Protocol):
    """What jobs say between commits."""

    @property
    def pid(self) -> int | None: ...

    def of(self, job_id: str) -> JsonDict | None: ...

    def forget(self, job_id: str) -> None: ...

    def state(self) -> str:
        """ "ok", or what is wrong; never blocks."""

    def close(self) -> None: ...


class Machine:
    """This machine. ``prepare`` and ``begin`` once each, from the main thread.

    Raises NoPlaceForSockets when it is made.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._context = multiprocessing.get_context("forkserver")
        self._folder = socket_folder(settings.home, os.environ.get("XDG_RUNTIME_DIR"))
        self._live = LiveProgress(self._context, clock, self._folder)
        self._containment = Containment(settings.containment, settings.url, clock)
        self._watch = BirthWatch(BIRTHS, fork_server_pid, replace_fork_server)
        self._thread: threading.Thread | None = None
        self.live: Live = self._live

    def prepare(self) -> None:
        """Starts the fork server, with all that jobs need loaded."""
        raise_file_limit()
        mark = server_mark(self._settings.url, self._clock)
        start_fork_server(self._context, for_the_fork_server(self._settings.workflow_modules), mark, self._folder)
        self._watch.start()
        self._containment.open()

    def births(self) -> str:
        """ "ok", or why no process can be started."""
        return BIRTHS.state()

    def pool(self, on_ready: Callable[[], None]) -> Pool:
        """``on_ready``: called from another thread whenever a process was added."""
        return StandbyPool(self._start_process, self._settings.standby, on_ready)

    def selector(self) -> selectors.BaseSelector:
        return selectors.DefaultSelector()

    def sweep(self, left: Sequence[Job], seconds: float) -> Survivors:
        """Ends what an earlier server left of these jobs; returns who would not die within so many seconds."""
        return sweep(left, self._settings.url, self._clock, seconds)

    def begin(self, loop: Callable[[], None], is_busy: Callable[[], bool]) -> None:
        """Runs ``loop`` in a thread of its own. ``is_busy``: whether a job runs, so that there is progress to copy."""
        self._live.on_started, self._live.on_ended = also_ours, ours_no_more
        self._live.start(wanted=is_busy)
        self._thread = threading.Thread(target=loop, name="supervisor", daemon=True)
        self._thread.start()

    def wait_for_loop(self, seconds: float) -> bool:
        """Whether the loop has ended within so many seconds."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Removes what was made to hold the processes, once they have gone."""
        self._watch.close()
        self._containment.close()

    def _start_process(self) -> JobProcess:
        return JobProcess(self._context, self._live.shared, self._clock, self._containment)
