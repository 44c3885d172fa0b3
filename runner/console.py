"""The server's console, shared by all that jobs print: bounded for each, and never waited for."""

from __future__ import annotations

import os
import select

A_SECOND = 256_000
"""Bytes a second that one process and those below it have of the console; what is beyond is only counted."""

_LONGEST_LINE = 8_192
_PENDING_BYTES = 1_000_000
_AT_ONCE = 4_096  # what a pipe that is writable takes without blocking


class ConsoleShare:
    """What one process may say on the console: whole lines, so that those of two jobs do not mix.

    ``left_out``: bytes not yet told of. ``due_at``: when they are to be told of, in boot seconds.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
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
        fits = whole if len(whole) <= room else whole[: whole.rfind(b"\n", 0, room) + 1]
        self.left_out += len(whole) - len(fits)
        self._said += len(fits)
        return before + fits + (self._told() if is_over else b"")

    def _whole_lines(self, data: bytes, *, is_over: bool) -> bytes:
        text = self._begun + data
        end = text.rfind(b"\n") + 1
        if is_over or len(text) - end > _LONGEST_LINE:
            self._begun = b""
            return text if text.endswith(b"\n") or not text else text + b"\n"
        self._begun = text[end:]
        return text[:end]

    def _told(self) -> bytes:
        count, self.left_out = self.left_out, 0
        return f"[{count} bytes that process {self._pid} printed are left out here]\n".encode() if count else b""


class Console:
    """Written to only as far as it takes it at once: a console that nobody reads must not hold up the jobs."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pending = bytearray()
        self._lost = 0

    @property
    def has_more(self) -> bool:
        return bool(self._pending)

    def write(self, data: bytes) -> None:
        """What there is no more room for is lost, and counted."""
        if self._descriptor is None or not data:
            return
        if len(self._pending) + len(data) > _PENDING_BYTES:
            self._lost += len(data)
            return
        if self._lost:
            self._pending += f"[{self._lost} bytes that jobs printed are left out here]\n".encode()
            self._lost = 0
        self._pending += data

    def pump(self) -> None:
        """Writes what can be written now. A console that is gone takes everything."""
        try:
            while self._pending and self._descriptor is not None and self._is_writable(self._descriptor):
                del self._pending[: os.write(self._descriptor, self._pending[:_AT_ONCE])]
        except BlockingIOError:
            return
        except OSError:
            self._descriptor = None
            self._pending.clear()

    def _is_writable(self, descriptor: int) -> bool:
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        return bool(poller.poll(0))
