"""What a workflow works with: its job, and the places where a stop is seen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from runner import positions
from runner.abort import AbortFlag
from runner.arguments import checked_amount, checked_count, checked_message
from runner.batch import Batch
from runner.checkpoints import Checkpoints
from runner.crashpoint import crashpoint
from runner.job import JsonDict, Progress
from runner.ledger import Booking, Ledger, RunState
from runner.loops import Loops
from runner.plan import EndsAt, Plan
from runner.settings import Settings
from runner.store import Store

Item = TypeVar("Item")


@dataclass(frozen=True)
class Run:
    """One run of a job, as it is handed to its process. ``mode``: run, or settle (only find out what was left open)."""

    job_id: str
    type: str
    mode: str
    epoch: int
    attempt: int
    lock_key: str | None
    config: JsonDict
    options: JsonDict
    progress: JsonDict = field(default_factory=dict)
    result: JsonDict = field(default_factory=dict)
    position: Any = None
    is_first: bool = True


class JobContext(Checkpoints):
    """A job, seen from inside its workflow.

    ``result``: a dict of JSON values, kept as of the last commit. ``attempt``: 1 for the first start.
    Stops are seen at ``checkpoint``, ``sleep``, ``sleep_until`` and the step to the next batch, and only there:
    they raise ``JobStopped``. Between them nothing interrupts the workflow.
    """

    def __init__(
        self,
        run: Run,
        ledger: Ledger,
        flag: AbortFlag,
        settings: Settings,
        *,
        show: Callable[[JsonDict], None] = lambda _: None,
        on_seen: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(ledger, flag, on_seen)
        self.run = run
        self.settings = settings
        self.chance = chance
        self._committed = replace(Progress.from_json(run.progress).of_no_run(), reported=None)
        self.state = RunState(self._committed, dict(run.result), run.position)
        self._show = show
        self.loops = Loops(self)
        self.given_options: JsonDict | None = None
        self._settle: Callable[[Batch[Any]], None] | None = None
        self._seq: int | None = 0 if run.is_first else None
        self._delay = 0.0
        self._ends_at: EndsAt | None = None
        self._began = (self.clock.boot_seconds(), self.state.progress.processed)

    @property
    def id(self) -> str:
        return self.run.job_id

    @property
    def attempt(self) -> int:
        return self.run.attempt

    @property
    def store(self) -> Store:
        return self.ledger.store

    @property
    def result(self) -> JsonDict:
        return self.state.result

    @property
    def position(self) -> Any:
        """Where the last commit stood; None at the very beginning. Of loops with names, a dict: where each stood."""
        return positions.shown(self.state.position)

    @property
    def options(self) -> JsonDict:
        """The type's own start options, as they came."""
        return self.run.options if self.given_options is None else self.given_options

    def checkpoint(self, message: str | None = None) -> None:
        """A place where the job may stop; ``message`` is shown as its progress."""
        if message is not None:
            self.report(message=message)
        self.heed()

    def wait_until_over(self, batch: Batch[Any]) -> None:
        """Waits until the call of a batch left open can no longer be under way."""
        deadline = batch.left_open.deadline if batch.left_open else None
        if deadline is not None:
            self.sleep(max(0.0, deadline.remaining(self.clock, self._began[0])))

    def report(self, processed: int | None = None, total: int | None = None, message: str | None = None) -> None:
        """Progress between commits; costs next to nothing, and is shown when it is shown. The last is kept.

        Inside a batch ``processed`` is shown until the batch is committed: its items are counted then.
        processed, total: whole numbers from 0 to 2^53 - 1. message: a text, cut at 500 characters. What is something
        else raises TypeError or ValueError, and changes nothing.
        """
        was = self.state.progress
        counted, reported = was.processed, was.reported
        if processed is not None and self.loops.in_hand:
            reported = checked_count("processed", processed)  # the commit of a batch counts its items by itself
        elif processed is not None:
            counted, reported = checked_count("processed", processed), None
        self.state.progress = replace(
            was,
            processed=counted,
            reported=reported,
            total=was.total if total is None else checked_count("total", total),
            message=was.message if message is None else checked_message(message),
        )
        self.show()

    @property
    def last_said(self) -> Progress:
        """Its progress as it was last said or committed."""
        return self.state.progress.not_below(self._committed)

    def show(self) -> None:
        in_hand = self.loops.in_hand
        self._show(self.state.progress.as_json() | ({"in_hand": in_hand} if in_hand else {}))

    def batches(
        self,
        source: Iterable[Item] | Callable[[Any, int], Iterable[Item]],
        *,
        size: int,
        delay_ms: float = 0,
        total: int | None = None,
        jitter: float = 0.0,
        ends_at: EndsAt | None = None,
        name: str | None = None,
    ) -> Iterator[Batch[Item]]:
        """The items in batches of ``size``, ``delay_ms`` apart. Raises LoopMisused for what no later run could go on
        with.

        source: an iterable, the same in every run (the position is how many are done), or a function
            ``(after_key, size) -> items`` that have a ``.key`` (the position is the last key; what shrinks as it is
            worked on must be walked by key).
        total: of an iterable, the whole; of a function, what is left from the position on.
        jitter: up to so large a share of the delay comes on top of it, by chance.
        ends_at: (items left, now) -> when they will be done at the earliest, for the estimate; milliseconds.
        name: of a job with several loops each needs one, by which a later run finds its place. A loop that is over
            is not walked again. One inside a batch of another begins anew for each such batch, and that batch is
            committed after it.
        No delay after the last batch, nor after one that called ``skip_delay``. A run that goes on, after a crash or
        as a retry, first waits out what is left of the delay.

        Raises TypeError or ValueError at once for a ``size`` below 1, and for what is no number that could be meant.
        """
        plan = Plan(
            source,
            checked_count("size", size, least=1),
            checked_amount("delay_ms", delay_ms),
            None if total is None else checked_count("total", total),
            checked_amount("jitter", jitter),
            ends_at,
            name,
        )
        return self.loops.begin(plan)

    def expect(self, ends_at: EndsAt | None, delay_seconds: float) -> None:
        """How the estimate is made from here on: by what is said, and with so long a delay after each batch."""
        self._ends_at, self._delay = ends_at, delay_seconds
        if ends_at is not None:
            self.state.progress = self._foreseen(replace(self.state.progress, done_at_ms=None), self.clock.now_ms())

    def commit(self, book: Booking | None = None) -> None:
        """A commit outside a batch: whatever ``book(tx)`` writes, and ``result``, in one transaction."""
        self.ledger.commit(None, self.state, book, lambda _: self.state.progress)
        self._committed = self.state.progress
        self.ledger.check_kept()

    def commit_batch(self, batch: Batch[Any], book: Booking, processed: Callable[[int], int]) -> int:
        """One batch's commit; returns how many of its items stay open."""
        before = self.state.progress

        def advance(still_open: int) -> Progress:
            began, since = self._began
            # Each batch costs its delay too, also the one that has just been done and not yet waited after.
            seconds, now_ms = self.clock.boot_seconds() - began + self._delay, self.clock.now_ms()
            count = processed(still_open)
            advanced = before.advanced(count, batch.seq, now_ms=now_ms, seconds=seconds, since=since)
            self.state.progress = self._foreseen(advanced, now_ms)
            return self.state.progress

        still_open = self.ledger.commit(batch.seq, self.state, book, advance)
        self._committed = self.state.progress
        batch.committed = True
        self.show()
        return still_open

    def _foreseen(self, progress: Progress, now_ms: int) -> Progress:
        """With an end that is not before what ``ends_at`` says."""
        if self._ends_at is None or progress.total is None:
            return progress
        ends = self._ends_at(progress.total - progress.processed, now_ms)
        return progress if ends is None else replace(progress, done_at_ms=max(ends, progress.done_at_ms or 0))

    def close_batch(self) -> None:
        """Commits the batches in hand if that was left to us, and settles what they left open."""
        self.loops.close_all()

    def close(self, batch: Batch[Any]) -> None:
        """Commits a batch if that was left to us, and settles what it left open before anything else."""
        if not batch.committed:
            batch.commit()
        if batch.is_open:
            self.settle_open()

    def settle_with(self, settle: Callable[[Batch[Any]], None] | None) -> None:
        self._settle = settle

    def settle_open(self) -> None:
        """Finds out what became of every batch left open, through the workflow's ``settle``."""
        for left_open in self.patiently(self.ledger.open_batches):
            crashpoint("before_settle")
            if self._settle is None:
                self.ledger.give_up(left_open)
            else:
                self._settle(Batch(self, left_open.seq, (), left_open.position, left_open=left_open))

    def next_seq(self) -> int:
        if self._seq is None:
            self._seq = self.patiently(self.ledger.last_seq)
        self._seq += 1
        return self._seq

    @property
    def goes_on(self) -> bool:
        """Whether an earlier run, or the job that this is a retry of, has begun."""
        return not self.run.is_first or self.run.position is not None or self._began[1] > 0

    def wait_out(self, delay_ms: float) -> None:
        """What is left of the delay since the last commit."""
        last = self.patiently(self.ledger.last_commit_at)
        if last is not None:
            self.sleep(max(0, min(delay_ms, last + delay_ms - self.clock.now_ms())) / 1000)
