"""A batch: some items, what is intended with them, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runner.arguments import checked_amount
from runner.backoff import Backoff
from runner.crashpoint import crashpoint
from runner.errors import StopRequested
from runner.ledger import REQUEUED, Booking
from runner.store import Transaction
from runner.stores.batches import LedgerItem, OpenBatch

if TYPE_CHECKING:
    from runner.context import JobContext

Item = TypeVar("Item")
Check = Callable[[Transaction], None]


class Batch(Generic[Item]):
    """Some items dealt with as one: committed once, whole.

    ``items``: what the source gave. ``open``: what ``settle`` has to find out about (intended, outcome unknown).
    Committed by ``commit``, else when the next batch is asked for, else when the workflow returns; not when it
    raises.
    """

    def __init__(
        self,
        job: JobContext,
        seq: int,
        items: Sequence[Item],
        position: Any,
        *,
        left_open: OpenBatch | None = None,
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

    def intend(self, items: Sequence[LedgerItem], *, deadline_seconds: float, check: Check | None = None) -> None:
        """Writes down, durably, that a call will act on these items. Raises JobStopped once a stop was asked for.

        ``deadline_seconds``: the longest the call may take. After a crash nothing is repeated before it is over.
        ``check``: looks at the store in the same transaction, before each try of the call; what it raises goes
        through, and nothing is written.
        """
        self._intended, self._check = items, check
        self._seconds = checked_amount("deadline_seconds", deadline_seconds)
        # Whom the batch left out is booked at its commit; while that is not written, a later run must come by again.
        position = self.position if len(items) == len(self.items) else None
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
        backoff = Backoff(self._job.settings, chance=self._job.chance)
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
        """
        if self.committed:
            raise RuntimeError("a batch is committed once")
        settled: list[LedgerItem] = []

        def booked(tx: Transaction) -> Iterable[LedgerItem]:
            settled[:] = list((book(tx) if book else None) or ())
            crashpoint("before_settle_commit" if self.left_open else "before_batch_commit")
            return settled

        still_open = self._job.commit_batch(self, booked, lambda still_open: self._processed(settled, still_open))
        self.committed, self.is_open = True, still_open > 0
        crashpoint("after_settle" if self.left_open else "after_batch_commit")

    def _processed(self, settled: Sequence[LedgerItem], still_open: int) -> int:
        again = sum(item.outcome == REQUEUED for item in settled)
        whole = len(self.open) if self.left_open else len(self.items)
        return whole - still_open - again
