"""What is known of a process that had to be ended by force, or that died of a fatal signal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

from runner.clock import Clock
from runner.job import JsonDict, ProcessIdentity
from runner.outlets import STACKS_SIGNAL
from runner.snapshot import snapshot
from runner.stacks import Frame, Stack, Stacks, read_stacks, where
from runner.storable import storable
from runner.tree import send_signal

MOST_BYTES = 64_000
"""A post-mortem as JSON is no longer than this; the oldest lines of its log go first."""

_MOST_FRAMES, _MOST_THREADS = 50, 20
_MOST_READ = 1_000_000  # to read more made-up frames than that would take the loop more than half a second
_LONGEST_LINE = 1_000
_LONGEST_SUMMARY = 1_000
_FATAL_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
_SUSPENDED = frozenset("Tt")


class PostMortem:
    """Of one process. ``descriptor``: the file that its stacks are written to. Never blocks, never raises OSError."""

    def __init__(self, descriptor: int, identity: ProcessIdentity, born_of: int | None, clock: Clock) -> None:
        self._descriptor: int | None = descriptor
        self._identity, self._born_of, self._clock = identity, born_of, clock
        self._at: int | None = None
        self._seen: JsonDict = {}
        self._text = ""

    def examine(self) -> None:
        """Looks at the process, and asks it for its stacks; they come as soon as it gets to run."""
        seen = snapshot(self._identity.pid, self._born_of)  # before the question sets it going
        if send_signal(self._identity, STACKS_SIGNAL, self._clock.boot_id):
            self._at, self._seen = self._clock.now_ms(), seen

    def known(self, exit_code: int | None, log: Callable[[], list[str]]) -> JsonDict | None:
        """All that is known by now; None where nobody was examined and nothing fatal is reported.

        A report of something fatal counts only if the process died of such a signal, as far as that is known.
        """
        text = self._read()
        if self._at is None and not text:
            return None
        stacks = read_stacks(text)
        if stacks.fatal is not None and exit_code is not None and -exit_code not in _FATAL_SIGNALS:
            stacks = Stacks()
        if self._at is None and stacks.fatal is None:
            return None
        found: JsonDict = {"at": self._at if self._at is not None else self._clock.now_ms()} | self._seen
        if (summary := self._summary(stacks)) is not None:
            found["summary"] = storable(summary[:_LONGEST_SUMMARY])
        found["stacks"] = [_as_json(stack) for stack in stacks.threads[:_MOST_THREADS]]
        return _with_log(found, log)

    def least(self, log: Callable[[], list[str]]) -> JsonDict:
        """What is left to say where all that is known could not be put together; it may be the log that could not."""
        found: JsonDict = {"at": self._at if self._at is not None else self._clock.now_ms()}
        try:
            return _with_log(found, log)
        except Exception:
            return _with_log(found, list)

    def close(self) -> None:
        """Keeps what was written and gives back the descriptor."""
        self._text = self._read()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _summary(self, stacks: Stacks) -> str | None:
        found = where(stacks)
        if self._seen.get("state") in _SUSPENDED and stacks.fatal is None:
            return "suspended, as by SIGSTOP" + (f", {found}" if found else "")
        if found is None and "waitsIn" in self._seen:
            return f"in the system call `{self._seen['waitsIn']}`"
        return found

    def _read(self) -> str:
        if self._descriptor is None:
            return self._text
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, _MOST_READ, max(0, size - _MOST_READ)).decode(errors="replace")


def _as_json(stack: Stack) -> JsonDict:
    frames = [Frame(storable(file), line, storable(name)) for file, line, name in stack.frames[:_MOST_FRAMES]]
    return {"thread": stack.thread, "frames": [frame._asdict() for frame in frames]}


def _with_log(found: JsonDict, log: Callable[[], list[str]]) -> JsonDict:
    """Bounded in all."""
    found["log"] = [storable(line[:_LONGEST_LINE]) for line in log()]
    while len(json.dumps(found)) > MOST_BYTES and (found["log"] or found.get("stacks")):
        part = "log" if found["log"] else "stacks"
        kept = len(found[part]) // 2
        found[part] = (found[part][-kept:] if part == "log" else found[part][:kept]) if kept else []
    return found
