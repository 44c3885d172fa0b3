"""Whether processes can be born: what a start asks before it is accepted, and what mends it.

A fork server may be stopped, or die each time: who waits for a process then waits for ever, and nobody is told.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from runner.clock import Clock
from runner.proc import ON_LINUX, stat_of

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 5.0
"""So long none may be born before the server says that it is not ready."""

_FORGOTTEN_SECONDS = 20.0
_LOUD_SECONDS = 60.0
_LOOK_SECONDS, _LOOKS_STOPPED, _LOOKS_MUTE = 1.0, 3, 60


class Births:
    """Told of each birth that is tried. From any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[object, float] = {}
        self._failing_since: float | None = None
        self._failed_at = self._loud_at = 0.0
        self._why = ""

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Around one birth; raises what it raises."""
        this, began = object(), self._clock.boot_seconds()
        with self._lock:
            self._under_way[this] = began
        try:
            yield
        except BaseException as error:
            with self._lock:
                self._failed(began, error)
            raise
        else:
            with self._lock:
                self._succeeded()
        finally:
            with self._lock:
                del self._under_way[this]

    def state(self) -> str:
        """ "ok", or why nobody could be born for some seconds. Never blocks for long."""
        now = self._clock.boot_seconds()
        with self._lock:
            if not self._under_way and now - self._failed_at > _FORGOTTEN_SECONDS:
                return "ok"  # nobody has tried since: the next one may find it mended
            failing = [] if self._failing_since is None else [self._failing_since]
            since = min([*self._under_way.values(), *failing], default=now)
            if now - since < PATIENCE_SECONDS:
                return "ok"
            why = self._why if self._failing_since is not None else "the fork server does not answer"
        return f"no process could be started for {now - since:.0f} s: {why}"

    def oldest(self) -> object | None:
        """The birth that has been under way for longest; None when there is none."""
        with self._lock:
            return next(iter(self._under_way), None)

    def _failed(self, began: float, error: BaseException) -> None:
        self._failed_at = self._clock.boot_seconds()
        self._why = str(error) or type(error).__name__
        if self._failing_since is None:
            self._failing_since = began
        if self._failed_at - self._loud_at >= _LOUD_SECONDS:
            self._loud_at = self._failed_at
            log.error("Cannot start a process: %r; trying again", error)

    def _succeeded(self) -> None:
        if self._failing_since is not None and self._failed_at - self._failing_since >= PATIENCE_SECONDS:
            log.info("Processes can be started again")
        self._failing_since, self._loud_at = None, 0.0


class BirthWatch:
    """A thread that has a fork server replaced which is stopped, or has borne nobody for a minute.

    It counts looks, not time: while the server itself is stopped, nobody is silent.
    """

    def __init__(self, births: Births, pid: Callable[[], int | None], replace: Callable[[str], None]) -> None:
        self._births, self._pid, self._replace = births, pid, replace
        self._over = threading.Event()
        self._stopped = self._mute = 0
        self._oldest: object | None = None
        self._thread = threading.Thread(target=self._watch_on, name="births", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()

    def look(self) -> None:
        """Once a second."""
        self._stopped = self._stopped + 1 if _is_stopped(self._pid()) else 0
        oldest = self._births.oldest()
        self._mute = self._mute + 1 if oldest is not None and oldest is self._oldest else 0
        self._oldest = oldest
        if self._stopped >= _LOOKS_STOPPED:
            self._replace("is stopped")
        elif self._mute >= _LOOKS_MUTE:
            self._replace("does not answer")
        else:
            return
        self._stopped = self._mute = 0

    def _watch_on(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # out of descriptors, say: there is no other thread
                log.exception("The fork server could not be looked at; trying again")


def _is_stopped(pid: int | None) -> bool:
    stat = stat_of(pid) if ON_LINUX and pid is not None else None
    return stat is not None and stat.state == "T"


BIRTHS = Births(Clock())
"""Of this process: multiprocessing has one fork server."""
