"""A batch: some items, what is intended with them, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from runner.arguments import checked_amount
from runner.backoff import Backoff
from runner.crashpoint import crashpoint
from runner.errors import LoopMisused, StopRequested
from runner.ledger import REQUEUED, Booking
from runner.store import Transaction
from runner.stores.batches import LedgerItem, OpenBatch

if TYPE_CHECKING:
    from runner.context import JobContext
    from runner.plan import Loop

Item = TypeVar("Item")
Check = Callable[[Transaction], None]
_LONGEST_KEY = 200


class Batch(Sequence[Item]):
    """Some items dealt with as one: committed once, whole. A sequence of its items.

    ``items``: what the source gave. ``open``: what ``settle`` has to find out about (intended, outcome unknown).
    Committed by ``commit``, else when the next batch is asked for, else when the workflow returns; not when it
    raises.
    """

    def __init__(
        self,
        job: JobContext,
        seq: int,
        items: Sequence[Item],
        position: Any = None,
        *,
        left_open: OpenBatch | None = None,
        loop: Loop | None = None,
        numbers: Sequence[int] = (),
    ) -> None:
        self._job = job
        self.seq = seq
        self.items = items
        self.position = position
        self.left_open = left_open
        self.open: tuple[LedgerItem, ...] = left_open.items if left_open else ()
        self.committed = False
        self.is_open = left_open is not None
        self.keeps_delay = True
        self._seconds = 0.0
        self._intended: Sequence[LedgerItem] = ()
        self._check: Check | None = None
        self.loop = loop
        self.numbers = numbers
        self._numbers_by_key: dict[str, int | None] | None = None

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<batch {self.seq} of {len(self.items)} items>"

    def number_of(self, key: str) -> int | None:
        """The place in its list of the item that a ledger entry names: by the item's ``.key``, or by its text."""
        if self._numbers_by_key is None:
            found: dict[str, int | None] = {}
            for number, item in zip(self.numbers, self.items, strict=False):
                name = str(getattr(item, "key", item))
                found[name] = None if name in found else number
            self._numbers_by_key = found
        return self._numbers_by_key.get(key)

    def intend(self, items: Sequence[LedgerItem], *, deadline_seconds: float, check: Check | None = None) -> None:
        """Writes down, durably, that a call will act on these items. Raises JobStopped once a stop was asked for.

        ``deadline_seconds``: the longest the call may take. After a crash nothing is repeated before it is over.
        ``check``: looks at the store in the same transaction, before each try of the call; what it raises goes
        through, and nothing is written.
        """
        _check_keys(items)
        self._intended, self._check = items, check
        self._seconds = checked_amount("deadline_seconds", deadline_seconds)
        position = self._job.loops.intended(self, items)
        crashpoint("before_intent")
        self._guarded(lambda: self._job.ledger.intend(self.seq, items, self._seconds, position, check))
        crashpoint("after_intent")
        self.is_open = True

    def call(self, act: Callable[[Callable[[], float]], dict[str, Any]]) -> dict[str, Any]:
        """Makes the outside call and returns its outcomes; ``act`` gets a function that tells the seconds left.

        Each try is stamped before it goes out. Only an error with ``nothing_sent`` is retried (if ``retryable``), as
        ``Backoff`` says, and the intent is withdrawn during the wait. Any other gateway error leaves the outcome
        unknown: an empty dict, and the items stay open until they are settled.
        """
        backoff = Backoff(self._job.settings, chance=self._job.chance, now=self._job.clock.boot_seconds)
        while True:
            try:
                return self._attempt(act)
            except Exception as error:
                if not getattr(error, "nothing_sent", False):
                    if hasattr(error, "nothing_sent"):
                        return {}
                    raise
                self._job.ledger.withdraw(self.seq)
                self.is_open = False
                pause = backoff.wait_after(error) if getattr(error, "retryable", False) else None
                if pause is None:
                    raise
                self._job.wait_visibly(pause, str(error))
                self.intend(self._intended, deadline_seconds=self._seconds, check=self._check)

    def _attempt(self, act: Callable[[Callable[[], float]], dict[str, Any]]) -> dict[str, Any]:
        clock = self._job.clock
        try:
            deadline = self._job.patiently(lambda: self._job.ledger.stamp_call(self.seq, self._seconds))
        except StopRequested:
            self._job.ledger.withdraw(self.seq)  # nothing was sent, so there is nothing to find out and no try is lost
            self.is_open = False
            raise self._job.stopped() from None
        crashpoint("after_call_stamped")
        outcomes = act(lambda: deadline.began + deadline.seconds - clock.boot_seconds())
        crashpoint("after_call")
        return outcomes

    def _guarded(self, write: Callable[[], Any]) -> Any:
        try:
            return self._job.patiently(write)
        except StopRequested:
            raise self._job.stopped() from None

    def skip_delay(self) -> None:
        """Nothing was asked of the outside in this batch, so the next need not wait."""
        self.keeps_delay = False

    def commit(self, book: Booking | None = None) -> None:
        """One transaction: whatever ``book(tx)`` writes, the ledger entries it returns, progress, result, position.

        A function and not a ``with`` block, because it must be possible to do it again: a commit that fails after
        the call is repeated until it is on disk, the call never. Items intended and not returned stay open.
        Raises NotStorable, once it is on disk, where something of the job could not be kept.
        """
        if self.committed:
            raise RuntimeError("a batch is committed once")
        settled: list[LedgerItem] = []
        told, done = self._job.loops.committing(self)

        def booked(tx: Transaction) -> Iterable[LedgerItem]:
            settled[:] = _checked((book(tx) if book else None) or ())
            told(settled)
            crashpoint("before_settle_commit" if self.left_open else "before_batch_commit")
            return settled

        still_open = self._job.commit_batch(self, booked, lambda still_open: self._processed(settled, still_open))
        self.committed, self.is_open = True, still_open > 0
        done()
        crashpoint("after_settle" if self.left_open else "after_batch_commit")
        self._job.ledger.check_kept()

    def _processed(self, settled: Sequence[LedgerItem], still_open: int) -> int:
        if self.loop is not None and not self.loop.counts:
            return 0
        again = sum(item.outcome == REQUEUED for item in settled)
        whole = len(self.open) if self.left_open else len(self.items)
        return whole - still_open - again


def _checked(booked: Iterable[Any]) -> list[LedgerItem]:
    """What was done must not be forgotten, so a key that cannot be kept stops nothing: it fails the job later."""
    found = list(booked)
    _check_kinds(found)
    return found


def _check_kinds(items: Sequence[Any]) -> None:
    for item in items:
        if not isinstance(item, LedgerItem):
            raise LoopMisused(f"the ledger takes LedgerItem(key, …), not {type(item).__name__}")


def _check_keys(items: Sequence[Any]) -> None:
    """Raises LoopMisused, in the workflow's own frame, for what the ledger could not keep apart."""
    _check_kinds(items)
    seen: set[str] = set()
    for item in items:
        key: Any = item.key
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
            raise LoopMisused(
                f"the key of a LedgerItem is a text of 1 to {_LONGEST_KEY} characters, not {key!r:.80}; say str(…)"
            )
        if key in seen:
            raise LoopMisused(f"two items of one batch have the key {key!r:.80}: the ledger could not tell them apart")
        seen.add(key)
