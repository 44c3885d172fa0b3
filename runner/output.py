"""What jobs print: the last of it is kept, and it goes on to the server's console.

One thread reads for all of them, so that a job that prints without end holds up nobody but itself; another writes to
the console. Nothing here waits for a pipe's end: a process that a job left behind keeps it open.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import threading
from collections import deque

from runner.clock import Clock
from runner.console import STDERR, Console, ConsoleShare

log = logging.getLogger(__name__)
KEPT_BYTES = 1_000_000
"""The last of what a process and all below it have printed; less where more than 64 processes print."""

_KEPT_IN_ALL = 64_000_000
_KEPT_AT_LEAST = 64_000
_READ_BYTES = 65_536
_UNSAID_BYTES = 262_144
_PAUSE_SECONDS = 0.2
_LAST_SECONDS = 0.5


class Output:
    """The server's end of one process's output. From any thread; never blocks."""

    def __init__(self, descriptor: int, pid: int, reader: OutputReader | None = None) -> None:
        self._descriptor: int | None = descriptor
        self._reader = reader or _reader
        self._kept = bytearray()
        self._unsaid = bytearray()
        self._share = ConsoleShare(pid)
        self._lock = threading.Lock()
        self._is_watched = True
        os.set_blocking(descriptor, False)
        self._reader.watch(descriptor, self)

    def belongs_to(self, job_id: str) -> None:
        """Whose it is: said on each line from here on."""
        with self._lock:
            self._share.name = job_id

    def pull(self) -> None:
        """Takes in what is there now, up to what a pipe holds."""
        with self._lock:
            self._pull()

    def tail(self, lines: int) -> list[str]:
        """The last lines, with all that is there by now. What is no UTF-8 is replaced; control characters stay."""
        with self._lock:
            self._pull()
            start = len(self._kept) - self._kept.endswith(b"\n")
            for _ in range(lines):
                start = self._kept.rfind(b"\n", 0, max(0, start))
                if start < 0:
                    break
            text = self._kept[start + 1 :].decode(errors="replace")
        return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text and lines else []

    def close(self) -> None:
        """Keeps the last of it and gives back the descriptor. Whoever still prints, prints to nobody."""
        with self._lock:
            if self._descriptor is None:
                return
            self._pull()
            self._unwatch()
            os.close(self._descriptor)
            self._descriptor = None
        self._reader.look(self)

    def say(self, console: Console, now: float) -> float | None:
        """Hands on what is new; returns when there is something left to say. By the reader's thread alone."""
        with self._lock:
            unsaid, self._unsaid = bytes(self._unsaid), bytearray()
            part = self._share.part_of(unsaid, now, is_over=self._descriptor is None)
            due_at = self._share.due_at
        console.write(part)
        return due_at

    def _pull(self) -> None:
        if self._descriptor is None:
            return
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._unwatch()
            return
        self._kept += data
        limit = self._reader.kept_bytes()
        if len(self._kept) > limit:
            del self._kept[: len(self._kept) - limit]
        room = _UNSAID_BYTES - len(self._unsaid)
        self._share.left_out += len(data[room:])
        self._unsaid += data[:room]
        self._reader.look(self)

    def _unwatch(self) -> None:
        """While the descriptor is open: a number that is somebody else's by now must not be let go."""
        if self._is_watched and self._descriptor is not None:
            self._is_watched = False
            self._reader.unwatch(self._descriptor)


class OutputReader:
    """The thread, begun with the first process and ended with the server. ``console``: or its descriptor, if any."""

    def __init__(self, console: Console | int | None = None) -> None:
        self._console = console if isinstance(console, Console) else Console(console)
        self._clock = Clock()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._news: deque[Output] = deque()
        self._owing: dict[Output, float] = {}
        self._watched = 0
        self._over_at: float | None = None

    def watch(self, descriptor: int, output: Output) -> None:
        with self._lock:
            if self._thread is None:
                self._begin()
            self._watched += 1
        self._selector.register(descriptor, selectors.EVENT_READ, output)

    def unwatch(self, descriptor: int) -> None:
        with self._lock:
            self._watched -= 1
        self._selector.unregister(descriptor)

    def kept_bytes(self) -> int:
        """How much of one process's output is kept now."""
        return max(_KEPT_AT_LEAST, min(KEPT_BYTES, _KEPT_IN_ALL // max(1, self._watched)))

    def watched(self) -> int:
        """How many still may print."""
        return self._watched

    def look(self, output: Output) -> None:
        """It has something to say."""
        self._news.append(output)
        if threading.current_thread() is not self._thread:
            self._ring()

    def _begin(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell_out, self._bell_in = os.pipe()
        for end in (self._bell_out, self._bell_in):
            os.set_blocking(end, False)
        self._selector.register(self._bell_out, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read_on, name="job-output", daemon=True)
        self._thread.start()
        atexit.register(self.finish)

    def finish(self) -> None:
        """At the interpreter's end: what was read is said, as far as the console takes it within half a second."""
        if self._thread is not None:
            self._over_at = self._clock.boot_seconds() + _LAST_SECONDS
            self._ring()
            self._thread.join(_LAST_SECONDS)
            self._console.finish(max(0.0, self._over_at - self._clock.boot_seconds()))

    def _is_over(self) -> bool:
        if self._over_at is None:
            return False
        return not self._news or self._clock.boot_seconds() > self._over_at

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell_in, b"!")

    def _read_on(self) -> None:
        pause = threading.Event()
        while not self._is_over():
            try:
                self._turn()
            except Exception:
                log.exception("The reader of the jobs' output stumbled; it goes on")
                pause.wait(_PAUSE_SECONDS)

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._wait_seconds()):
            if key.data is not None:
                key.data.pull()
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell_out, 4096)
        now = self._clock.boot_seconds()
        outputs = {self._news.popleft() for _ in range(len(self._news))}
        outputs |= {output for output, at in self._owing.items() if at <= now}
        for output in outputs:
            due_at = output.say(self._console, now)
            self._owing.pop(output, None)
            if due_at is not None:
                self._owing[output] = due_at

    def _wait_seconds(self) -> float | None:
        if self._owing:
            return max(0.0, min(self._owing.values()) - self._clock.boot_seconds())
        return None


_reader = OutputReader(STDERR)
