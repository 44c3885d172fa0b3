"""The server's own stdout and stderr: whoever prints or logs hands on its words, and never waits for who reads them.

A terminal may be paused, a pipe full. Whatever Python writes goes through here: ``print``, logging, warnings, the hooks
for exceptions that nobody caught. Each line waits in a ``Console``, bounded, and lines that found no room are counted.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import io
import os
import sys
import threading
from typing import Any, TextIO

from runner.console import OF_THE_LOG, STDERR, Console

_LAST_SECONDS = 0.5
_LONGEST_LINE = 65_536
_taken: list[_Voice] = []


class _Voice(io.RawIOBase):
    """What Python writes, handed on line by line."""

    def __init__(self, console: Console, descriptor: int) -> None:
        self._console, self._descriptor = console, descriptor
        self._begun = b""
        self._lock = threading.RLock()  # a signal may come while it is held, and its handler may log

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        given = bytes(data)
        with self._lock:
            text = self._begun + given
            end = len(text) if len(text) > _LONGEST_LINE else text.rfind(b"\n") + 1
            self._begun = text[end:]
            self._console.write(text[:end], OF_THE_LOG)
        return len(given)

    def finish(self, seconds: float) -> None:
        """The last words: a line that was not ended, and what still waits, as far as it is taken in so many seconds."""
        with self._lock:
            if self._begun:
                self._console.write(self._begun + b"\n", OF_THE_LOG)
                self._begun = b""
        self._console.finish(seconds)


def take_over_streams() -> None:
    """From here on nobody waits for stdout and stderr. Once, early in the main thread, before logging is set up."""
    if _taken:
        return
    are_one = os.path.sameopenfile(1, 2)
    for name, descriptor in (("stderr", 2), ("stdout", 1)):
        console = STDERR if descriptor == 2 or are_one else Console(descriptor)
        voice = _Voice(console, descriptor)
        setattr(sys, name, _text_of(voice, getattr(sys, name)))
        _taken.append(voice)
    atexit.register(last_words)
    _keep_faulthandler_going()


def last_words() -> None:
    """Waits a moment for what was said to be taken; before the process leaves, by whatever way."""
    for voice in _taken:
        voice.finish(_LAST_SECONDS)


def _text_of(voice: _Voice, before: TextIO | None) -> TextIO:
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(voice, encoding, errors="backslashreplace", write_through=True)  # type: ignore[type-var]


def _keep_faulthandler_going() -> None:
    """Where somebody has asked for it: the stacks of a process that dies go straight to the console, if it takes them.

    Opened anew, so that only this way to it does not block.
    """
    if faulthandler.is_enabled():
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            faulthandler.enable(os.open("/proc/self/fd/2", flags))
