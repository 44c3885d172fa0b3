"""The loops of one run: which of them are at work, one inside the other, and where each stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from runner import positions
from runner.batch import Batch
from runner.errors import LoopMisused
from runner.ledger import REQUEUED
from runner.plan import INTERLOCKED, LOST, PLACE_OF_ANOTHER, TWICE, TWO_UNNAMED, Loop, Plan, check_nesting
from runner.positions import UNNAMED, Place, Places
from runner.source import source_of
from runner.stores.batches import LedgerItem, OpenBatch

if TYPE_CHECKING:
    from runner.context import JobContext

Item = TypeVar("Item")
Booked = Callable[[Sequence[LedgerItem]], None]
_MOST_LOOPS = 1000


class Loops:
    """Used by one ``JobContext``. A loop inside a batch of another has its place within that batch."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._known: Places | None = None
        self._open: list[Loop] = []
        self._used: set[str] = set()
        self._depths: set[int] = set()
        self._is_unnamed_made = False

    @property
    def _places(self) -> Places:
        if self._known is None:
            self._known = positions.read(self._job.state.position)
        return self._known

    @property
    def in_hand(self) -> int:
        """How many items of batches that are begun and not committed."""
        return sum(len(loop.batch) for loop in self._open if loop.batch is not None and not loop.batch.committed)

    def begin(self, plan: Plan[Item]) -> Iterator[Batch[Item]]:
        """The loop's batches. Raises LoopMisused where its place could not be told from that of another."""
        if plan.name is None:
            if self._is_unnamed_made:
                raise LoopMisused(TWO_UNNAMED)
            self._is_unnamed_made = True
        return self._walk(plan)

    def _walk(self, plan: Plan[Item]) -> Iterator[Batch[Item]]:
        job = self._job
        loop = self._enter(plan)
        if loop is None:
            return
        try:
            self._foretell(loop)
            self._wait_out_delay(loop)
            while True:
                job.checkpoint()
                batch = self._next(loop)
                if batch is None:
                    self._over(loop)
                    return
                yield batch
                self._step(loop)
                job.checkpoint()
                if plan.delay_ms and batch.keeps_delay and job.patiently(loop.walk.has_more):
                    job.sleep(plan.delay_ms / 1000 * (1 + plan.jitter * job.chance()))
        finally:
            loop.is_left = True

    # -- where a loop begins and ends ------------------------------------------------------------------------------

    def _enter(self, plan: Plan[Any]) -> Loop | None:
        """None for a loop that was over in an earlier run: nothing of it is walked again."""
        self._leave_behind()
        outer = self._open[-1] if self._open else None
        name = plan.name if plan.name is not None else UNNAMED
        if outer is not None:
            check_nesting(outer, plan)
        used, places = (outer.used, outer.place.within) if outer is not None else (self._used, self._places)
        if name in used:
            raise LoopMisused(TWICE.format(name=name))
        if name and outer is None and UNNAMED in places and name not in places and UNNAMED not in used:
            raise LoopMisused(PLACE_OF_ANOTHER.format(name=name))
        if name not in places and len(places) >= _MOST_LOOPS:
            raise LoopMisused(f"a job has at most {_MOST_LOOPS} loops beside each other; use one loop over all of it")
        used.add(name)
        place = places.setdefault(name, Place())
        if place.over and name:
            return None
        counts = outer is None or plan.total is not None or all(one.plan.total is None for one in self._open)
        path = [*(outer.path if outer is not None else []), name]
        loop = Loop(plan, path, place, source_of(plan.source, place.at, place.again), outer, counts)
        self._open.append(loop)
        return loop

    def _leave_behind(self) -> None:
        """Loops that nobody walks any more are over with their last batch, as when the next is asked for."""
        while self._open and self._open[-1].is_left:
            self._close(self._open[-1])
            self._open.pop()

    def _over(self, loop: Loop) -> None:
        loop.place.over, loop.place.at = True, loop.walk.position
        self._job.state.position = positions.written(self._places)
        if loop in self._open:
            self._open.remove(loop)

    def _next(self, loop: Loop) -> Batch[Any] | None:
        items = self._job.patiently(lambda: loop.walk.take(loop.plan.size))
        if not items:
            return None
        loop.used.clear()
        loop.batch = Batch(self._job, self._job.next_seq(), items, loop=loop, numbers=loop.walk.numbers)
        self._job.show()
        return loop.batch

    def _after(self, loop: Loop) -> Any:
        """What is kept once the batch in hand is committed."""
        place = loop.place
        before = (place.at, place.again, place.within)
        place.at, place.again, place.within = loop.walk.position, loop.walk.again, {}
        try:
            return positions.written(self._places)
        finally:
            place.at, place.again, place.within = before

    def _step(self, loop: Loop) -> None:
        """The next batch was asked for: all that is in hand is committed, the innermost first."""
        if loop.is_dead or loop not in self._open:
            raise LoopMisused(INTERLOCKED.format(name=loop.path[-1]))
        self.close_within(loop)
        self._close(loop)

    def close_within(self, loop: Loop) -> None:
        """Loops that run inside the batch in hand end with it."""
        while loop in self._open and self._open[-1] is not loop:
            inner = self._open.pop()
            inner.is_dead = True
            self._close(inner)

    def close_all(self) -> None:
        """The workflow has returned: what is in hand is committed."""
        while self._open:
            loop = self._open.pop()
            loop.is_dead = True
            self._close(loop)

    def check_nothing_lost(self) -> None:
        """Raises LoopMisused where an item was put back and did not come again: the job is not completed."""
        if lost := sum(map(_lost_of, self._places.values())):
            raise LoopMisused(LOST.format(count=lost))

    def _close(self, loop: Loop) -> None:
        batch, loop.batch = loop.batch, None
        if batch is not None:
            self._job.close(batch)

    # -- what a commit changes -------------------------------------------------------------------------------------

    def intended(self, batch: Batch[Any], items: Sequence[LedgerItem]) -> Any:
        """What an intent keeps, so that once it is settled a run goes on behind it; None: at the batch again.

        Whom it leaves out is booked at the batch's commit. While that is not written a later run must come by again:
        where all items are known by their numbers to those alone.
        """
        loop, whole = batch.loop, len(items) == len(batch)
        if loop is None:
            return None
        after = self._after(loop)
        if not batch.numbers:
            return after if whole else None
        numbers = {item.key: batch.number_of(item.key) for item in items}
        known = {key: number for key, number in numbers.items() if number is not None}
        if len(known) < len(items):
            if not whole:
                return None
            known = {}
        about = {"path": loop.path, "numbers": list(batch.numbers), "keys": known}
        return positions.versioned(positions.read(after)) | {"intended": about}

    def committing(self, batch: Batch[Any]) -> tuple[Booked, Callable[[], None]]:
        """Called before a batch is committed. The first of the two is told what was booked, once for each time that
        the commit is tried; the second is called when it is on disk.
        """
        if batch.loop is not None:
            return self._of_a_loop(batch, batch.loop)
        if batch.left_open is not None:
            return self._of_what_was_open(batch.left_open)
        return lambda _: None, lambda: None

    def _of_a_loop(self, batch: Batch[Any], loop: Loop) -> tuple[Booked, Callable[[], None]]:
        self.close_within(loop)
        place, at, again, lost = loop.place, loop.walk.position, loop.walk.again, loop.place.lost
        items = dict(zip(batch.numbers, batch, strict=False))
        back: list[int] = []

        def book(booked: Sequence[LedgerItem]) -> None:
            back[:], unknown = _put_back(booked, batch.number_of, batch.numbers) if items else ([], 0)
            place.at, place.again, place.lost, place.within = at, sorted([*again, *back]), lost + unknown, {}
            self._job.state.position = positions.written(self._places)

        def committed() -> None:
            if items and batch.is_open:
                loop.given[batch.seq] = items
            if loop.left is not None:
                loop.left = max(0, loop.left - len(batch) + len(back))
            loop.walk.put_back((number, items[number]) for number in back)

        return book, committed

    def _of_what_was_open(self, left: OpenBatch) -> tuple[Booked, Callable[[], None]]:
        """Its first commit brings the position of after it; where it had one before, others have come meanwhile."""
        about = left.position.get("intended") if isinstance(left.position, dict) else None
        if left.position is not None and not left.is_committed:
            self._known = positions.read(left.position)
        place = positions.find(self._places, about["path"]) if about else None
        again, lost = (list(place.again), place.lost) if place is not None else ([], 0)
        back: list[int] = []

        def book(booked: Sequence[LedgerItem]) -> None:
            if about and place is not None:
                keys = about["keys"]
                back[:], unknown = _put_back(booked, keys.get, about["numbers"])
                left_out = set(about["numbers"]) - set(keys.values()) if keys and not left.is_committed else set()
                place.again, place.lost = sorted({*again, *back, *left_out}), lost + unknown
                place.over = place.over and not place.again
            self._job.state.position = positions.written(self._places)

        def committed() -> None:
            loop = next((one for one in self._open if about and one.path == about["path"]), None)
            if loop is not None and left.seq in loop.given:
                items = loop.given[left.seq]
                loop.walk.put_back((number, items[number]) for number in back)
                loop.left = loop.left + len(back) if loop.left is not None else None

        return book, committed

    # -- progress and delays ---------------------------------------------------------------------------------------

    def _foretell(self, loop: Loop) -> None:
        """The total is what is done, and what every loop at work has still to do."""
        plan, walk, job = loop.plan, loop.walk, self._job
        if plan.total is not None:
            done = 0 if callable(plan.source) else walk.position
            loop.left = max(0, plan.total - done + len(walk.again))
            left = sum(one.left or 0 for one in self._open if one.counts)
            job.report(total=job.state.progress.processed + left)
        job.expect(plan.ends_at, plan.delay_ms / 1000 * (1 + plan.jitter / 2))

    def _wait_out_delay(self, loop: Loop) -> None:
        """A run that goes on begins with what is left of the delay: so does its first loop, and one begun before."""
        job, depth = self._job, len(loop.path)
        is_first = depth not in self._depths
        self._depths.add(depth)
        if not loop.plan.delay_ms or not job.goes_on or not (is_first or loop.place.at is not None):
            return
        if job.patiently(loop.walk.has_more):
            job.wait_out(loop.plan.delay_ms)


def _put_back(
    booked: Sequence[LedgerItem], number_of: Callable[[str], int | None], numbers: Sequence[int]
) -> tuple[list[int], int]:
    """The numbers of items that were put back, and how many were that cannot be told from others."""
    back = [item.key for item in booked if item.outcome == REQUEUED]
    found = [number for key in back if (number := number_of(key)) is not None]
    if not found and len(back) == len(numbers):
        return list(numbers), 0
    return found, len(back) - len(found)


def _lost_of(place: Place) -> int:
    return place.lost + len(place.again) + sum(map(_lost_of, place.within.values()))
