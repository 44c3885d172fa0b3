"""Live progress: one Manager-backed dict for all jobs, keyed by job id.

It only makes progress fresher between commits. A dead or stopped Manager costs that freshness and nothing else: a
job writes from a thread it can afford to lose, one thread of the server copies, and nobody else touches the proxy.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.context import BaseContext
from multiprocessing.managers import DictProxy, SyncManager
from multiprocessing.process import current_process
from typing import Any

from runner.job import JsonDict
from runner.watch import end_with_server

log = logging.getLogger(__name__)
COPY_SECONDS = 0.25
_GONE = (OSError, EOFError, BrokenPipeError, AttributeError, KeyError, TypeError)


class SharedLines:
    """Where the shared dict is. Goes to a process at its birth; whoever first writes connects.

    The proxy itself would connect as soon as the process is born, and again when it ends: with a Manager that is
    stopped no job could begin, and none could end.
    """

    def __init__(self, proxy: Any) -> None:
        self._token = proxy._token

    def connect(self) -> Any:
        return DictProxy(self._token, "pickle", authkey=current_process().authkey, incref=False)


class LiveLine:
    """A job's end: remembers the newest value, and writes it from a thread of its own, started at the first."""

    def __init__(self, shared: Any, job_id: str) -> None:
        self._shared = shared
        self._job_id = job_id
        self._newest: JsonDict | None = None
        self._fresh = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, value: JsonDict) -> None:
        """Never blocks, never fails; of many values in quick succession the last is sure to be written."""
        self._newest = dict(value)
        self._fresh.set()
        if self._thread is None and self._shared is not None:
            self._thread = threading.Thread(target=self._write_on, name="live-progress", daemon=True)
            self._thread.start()

    def _write_on(self) -> None:
        pause = threading.Event()
        lines = self._shared.connect()
        while True:
            self._fresh.wait()
            self._fresh.clear()
            with contextlib.suppress(*_GONE):
                lines[self._job_id] = self._newest
            pause.wait(COPY_SECONDS)


class LiveProgress:
    """The server's end: the Manager, and the copy that is read."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self._manager: SyncManager | None = None
        self.shared: SharedLines | None = None
        self._lines: Any = None
        self._copy: dict[str, JsonDict] = {}
        self._ended: deque[str] = deque(maxlen=10_000)
        self._over = threading.Event()
        self._wanted: Callable[[], bool] = lambda: False
        self._thread = threading.Thread(target=self._copy_on, name="live-progress-copy", daemon=True)

    def start(self, wanted: Callable[[], bool]) -> None:
        """``wanted()``: whether anybody is running, so that there is something to copy."""
        self._wanted = wanted
        manager = SyncManager(ctx=self._context)
        manager.start(initializer=_manager_begins)
        self._manager, self._lines = manager, manager.dict()
        self.shared = SharedLines(self._lines)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        process = getattr(self._manager, "_process", None)
        return process.pid if process is not None else None

    def of(self, job_id: str) -> JsonDict | None:
        """What the job last said, as of the last copy."""
        return self._copy.get(job_id)

    def forget(self, job_id: str) -> None:
        """A job has ended: its line is not kept."""
        self._copy.pop(job_id, None)
        self._ended.append(job_id)

    def close(self) -> None:
        """Ends the Manager without asking it: it may not be able to answer."""
        self._over.set()
        process = getattr(self._manager, "_process", None)
        if process is not None and process.is_alive():
            process.kill()
            process.join(1.0)

    def _copy_on(self) -> None:
        failing = False
        while not self._over.wait(COPY_SECONDS):
            if not (self._ended or self._wanted()):
                continue
            try:
                while self._ended:
                    self._lines.pop(self._ended.popleft(), None)
                self._copy = self._lines.copy()
                failing = False
            except _GONE:
                if not failing:
                    log.warning("Live progress is not to be had; it is shown as of each job's last commit")
                failing = True


def _manager_begins() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_server()
