"""The ladder for one tree: flag, grace, a look at what hinders it, SIGTERM, SIGKILL, proof. A step function of time.

It touches no process: ``step`` says what to do, the supervisor does it, and only a tree that was seen empty ends the
ladder. Times are seconds of a clock that only moves forward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from runner.job import Phase

KILL_SECONDS = 3.0
"""How long killing is repeated before the job says which process would not die."""

EXAMINE_SECONDS = 0.1
"""How long a process that did not heed has to say where it is, before SIGTERM ends it."""

_BETWEEN_KILLS = 0.05
_BETWEEN_LOOKS = 5.0


class Act(StrEnum):
    """What to do now: ask where it is, signal the whole tree to end, kill it, or say that somebody would not die."""

    EXAMINE = "examine"
    TERMINATE = "terminate"
    KILL = "kill"
    GIVE_UP = "give_up"


@dataclass(frozen=True)
class Ladder:
    """Where a stop stands. ``next_at``: when ``step`` has something to do again, if nothing else happens.

    ``examine_at``: None once it was examined.
    """

    phase: Phase
    examine_at: float | None
    terminate_at: float
    kill_at: float
    give_up_at: float
    next_at: float


def total_seconds(grace: float, terminate: float) -> float:
    """From the flag to the proof at most."""
    return grace + terminate + KILL_SECONDS


def begin(now: float, grace: float, terminate: float) -> Ladder:
    """The flag is raised ``now``; SIGTERM follows ``grace`` seconds later, SIGKILL ``terminate`` seconds after it.

    The examination is the end of the grace period, or the beginning of a shorter one.
    """
    terminate_at = now + grace
    examine_at = max(now, terminate_at - EXAMINE_SECONDS)
    kill_at = terminate_at + terminate
    return Ladder(Phase.REQUESTED, examine_at, terminate_at, kill_at, kill_at + KILL_SECONDS, examine_at)


def at_kill(now: float, phase: Phase = Phase.REQUESTED) -> Ladder:
    """A ladder that begins with SIGKILL, and does not wait for an examination: for a cancel by force, and for what a
    job left behind. ``phase``: how far an earlier one had come.
    """
    return Ladder(phase, now, now, now, now + KILL_SECONDS, now)


def step(ladder: Ladder, now: float) -> tuple[Ladder, tuple[Act, ...]]:
    """What to do at ``now``, in this order. Called late, it skips no kill: it goes straight to the rung that is due."""
    if now < ladder.next_at:
        return ladder, ()
    if now >= ladder.terminate_at:
        ladder, acts = _examine(ladder)
        ladder, more = _terminate_or_kill(ladder, now)
        return ladder, acts + more
    ladder, acts = _examine(ladder)
    return replace(ladder, next_at=ladder.terminate_at), acts


def _examine(ladder: Ladder) -> tuple[Ladder, tuple[Act, ...]]:
    if ladder.examine_at is None:
        return ladder, ()
    return replace(ladder, examine_at=None), (Act.EXAMINE,)


def _terminate_or_kill(ladder: Ladder, now: float) -> tuple[Ladder, tuple[Act, ...]]:
    if now >= ladder.kill_at:
        return _kill(ladder, now)
    if ladder.phase is Phase.TERMINATING:
        return replace(ladder, next_at=ladder.kill_at), ()
    return replace(ladder, phase=Phase.TERMINATING, next_at=ladder.kill_at), (Act.TERMINATE,)


def _kill(ladder: Ladder, now: float) -> tuple[Ladder, tuple[Act, ...]]:
    """Repeated until the tree is empty; past ``give_up_at`` more slowly, and said aloud once."""
    if ladder.phase is Phase.UNCONFIRMED:
        return replace(ladder, next_at=now + _BETWEEN_LOOKS), (Act.KILL,)
    if ladder.phase is Phase.KILLING and now >= ladder.give_up_at:
        return replace(ladder, phase=Phase.UNCONFIRMED, next_at=now + _BETWEEN_LOOKS), (Act.GIVE_UP,)
    return replace(ladder, phase=Phase.KILLING, next_at=now + _BETWEEN_KILLS), (Act.KILL,)
