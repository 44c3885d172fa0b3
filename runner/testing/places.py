"""Where a run is disturbed, and how: every checkpoint, and both sides of every write of its ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """How. cancel: and then a retry goes on. pause: and resumed. kill: SIGKILL, and another run goes on.
    kill_twice: that run is killed too, at its first place of the same kind.
    """

    CANCEL = "cancel"
    PAUSE = "pause"
    KILL = "kill"
    KILL_TWICE = "kill_twice"

    @property
    def kills(self) -> bool:
        return self in (Way.KILL, Way.KILL_TWICE)

    @property
    def words(self) -> str:
        return _WAYS[self]


_WAYS = {
    Way.CANCEL: "cancelled",
    Way.PAUSE: "paused",
    Way.KILL: "killed",
    Way.KILL_TWICE: "killed twice",
}


class Kind(StrEnum):
    """What the run was about to do, or had just done. In the middle of a commit everything is written, and nothing
    is on disk."""

    CHECKPOINT = "checkpoint"
    SLEEP = "sleep"
    BEFORE_INTEND = "before_intend"
    AFTER_INTEND = "after_intend"
    BEFORE_CALL = "before_call"
    IN_CALL = "in_call"
    BEFORE_WITHDRAW = "before_withdraw"
    AFTER_WITHDRAW = "after_withdraw"
    BEFORE_COMMIT = "before_commit"
    IN_COMMIT = "in_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_COMPLETE = "before_complete"
    AFTER_COMPLETE = "after_complete"

    @property
    def sees_stops(self) -> bool:
        return self in (Kind.CHECKPOINT, Kind.SLEEP)

    @property
    def takes_stops(self) -> bool:
        """Whether a stop can be asked for there; what holds the store's write lock can only be killed."""
        return self not in (Kind.IN_COMMIT, Kind.AFTER_COMPLETE)


_KINDS = {
    Kind.CHECKPOINT: "at checkpoint {number}{after}",
    Kind.SLEEP: "in sleep {number}{after}",
    Kind.BEFORE_INTEND: "before the intent of {what}",
    Kind.AFTER_INTEND: "after the intent of {what}",
    Kind.BEFORE_CALL: "before the call of {what}",
    Kind.IN_CALL: "as the call of {what} began",
    Kind.BEFORE_WITHDRAW: "before the intent of {what} was taken back",
    Kind.AFTER_WITHDRAW: "after the intent of {what} was taken back",
    Kind.BEFORE_COMMIT: "before the commit of {what}",
    Kind.IN_COMMIT: "in the commit of {what}",
    Kind.AFTER_COMMIT: "after the commit of {what}",
    Kind.BEFORE_COMPLETE: "before its end was written",
    Kind.AFTER_COMPLETE: "after its end was written",
}


@dataclass(frozen=True)
class Place:
    """The ``number``-th time, from 1, that a run comes to something of this kind.

    ``batch``: the batch in hand; at a checkpoint, the last one committed. 0 for none.
    """

    kind: Kind
    number: int
    batch: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"

    @property
    def words(self) -> str:
        after = f", after batch {self.batch}" if self.batch else ", before the first batch"
        what = f"batch {self.batch}" if self.batch else f"what is in no batch ({self.number})"
        return _KINDS[self.kind].format(number=self.number, after=after, what=what)


@dataclass(frozen=True)
class Disturbance:
    """One thing that is tried: a way at a place. ``str`` of it is what ``only`` takes."""

    way: Way
    place: Place

    def __str__(self) -> str:
        return f"{self.way}:{self.place}"

    @property
    def words(self) -> str:
        return f"{self.way.words} {self.place.words}"


def disturbances(places: Iterable[Place], ways: Iterable[Way]) -> list[Disturbance]:
    """All that there is to try, in the order of the run."""
    chosen = list(ways)
    return [Disturbance(way, place) for place in places for way in chosen if way.kills or place.kind.takes_stops]
