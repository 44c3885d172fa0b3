"""Where a run stops and where it waits: at its checkpoints, and in sleeps that a stop ends at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import tenacity

from runner.abort import AbortFlag
from runner.arguments import checked_amount, checked_number
from runner.backoff import next_try
from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.ledger import Ledger
from runner.waits import WaitKind, wait_of
from runner.workflow import JobStopped

Returned = TypeVar("Returned")
_STORE_PAUSE = 1.0
_AT_ONCE = 3600.0


class Checkpoints:
    """The part of a job's context that sees stops. ``on_seen``: told that one was, by the job's own process alone."""

    def __init__(self, ledger: Ledger, flag: AbortFlag, on_seen: Callable[[], None]) -> None:
        self.ledger = ledger
        self.clock: Clock = ledger.clock
        self.was_stopped = False
        self._flag = flag
        self._on_seen = on_seen
        self._pid = os.getpid()

    def heed(self) -> None:
        """Raises JobStopped once a stop was asked for."""
        if self._flag.is_set():
            raise self.stopped()

    def sleep(self, seconds: float) -> None:
        """Sleeps, and wakes at once to stop. Raises ValueError or TypeError for what is no length of time."""
        end = self.clock.boot_seconds() + checked_amount("seconds", seconds)
        while True:
            left = end - self.clock.boot_seconds()
            if self._flag.wait(min(left, _AT_ONCE)):
                raise self.stopped()
            if left <= _AT_ONCE:
                return

    def sleep_until(self, at_ms: int) -> None:
        """Sleeps until the wall clock shows ``at_ms`` (UTC milliseconds), and wakes at once to stop."""
        until = checked_number("at_ms", at_ms)
        while (left := until - self.clock.now_ms()) > 0:
            self.sleep(min(left / 1000, 60.0))

    @property
    def is_stopping(self) -> bool:
        """Whether the flag is set; a question for those who do not stop here."""
        return self._flag.is_set()

    def stopped(self) -> JobStopped:
        """The exception to raise where the job must stop; says so to the server."""
        self.was_stopped = True
        if os.getpid() == self._pid:  # what a fork of the job sees is not the job's
            self._on_seen()
        return JobStopped(self.ledger.job_id)

    def retrying(self, call: Callable[[], Returned], *, on: type[Exception], tries: int = 5) -> Returned:
        """Calls again after an ``on``, 1 s to 60 s apart and doubling; a stop ends the wait at once."""
        retry = tenacity.Retrying(
            sleep=self.sleep,
            retry=tenacity.retry_if_exception_type(on),
            wait=tenacity.wait_exponential(multiplier=1, max=60),
            stop=tenacity.stop_after_attempt(tries),
            reraise=True,
        )
        return retry(call)

    def patiently(self, call: Callable[[], Returned]) -> Returned:
        """Calls until the store answers; a stop ends the wait at once."""
        while True:
            try:
                return call()
            except StoreUnavailable:
                self.sleep(_STORE_PAUSE)

    def wait_visibly(self, seconds: float, reason: str, kind: WaitKind = WaitKind.GATEWAY) -> None:
        """Sleeps, and says on the job until when, for what and why; wakes at once to stop."""
        left = checked_amount("seconds", max(0.0, checked_number("seconds", seconds)))
        now = self.clock.now_ms()
        until = now + int(left * 1000)
        self.ledger.say_waiting(wait_of(kind, f"{reason}; {next_try(until, now)}", until))
        self.sleep(left)
        self.ledger.say_waiting(None)
