"""Warming up: what a job's process will need of the database code is run once, before there is a job."""

from __future__ import annotations

import tempfile
from pathlib import Path

from runner.clock import Clock
from runner.job import Progress
from runner.ledger import Ledger, RunState
from runner.opening import open_job_store
from runner.settings import Settings
from runner.stores.batches import LedgerItem
from runner.stores.jobs import JobRows, NewJob
from runner.stores.runs import RunRows
from runner.stores.schema import metadata


def warm_up() -> None:
    """Plays one small job against a scratch database, so that its statements are compiled before a fork.

    In the fork server: a thousand jobs then share what each would have to make for itself.
    """
    with tempfile.TemporaryDirectory(prefix="runner-warm-") as folder:
        clock = Clock()
        store = open_job_store(Settings(home=Path(folder), database_url=""), clock)
        with store.write() as tx:
            metadata.create_all(tx.connection)
            JobRows(tx).add(NewJob("warm", "warm", {}, {}, None, "warm"))
            RunRows(tx).claim("warm", "warm")
        _play(Ledger(store, clock, "warm", 1, None))


def _play(ledger: Ledger) -> None:
    state = RunState(Progress(), {})
    items = [LedgerItem("a"), LedgerItem("b")]
    ledger.intend(1, items, 1.0)
    ledger.stamp_call(1, 1.0)
    ledger.commit(1, state, lambda _: [LedgerItem("a", "done")], lambda _: Progress())
    ledger.open_batches()
    ledger.commit(2, state, lambda _: None, lambda _: Progress())
    ledger.last_seq()
    ledger.last_commit_at()
    ledger.withdraw(1)
    ledger.complete(state)
