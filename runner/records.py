"""Writing down what a watched run has said and what was done to it."""

from __future__ import annotations

from collections.abc import Iterable

from runner.crashpoint import crashpoint
from runner.job import Phase
from runner.running import Running
from runner.store import Store, Transaction
from runner.stores.cancels import CancelRows
from runner.stores.runs import RunRows


def record(store: Store, runs: Iterable[Running]) -> None:
    """All that the store is to be told by now, in one transaction. After StoreUnavailable all of it stays untold."""
    untold = [(run, list(run.unrecorded)) for run in runs if run.unrecorded and run.tell_at <= run.clock.boot_seconds()]
    if not untold:
        return
    for run, news in untold:
        if any(kind == "examined" for kind, _ in news):
            run.read_post_mortem()
    with store.write() as tx:
        for run, news in untold:
            tell(tx, run, news)
        crashpoint("before_record_commit")
    crashpoint("after_record_commit")
    for run, news in untold:
        del run.unrecorded[: len(news)]


def tell(tx: Transaction, run: Running, news: Iterable[tuple[str, int]]) -> None:
    """What of ``run.unrecorded`` is in ``news``, in this transaction; once it is on disk, the caller drops it there."""
    for kind, at in news:
        _tell(tx, run, kind, at)


def _tell(tx: Transaction, run: Running, kind: str, at: int) -> None:
    if kind == "ack" and run.mode == "settle":
        RunRows(tx).settling(run.job_id, run.epoch, run.process.identity)
    elif run.mode == "settle":
        return  # the receipts of the cancel are those of the run it ended
    elif kind == "ack":
        RunRows(tx).acknowledge(run.job_id, run.epoch, run.process.identity, at, run.process.containment)
    elif kind == "limit" and run.limit is not None:
        RunRows(tx).request_stop(run.job_id, run.limit[0])
    elif kind == "examined" and run.post_mortem is not None:
        RunRows(tx).examined(run.job_id, run.epoch, run.post_mortem)
    elif kind == "seen":
        CancelRows(tx).seen(run.job_id, run.epoch, at)
    elif kind == "signals":
        CancelRows(tx).record_stop(run.job_id, signals=run.signals)
        CancelRows(tx).advance(run.job_id, run.phase or Phase.TERMINATING)
    elif kind == "survivors":
        CancelRows(tx).record_stop(run.job_id, survivors=run.survivors(), signals=run.signals)
        CancelRows(tx).advance(run.job_id, Phase.UNCONFIRMED)
