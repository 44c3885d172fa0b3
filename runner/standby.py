"""Processes started ahead, each used once: the few milliseconds of a start are spent before they are waited for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from runner.process import JobProcess

log = logging.getLogger(__name__)
_AFTER_FAILURE_SECONDS, _LONGEST_PAUSE = 1.0, 5.0


class StandbyPool:
    """Keeps ``size`` idle processes, and one more for each that somebody waits for. One thread starts them all.

    ``on_ready``: called from that thread whenever a process was added.
    """

    def __init__(self, start_process: Callable[[], JobProcess], size: int, on_ready: Callable[[], None]) -> None:
        self._start_process = start_process
        self._size = size
        self._on_ready = on_ready
        self._idle: deque[JobProcess] = deque()
        self._dismissed: list[JobProcess] = []
        self._wanted = 0
        self._over = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._fill, name="standby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self) -> JobProcess | None:
        """An idle process that is alive; None when there is none. The next one is begun by ``want``: the birth of
        that one must not hold up the job of this one.
        """
        with self._change:
            while self._idle:
                is_alive = self._idle[0].is_alive()  # where that cannot be told, it is still there the next time
                process = self._idle.popleft()
                if is_alive:
                    return process
                process.close()
            return None

    def want(self, count: int) -> None:
        """So many are waited for now, beside those that stand by. Called by the loop whenever something happened."""
        with self._change:
            self._wanted = count
            if self._has_need():
                self._change.notify()

    def put_back(self, process: JobProcess) -> None:
        """A process that was taken and not used."""
        if not self._add(process, first=True):
            process.dismiss()

    def pids(self) -> list[int]:
        with self._change:
            return [process.identity.pid for process in self._idle]

    def close(self) -> None:
        """Dismisses all idle processes; they end by themselves."""
        with self._change:
            self._over = True
            idle, self._idle = list(self._idle), deque()
            self._change.notify()
        self._dismissed += idle  # held: who is being born still needs what it was given
        for process in idle:
            process.dismiss()

    def _fill(self) -> None:
        pause = _AFTER_FAILURE_SECONDS
        while self._wait_for_need():
            try:
                process = self._start_process()
            except Exception:  # a fork server that dies meanwhile is no OSError, and there is no other thread
                log.debug("No process stands by", exc_info=True)  # Births has said why
                with self._change:
                    self._change.wait_for(lambda: self._over, pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            pause = _AFTER_FAILURE_SECONDS
            if not self._add(process):
                self._dismissed.append(process)
                process.dismiss()
                return
            self._on_ready()

    def _wait_for_need(self) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._over or self._has_need())
            return not self._over

    def _has_need(self) -> bool:
        return len(self._idle) < max(self._size, self._wanted)

    def _add(self, process: JobProcess, *, first: bool = False) -> bool:
        with self._change:
            if self._over:
                return False
            self._idle.insert(0 if first else len(self._idle), process)
            return True
