"""The server's console, shared by its log and all that jobs print: bounded for each, and never waited for."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading

from runner.visible import visible

A_SECOND = 256_000
"""Bytes a second that one process and those below it have of the console; what is beyond is only counted."""

_LONGEST_LINE = 8_192
_PENDING_BYTES = 1_000_000
_AT_ONCE = 4_096  # what a pipe takes in one piece
_AT_LEAST = 256  # for what a terminal has room that says that it can be written to

JOBS_PRINTED, OF_THE_LOG = "that jobs printed", "of the log"
"""Whose lines were left out."""


class ConsoleShare:
    """What one process may say on the console: whole lines, each marked as its own.

    All that would act (colours, bells, moves of the cursor) is shown instead, so that nobody takes a line for the
    server's. ``left_out``: bytes not yet told of. ``due_at``: when they are to be told of, in boot seconds. ``name``:
    whose lines they are, once that is known.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.name = f"process {pid}"
        self._begun = b""
        self._since = 0.0
        self._said = 0
        self.left_out = 0

    @property
    def due_at(self) -> float | None:
        return self._since + 1.0 if self.left_out else None

    def part_of(self, data: bytes, now: float, *, is_over: bool = False) -> bytes:
        """What of it goes on to the console now. ``is_over``: nothing follows."""
        before = b""
        if is_over or now - self._since >= 1.0:
            before = self._told()
            self._since, self._said = now, 0
        whole = self._whole_lines(data, is_over=is_over)
        room = 0 if self.left_out else A_SECOND - self._said
        shown, taken = bytearray(), 0
        while taken < len(whole):
            end = whole.index(b"\n", taken) + 1
            line = self._marked(whole[taken : end - 1])
            if len(shown) + len(line) > room:
                break
            shown += line
            taken = end
        self.left_out += len(whole) - taken
        self._said += len(shown)
        return before + bytes(shown) + (self._told() if is_over else b"")

    def _marked(self, line: bytes) -> bytes:
        text = visible(line.removesuffix(b"\r").decode(errors="backslashreplace"))
        return f"[{self.name}] {text}\n".encode()

    def _whole_lines(self, data: bytes, *, is_over: bool) -> bytes:
        text = self._begun + data
        end = text.rfind(b"\n") + 1
        if is_over or len(text) - end > _LONGEST_LINE:
            cut = len(text) if is_over else _end_of_characters(text)
            text, self._begun = text[:cut], text[cut:]
            return text if text.endswith(b"\n") or not text else text + b"\n"
        self._begun = text[end:]
        return text[:end]

    def _told(self) -> bytes:
        count, self.left_out = self.left_out, 0
        return f"[{count} bytes that process {self._pid} printed are left out here]\n".encode() if count else b""


def _end_of_characters(text: bytes) -> int:
    """Where it can be cut without cutting a character of it."""
    for back in range(1, 4):
        if text[-back] >= 0xC0:
            whole = 2 if text[-back] < 0xE0 else 3 if text[-back] < 0xF0 else 4
            return len(text) - back if back < whole else len(text)
        if text[-back] < 0x80:
            break
    return len(text)


class Console:
    """Written to by a thread of its own, which can be lost: nobody waits for a console that takes nothing.

    Not even a terminal that says that it can be written to takes all of a line at once.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pending = bytearray()
        self._lost: dict[str, int] = {}
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, whose: str = JOBS_PRINTED) -> None:
        """Whole lines. What there is no more room for is lost, and its lines are counted.

        What jobs print takes up half of the room at most: the rest is the server's own.
        """
        room = _PENDING_BYTES if whose == JOBS_PRINTED else 2 * _PENDING_BYTES
        with self._news:
            if self._descriptor is None or not data:
                return
            if len(self._pending) + len(data) > room:
                self._lost[whose] = self._lost.get(whose, 0) + data.count(b"\n")
                return
            self._tell_lost()
            self._pending += data
            self._news.notify_all()
            if self._thread is None:
                with contextlib.suppress(RuntimeError):  # no thread is left: one may be at the next line
                    self._begin(self._descriptor)

    def finish(self, seconds: float) -> bool:
        """Waits so long until all is written, and says whether it is."""
        with self._news:
            if self._thread is None and self._descriptor is not None:
                self._write_now(self._descriptor, seconds)
            return self._news.wait_for(lambda: not self._pending and not self._lost, seconds)

    def _begin(self, descriptor: int) -> None:
        thread = threading.Thread(target=self._write_on, args=(descriptor,), name="console", daemon=True)
        thread.start()
        self._thread = thread

    def _tell_lost(self) -> None:
        for whose, count in self._lost.items():
            self._pending += f"[{count} lines {whose} are left out here]\n".encode()
        self._lost.clear()

    def _write_on(self, descriptor: int) -> None:
        try:
            while True:
                data = self._next()
                written = _written(descriptor, data)
                with self._news:
                    del self._pending[:written]
                    self._news.notify_all()
        except OSError:
            self._is_gone()

    def _is_gone(self) -> None:
        """A console that is gone takes everything."""
        with self._news:
            self._descriptor = None
            self._pending.clear()
            self._lost.clear()
            self._news.notify_all()

    def _next(self) -> bytes:
        """What is to be written next."""
        with self._news:
            self._news.wait_for(lambda: self._pending or self._lost)
            if not self._pending:
                self._tell_lost()
            return bytes(self._pending[:_AT_ONCE])

    def _write_now(self, descriptor: int, seconds: float) -> None:
        """Where no thread could be had: as much as it takes without being waited for."""
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        try:
            while self._pending and poller.poll(seconds * 1000):
                del self._pending[: os.write(descriptor, self._pending[:_AT_LEAST])]
        except OSError:
            self._is_gone()


def _written(descriptor: int, data: bytes) -> int:
    """How much of it was. Waits until it is something, also where whoever has the console too made it non-blocking."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        poller.poll()
        return 0


STDERR = Console(2 if sys.__stderr__ is not None else None)
"""This process's own: what jobs print and what the server says go there by one thread, so that lines do not mix."""
