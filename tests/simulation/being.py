"""What lives and dies on the simulated machine, and how it takes signals."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.job import ProcessIdentity

if TYPE_CHECKING:
    from tests.simulation.machine import Hardware

FIRST_PID = 10_000_000
"""No system has such a pid, so nobody real is ever asked about or signalled."""


@dataclass
class Nature:
    """What a process is like. ``dying_seconds``: how long it lives on after SIGKILL. ``children``: so many of its own,
    which outlive it. ``ignores_term``: SIGTERM does nothing. ``is_deaf``: it does not notice that its server died.
    """

    dying_seconds: float = 0.0
    children: int = 0
    ignores_term: bool = False
    is_deaf: bool = False


class Being:
    """Anything with a pid that lives until it is dead: a job's process, or a child of one."""

    def __init__(self, hardware: Hardware, nature: Nature) -> None:
        self.hardware, self.nature = hardware, nature
        turns = hardware.turns
        self.born_in = turns.boot
        self.identity = ProcessIdentity(
            hardware.next_pid(), int((turns.now - turns.booted_at) * 100), f"boot {turns.boot}"
        )
        self.dead = self.dying = self.stopped = False
        self.code: int | None = None
        self._pending_term = False

    def signal(self, number: int) -> bool:
        """As ``kill(2)``; False for the dead."""
        if self.dead:
            return False
        self.hardware.turns.say(f"signal {number} to {self.identity.pid}")
        if number == signal.SIGSTOP:
            self._stop(True)
        elif number == signal.SIGCONT:
            self._stop(False)
            if self._pending_term:
                self.die(-signal.SIGTERM)
        elif number == signal.SIGTERM and not self.nature.ignores_term:
            self._pending_term = self.stopped
            if not self.stopped:
                self.die(-signal.SIGTERM)
        elif number == signal.SIGKILL:
            self.die(-signal.SIGKILL)
        return True

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def die(self, code: int) -> None:
        """It does nothing any more; it is dead when it has finished dying."""
        if self.dead or self.dying:
            return
        self.dying, self.code = True, code
        if self.nature.dying_seconds and code == -signal.SIGKILL:
            self.hardware.turns.after(self.nature.dying_seconds, self._be_dead)
        else:
            self._be_dead()

    def _be_dead(self) -> None:
        self.dead = True

    def _stop(self, stopped: bool) -> None:
        self.stopped = stopped and not self.dying
