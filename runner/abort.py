"""The abort flag: what carries a stop from the server into a job's process.

A ``multiprocessing.Event`` alone is a trap: if a process dies or is stopped inside ``Event.wait()``, the next
``set()`` elsewhere never returns. So nobody waits on the Event. Beside it stands a pipe: the flag is *set* when the
pipe is readable or the Event is set. Whoever waits sleeps on the pipe, and never drains it.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any


class AbortFlag:
    """The process's end: asks, and sleeps until the flag is set. Goes to a process only at its birth."""

    def __init__(self, event: Any, bell: Connection) -> None:
        self._event = event
        self._bell = bell

    def is_set(self) -> bool:
        """Set, or the server is gone (end-of-file on the pipe is readable too)."""
        return self._rung(0.0) or bool(self._event.is_set())

    def wait(self, seconds: float) -> bool:
        """Sleeps until the flag is set, at most so long; tells whether it is."""
        return self._rung(max(0.0, seconds)) or bool(self._event.is_set())

    def _rung(self, seconds: float) -> bool:
        poller = select.poll()
        poller.register(self._bell.fileno(), select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def marker(self) -> str:
        """What ``/proc/<pid>/fd`` shows for the pipe in every process that inherited it."""
        return f"pipe:[{os.fstat(self._bell.fileno()).st_ino}]"


class AbortBell:
    """The server's end: sets the flag, once, without ever blocking the caller."""

    def __init__(self, context: BaseContext) -> None:
        reader, self._writer = context.Pipe(duplex=False)
        self._event = context.Event()
        self._rung = False
        self.flag = AbortFlag(self._event, reader)
        self.marker = self.flag.marker()

    def forget_child_end(self) -> None:
        """Closes the server's copy of the process's end, so that only processes of the job hold it."""
        self.flag._bell.close()

    def ring(self) -> None:
        """The pipe first, which cannot block; the Event in a thread we can afford to lose.

        Where no thread can be started the pipe has to do, and it does: the flag is set by either.
        """
        if self._rung:
            return
        self._rung = True
        with contextlib.suppress(OSError):
            self._writer.send_bytes(b"stop")
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._event.set, name="abort-event", daemon=True).start()

    def close(self) -> None:
        self._writer.close()
