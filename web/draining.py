"""Going down in order: on the first signal the jobs are stopped while the server still answers."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType

from runner.manager import JobManager

log = logging.getLogger(__name__)

STOPPED, BROKEN, FORCED, ABANDONED = 0, 1, 3, 4
"""Exit codes: all jobs stopped by themselves; draining failed; some had to be forced, or are concluded only by the next
start; a second signal, jobs left."""

_LEAVE_SECONDS = 15.0
"""How long the last steps may take, once no job runs any more."""


class Draining:
    """``code``: what to exit with. waitress swallows what a SystemExit carries, so it is kept here."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._begun = self._is_done = False
        self._is_over = threading.Event()
        self.code = STOPPED

    def listen(self) -> None:
        """From here on SIGTERM and Ctrl-C drain, and a second one ends at once; so does a terminal that closes, but
        that may say so twice. From the main thread.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._begin)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, self._hang_up)
        signal.signal(signal.SIGUSR1, self._leave)

    def over(self) -> None:
        """All is done. A signal in the last moments changes neither that nor the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        self._is_over.set()

    def _begin(self, _number: int, _frame: FrameType | None) -> None:
        if self._begun:
            # Jobs and Manager notice by themselves that the server is gone. Nothing else may be waited for here.
            os._exit(ABANDONED)
        self._hang_up(_number, _frame)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _drain(self) -> None:
        log.info(
            "Going down: jobs stop at their next checkpoint, to go on at the next start; a second signal ends at once"
        )
        try:
            forced = self._manager.drain(threading.Event())
            self.code = FORCED if forced else STOPPED
        except Exception:
            log.exception("Draining failed")
            self.code = BROKEN
        self._is_done = True
        os.kill(os.getpid(), signal.SIGUSR1)
        if not self._is_over.wait(_LEAVE_SECONDS):  # the main thread hangs on something; no job does any more
            os._exit(self.code)

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        """By our own hand alone: from whoever else the signal means nothing here."""
        if self._is_done:
            raise SystemExit(self.code)
