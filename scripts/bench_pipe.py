"""A named pipe that measured processes write on and inherit: tells times and pids without asking the server.

Its end of file is the oracle for who is left: it comes when the last process that inherited it is gone, however that
process came to be, and wherever it went.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.bench_rows import NotMeasured

LIMIT_SECONDS = 30.0


class Pipe:
    """The reading end. Whoever writes, writes lines, each in one piece."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._poller = select.poll()
        self._poller.register(self._end, select.POLLIN)
        self._rest = b""
        self.lines: list[bytes] = []

    def read(self, count: int, seconds: float = LIMIT_SECONDS) -> list[bytes]:
        """Waits until so many lines were written in all, and returns all of them."""
        end = time.monotonic() + seconds
        while len(self.lines) < count:
            left = end - time.monotonic()
            if left < 0:
                raise NotMeasured(f"{len(self.lines)} of {count} processes have said a word after {seconds:.0f} s")
            if self._poller.poll(min(left, 0.1) * 1000):
                self._take()
        return self.lines

    def numbers(self, count: int, seconds: float = LIMIT_SECONDS) -> list[int]:
        return [int(line) for line in self.read(count, seconds)[:count]]

    def is_let_go(self) -> bool:
        """End of file: nobody holds it. Only to be asked once it was held."""
        return self._take()

    def wait_let_go(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.is_let_go():
            if time.monotonic() > end:
                return False
            time.sleep(0.0005)
        return True

    def holders(self) -> set[int]:
        """Who has it open now, by the kernel's own list, other than this process."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and _holds(entry, self.path):
                found.add(int(entry.name))
        return found

    def close(self) -> None:
        """Ends whoever still holds it: nothing that was measured is left behind."""
        for _ in range(50):
            holders = self.holders()
            if not holders:
                break
            for pid in holders:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        os.close(self._end)
        Path(self.path).unlink()

    def _take(self) -> bool:
        """Takes in what is there; True at the end of file."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._end, 65536):
                *whole, self._rest = (self._rest + data).split(b"\n")
                self.lines += whole
            return True
        return False


@contextmanager
def pipe(folder: Path) -> Iterator[Pipe]:
    made = Pipe(folder / f"pipe-{time.monotonic_ns()}")
    try:
        yield made
    finally:
        made.close()


def _holds(process: Path, path: str) -> bool:
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) == path:
                    return True
    return False
