"""What a loop was asked for, and the sentences for what no later run could go on with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runner.errors import LoopMisused
from runner.positions import Place
from runner.source import Source, check_source

if TYPE_CHECKING:
    from runner.batch import Batch

Item = TypeVar("Item")
EndsAt = Callable[[int, int], int | None]
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Plan(Generic[Item]):
    """What ``job.batches`` was asked for. Raises LoopMisused for what cannot be done."""

    source: Iterable[Item] | Callable[[Any, int], Iterable[Item]]
    size: int
    delay_ms: float
    total: int | None
    jitter: float
    ends_at: EndsAt | None
    name: str | None

    def __post_init__(self) -> None:
        given: object = self.name
        check_source(self.source)
        if given is not None and not _is_name(given):
            raise LoopMisused(
                f"the name of a loop is a text of 1 to {_LONGEST_NAME} printable characters, not {given!r:.200}"
            )


@dataclass(eq=False)
class Loop:
    """One loop at work. ``left``: how many items it has still to do, as far as it was told.

    ``given``: by batch, the items whose outcome is open, with their numbers. ``is_left``: nobody asks it for a batch
    any more. ``is_dead``: the batch it ran inside is over.
    """

    plan: Plan[Any]
    path: list[str]
    place: Place
    walk: Source[Any]
    outer: Loop | None
    counts: bool
    left: int | None = None
    batch: Batch[Any] | None = None
    used: set[str] = field(default_factory=set)
    given: dict[int, dict[int, Any]] = field(default_factory=dict)
    is_left: bool = False
    is_dead: bool = False


def check_nesting(outer: Loop, plan: Plan[Any]) -> None:
    if plan.name is None:
        raise LoopMisused(UNNAMED_WITHIN)
    if outer.batch is None or outer.batch.committed or outer.batch.is_open:
        raise LoopMisused(TOO_LATE.format(name=plan.name))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST_NAME


TWO_UNNAMED = (
    "this job has a second job.batches loop without a name: a later run could not tell their places apart. "
    'Give each loop its own name: job.batches(…, name="members")'
)
UNNAMED_WITHIN = (
    "a job.batches loop inside a batch of another needs a name, by which a later run finds its place: "
    'job.batches(…, name="members")'
)
TWICE = (
    "two job.batches loops at the same level are called {name!r}: a later run could not tell their places apart. "
    'Give each its own name, say name=f"members of {{group}}"'
)
PLACE_OF_ANOTHER = (
    "this job has the place of a loop without a name, and now its first loop is called {name!r}: whether that place "
    "is this loop's cannot be told. Let the job be: start a new one, or run the version of the workflow it began with"
)
TOO_LATE = (
    "the job.batches loop {name!r} begins inside a batch that is committed or written down already: a later run would "
    "not come back to it. Begin it before batch.commit() and batch.intend(), or after the loop"
)
INTERLOCKED = (
    "the job.batches loop {name!r} was asked for a batch when the batch it ran inside was over: a loop inside a batch "
    "ends with that batch, and two loops cannot be walked in turns"
)
LOST = (
    "{count} of the items that were put back (requeued) did not come again, so the job is not completed. Items of a "
    "list come again where the key of their ledger entry is their .key or their text, and the loop is still at work; "
    "else walk a queue by a function (after_key, size)"
)
