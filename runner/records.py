"""Writing down what a watched run has said and what was done to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from runner.crashpoint import crashpoint
from runner.errors import StoreUnavailable
from runner.job import Phase
from runner.running import Running
from runner.store import Store, Transaction
from runner.stores.cancels import CancelRows
from runner.stores.runs import RunRows

log = logging.getLogger(__name__)
_AGAIN_SECONDS = 1.0


def record(store: Store, runs: Iterable[Running]) -> None:
    """All that the store is to be told by now, in one transaction. After StoreUnavailable all of it stays untold.

    What of one run cannot be written holds up no other: then each is written down alone, and that one is brief.
    """
    due = [run for run in runs if run.unrecorded and run.tell_at <= run.clock.boot_seconds()]
    try:
        _record(store, due)
    except StoreUnavailable:
        raise
    except Exception:
        for run in due:
            _record_alone(store, run)


def _record_alone(store: Store, run: Running) -> None:
    try:
        _record(store, [run])
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("What is known of %s cannot be written; trying again, with less", run.job_id)
        run.be_brief(_AGAIN_SECONDS)


def _record(store: Store, runs: Sequence[Running]) -> None:
    untold = [(run, told := list(run.unrecorded), run.worth_telling(told)) for run in runs]
    if not untold:
        return
    for run, _, news in untold:
        if any(kind == "examined" for kind, _ in news):
            run.read_post_mortem()
    with store.write() as tx:
        for run, _, news in untold:
            tell(tx, run, news)
        crashpoint("before_record_commit")
    crashpoint("after_record_commit")
    for run, told, _ in untold:
        del run.unrecorded[: len(told)]


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
