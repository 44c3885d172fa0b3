"""``Waiting``: all that the supervisor's loop sleeps on. It waits for nothing else."""

from __future__ import annotations

import contextlib
import os
import selectors

from runner.running import Running


class Waiting:
    """The loop's bell, and of each run that is watched its process's end and its words."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self.bell_out, self._bell_in = os.pipe()
        for end in self.bell:
            os.set_blocking(end, False)
        selector.register(self.bell_out, selectors.EVENT_READ)

    @property
    def bell(self) -> tuple[int, int]:
        return self.bell_out, self._bell_in

    def wake(self) -> None:
        """From any thread; never blocks."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell_in, b"!")

    def watch(self, run: Running) -> None:
        self._selector.register(run.process.sentinel, selectors.EVENT_READ, run)
        self._selector.register(run.process.control, selectors.EVENT_READ, run)

    def wait(self, seconds: float) -> list[tuple[Running, list[int]]]:
        """Sleeps until something happens, at most so long; returns the runs it happened to, and on which of theirs."""
        found: dict[str, tuple[Running, list[int]]] = {}
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.bell_out, 4096)
            else:
                found.setdefault(key.data.job_id, (key.data, []))[1].append(key.fd)
        return list(found.values())

    def ignore(self, descriptor: int) -> None:
        """An end of a pipe or a process stays readable for ever, so it is let go."""
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(descriptor)

    def let_go(self, run: Running) -> None:
        for end in (run.process.sentinel, run.process.control):
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(end)

    def close(self) -> None:
        self._selector.close()
