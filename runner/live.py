"""Live progress: one Manager-backed dict for all jobs.

It only makes progress fresher between commits. A dead or stopped Manager costs that freshness for a second or two and
nothing else: a job writes from a thread it can afford to lose, one thread of the server copies, another replaces the
Manager, and nobody else touches the dict.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.process
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from runner.clock import Clock
from runner.fork_server import collect, start_born
from runner.job import JsonDict, ProcessIdentity
from runner.lines import Key, Lines, LinesLost, SharedLines, serve
from runner.tree import identify, send_signal
from runner.watch import leave_signals_to_main

log = logging.getLogger(__name__)
COPY_SECONDS = 0.25
_FIRST_AGAIN, _LAST_AGAIN = 0.05, 0.5
_ROUNDS_TO_SWEEP = 40
_LOOK_SECONDS, _LOOKS = 0.25, 6
_SILENT_SECONDS = _LOOK_SECONDS * _LOOKS
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_MOST_DOUBLINGS = 10
_END_SECONDS, _END_LOOKS = 1.0, 100


class LiveLine:
    """A job's end: remembers the newest value, and writes it from a thread of its own, started at the first.

    The thread sleeps until there is a new value, or the Manager is gone: then the newest is written to the next one.
    """

    def __init__(self, shared: SharedLines, job_id: str) -> None:
        self._shared = shared
        self._key: Key = (job_id, os.getpid())
        self._newest: JsonDict = {}
        self._bell: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    def show(self, value: JsonDict) -> None:
        """Never blocks, never fails; of many values in quick succession the last is sure to be written."""
        self._newest = dict(value)
        with contextlib.suppress(OSError, RuntimeError):  # a full pipe has rung already; no descriptor or thread left
            if self._thread is None:
                self._begin()
            elif self._bell is not None:
                os.write(self._bell[1], b"!")

    def _begin(self) -> None:
        if self._bell is None:
            self._bell = os.pipe()
            for end in self._bell:
                os.set_blocking(end, False)
        thread = threading.Thread(target=self._write_on, args=(self._bell[0],), name="live-progress", daemon=True)
        thread.start()
        self._thread = thread

    def _write_on(self, bell: int) -> None:
        leave_signals_to_main()
        pause = threading.Event()
        seconds = _FIRST_AGAIN
        while True:
            with contextlib.suppress(LinesLost):
                lines = self._shared.connect()
                seconds = _FIRST_AGAIN
                self._write_until_lost(lines, bell, pause)
            pause.wait(seconds)
            seconds = min(_LAST_AGAIN, seconds * 2)

    def _write_until_lost(self, lines: Lines, bell: int, pause: threading.Event) -> None:
        while True:
            with contextlib.suppress(BlockingIOError):
                os.read(bell, 65536)
            lines.write(self._key, self._newest)
            pause.wait(COPY_SECONDS)
            if lines.fileno() in wait([bell, lines.fileno()]):
                raise LinesLost


class LiveProgress:
    """The server's end: the Manager, and the copy that is read.

    One thread copies, and hangs for as long as the Manager is stopped. The other never asks the Manager: it waits for
    its end, kills one that does not answer the first thread, and starts the next.
    ``on_started``, ``on_ended``: called with the pid of a Manager, from whatever thread. ``folder``: for its socket.
    """

    def __init__(self, context: ForkServerContext, clock: Clock, folder: Path | None = None) -> None:
        self.shared = SharedLines(folder)
        self.on_started: Callable[[int], object] = lambda _: None
        self.on_ended: Callable[[int], object] = lambda _: None
        self._context, self._clock = context, clock
        self._wanted: Callable[[], bool] = lambda: False
        self._copy: dict[str, JsonDict] = {}
        self._ended: deque[str] = deque(maxlen=10_000)
        self._process: BaseProcess | None = None
        self._identity: ProcessIdentity | None = None
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._rounds = 0  # that were good
        self._good_at = clock.boot_seconds()
        self._answered = self._warned = False
        self._fruitless = 0  # Managers in a row that never answered

    def start(self, wanted: Callable[[], bool]) -> None:
        """``wanted()``: whether anybody is running, so that there is something to copy."""
        self._wanted = wanted
        self._good_at = self._clock.boot_seconds()
        self._process = self._begin()
        for name, act in (("live-progress-copy", self._copy_on), ("live-progress-watch", self._watch_on)):
            self._threads.append(threading.Thread(target=act, name=name, daemon=True))
            self._threads[-1].start()

    @property
    def pid(self) -> int | None:
        """Of the Manager that was started last."""
        return self._identity.pid if self._identity is not None else None

    def state(self) -> str:
        """ "ok", or what is wrong."""
        silent = self._clock.boot_seconds() - self._good_at
        return "ok" if silent < _SILENT_SECONDS else f"no live progress for {silent:.0f} s"

    def of(self, job_id: str) -> JsonDict | None:
        """What the job last said, as of the last copy."""
        return self._copy.get(job_id)

    def forget(self, job_id: str) -> None:
        """A run of the job has ended, and its process is gone: its line is not kept."""
        self._ended.append(job_id)
        self._copy.pop(job_id, None)

    def close(self) -> None:
        """Ends the Manager without asking it: it may not be able to answer."""
        self._over.set()
        self._kill()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        with contextlib.suppress(OSError):
            Path(self.shared.address).unlink()

    # -- copying ---------------------------------------------------------------------------------------------

    def _copy_on(self) -> None:
        lines: Lines | None = None
        while not self._over.wait(COPY_SECONDS):
            try:
                if self._ended or self._wanted() or not self._answered:
                    lines = lines or self.shared.connect()
                    self._copy_once(lines)
                self._note_good()
            except (LinesLost, OSError):  # or out of descriptors: there is no other thread
                lines = None

    def _copy_once(self, lines: Lines) -> None:
        """Takes over what is new. What was copied from an earlier Manager stays: its job may say nothing new.

        A line goes when its process is gone. Only those of runs that ended are looked at, and now and then all: what
        a process wrote last may have come after its end was seen.
        """
        ended = {self._ended.popleft() for _ in range(len(self._ended))}
        for job_id in ended:
            self._copy.pop(job_id, None)
        found = lines.copy()
        sweeps = self._rounds % _ROUNDS_TO_SWEEP == 0
        for key in [key for key in found if sweeps or key[0] in ended]:
            if identify(key[1], self._clock.boot_id) is None:
                lines.drop(key)
                del found[key]
        self._copy.update({job_id: value for (job_id, _), value in found.items()})

    def _note_good(self) -> None:
        self._rounds += 1
        self._good_at = self._clock.boot_seconds()
        if not self._answered and self._warned:
            log.info("Live progress is back")
            self._warned = False
        self._answered = True

    # -- the Manager -----------------------------------------------------------------------------------------

    def _watch_on(self) -> None:
        while self._process is not None or not self._over.is_set():
            if self._process is None:
                self._process = self._begin()
            else:
                silent = self._wait_until_useless(self._process)
                code = self._end(self._process)
                self._process = None
                self._warn(
                    "The Manager of live progress %s", "does not answer" if silent else f"is gone (exit code {code})"
                )
            self._over.wait(self._pause_seconds())

    def _begin(self) -> BaseProcess | None:
        """A new Manager; None when none can be started now."""
        self._answered = False
        try:
            process = self._context.Process(target=serve, args=(self.shared.address,), name="live", daemon=True)
            start_born(process, self._clock.boot_id)
        except Exception as error:  # a fork server that dies meanwhile is no OSError, and there is no other thread
            self._fruitless += 1
            self._warn("Cannot start a Manager of live progress: %r", error)
            return None
        # off multiprocessing's own list: each start polls who is on it, and two threads that do lose an exit code
        getattr(multiprocessing.process, "_children", set()).discard(process)
        pid = int(process.pid or 0)
        self.on_started(pid)
        self._identity = ProcessIdentity(pid, -1, self._clock.boot_id)
        with contextlib.suppress(OSError):
            self._identity = identify(pid, self._clock.boot_id) or self._identity
        if self._over.is_set():
            self._kill()
        return process

    def _wait_until_useless(self, process: BaseProcess) -> bool:
        """Returns once the process is gone, or has not answered for too long: True. Time that this server was itself
        stopped does not count; one that never answered is followed by one that is given more time.
        """
        looks, rounds = 0, self._rounds
        most = _LOOKS << min(self._fruitless, _MOST_DOUBLINGS)
        while looks < most:
            if wait([process.sentinel], _LOOK_SECONDS):
                return False
            looks = looks + 1 if self._rounds == rounds else 0
            rounds = self._rounds
        return True

    def _kill(self) -> None:
        if self._identity is not None:
            send_signal(self._identity, signal.SIGKILL, self._clock.boot_id)

    def _end(self, process: BaseProcess) -> int | None:
        """Also of one that is gone: if the fork server died, it only looks so. Returns its exit code."""
        self._kill()
        process.join(_END_SECONDS)
        code = process.exitcode
        with contextlib.suppress(ValueError):
            process.close()
        self._fruitless = 0 if self._answered else self._fruitless + 1
        if self._identity is None:
            return code
        found = self._collect(self._identity) if code in (None, 255) else None
        self.on_ended(self._identity.pid)
        return code if found is None else found

    def _collect(self, manager: ProcessIdentity) -> int | None:
        """If the fork server died the Manager becomes our own child: a moment after both are dead."""
        pause = threading.Event()
        for _ in range(_END_LOOKS):
            if (code := collect(manager)) is not None:
                return code
            pause.wait(_END_SECONDS / _END_LOOKS)
        return None

    def _pause_seconds(self) -> float:
        """None before the first try; then doubling while none answers."""
        tries = min(self._fruitless, _MOST_DOUBLINGS)
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tries - 1)) if tries else 0.0

    def _warn(self, text: str, what: object) -> None:
        """Once, until there is live progress again."""
        if not self._warned and not self._over.is_set():
            log.warning(text + "; progress is shown as of the last copy or commit until another one answers", what)
            self._warned = True
