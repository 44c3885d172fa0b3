"""Workflows for tests of how stops meet: limits during a settling, two limits, a child left behind."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from runner.batch import Batch
from runner.context import JobContext
from runner.stores.batches import LedgerItem
from runner.workflow import JobConfig, workflow
from tests.processes.samples import Person, take


class HungryConfig(JobConfig):
    """``effects``: a path; ``.hung`` and ``.settles`` beside it say what was reached."""

    effects: str = ""
    mb: int = 90


def _settle_hungrily(job: JobContext, batch: Batch[Any], config: HungryConfig) -> None:
    with Path(config.effects + ".settles").open("a") as file:
        file.write("tried\n")
    kept = take(config.mb)
    job.sleep(1.0)  # long enough to be looked at
    batch.commit(lambda _: [LedgerItem(item.key, "done", item.data) for item in batch.open])
    del kept


@workflow("settles_hungrily", config=HungryConfig, resumable=True, settle=_settle_hungrily)
def settles_hungrily(job: JobContext, config: HungryConfig) -> None:
    """Hangs in its first call; finding out about it takes nearly all the memory it may use."""

    def people(after: Any, _size: int) -> list[Person]:
        return [Person(0)] if after is None else []

    for batch in job.batches(people, size=1):
        batch.intend([LedgerItem("0")], deadline_seconds=0.1)
        Path(config.effects + ".hung").touch()
        threading.Event().wait()


@workflow("leaves_a_child", config=JobConfig, resumable=True)
def leaves_a_child(job: JobContext, _config: JobConfig) -> None:
    """Heeds, and leaves somebody behind who does not."""
    subprocess.Popen(["sleep", "3600"])
    job.report(message="here")
    job.sleep(3600)


@workflow("late_and_hungry", config=HungryConfig, resumable=True)
def late_and_hungry(job: JobContext, config: HungryConfig) -> None:
    """Overstays its time, deaf, and then takes more memory than it may."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait(1.0)
    kept = take(config.mb)
    threading.Event().wait()
    del kept
