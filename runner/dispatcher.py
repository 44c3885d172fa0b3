"""The contract of a dispatcher: which job runs when, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from runner.store import Transaction


class Dispatcher(Protocol):
    """Decides which waiting job is claimed next; one per node."""

    def admit(self, write: Callable[[Transaction], str]) -> str:
        """Writes a new job (``write`` returns its id) and, where a slot is free, its claim: one transaction."""

    def dispatch(self) -> None:
        """Claims and launches waiting jobs as far as slots go. Called by the supervisor's loop; cheap when idle."""

    def recover(self) -> None:
        """Takes up, at the start, what an earlier server of this node left claimed."""

    def look_again(self) -> None:
        """Takes up what ``recover`` had to leave, as soon as it can. Called now and then by the supervisor's loop."""

    def wake(self) -> None:
        """A job waits that did not before."""

    def look(self) -> None:
        """A slot or a lock has become free, for whoever waits already. Seen by the loop when it next wakes."""
