"""Workflows that say how far they are by ``report`` alone, or inside a batch, and come to all kinds of ends."""

from __future__ import annotations

import logging
import warnings

from runner.context import JobContext
from runner.workflow import JobConfig, workflow


class ToldConfig(JobConfig):
    """``in_batch``: what it reports is said of a batch in hand."""

    fails: bool = False
    endless: bool = False
    in_batch: bool = False


class Endless(Exception):
    """It never comes to an end of what it says, and lets nobody interrupt it."""

    def __str__(self) -> str:
        said = 0
        while True:
            try:
                said += 1
            except BaseException:
                said = 0


def told(job: JobContext, config: ToldConfig) -> None:
    if job.attempt > 1:
        job.sleep(3600)
    if config.in_batch:
        for batch in job.batches(range(4), size=4, total=4):
            job.report(processed=batch.items[-1])
            job.sleep(3600)
    job.report(processed=7, total=9, message="seven of nine")
    if config.endless:
        raise Endless
    if config.fails:
        raise LookupError("the eighth is missing")
    job.sleep(3600)


workflow("told", config=ToldConfig, resumable=True)(told)
workflow("told_frail", config=ToldConfig)(told)


@workflow("logs", config=ToldConfig)
def logs(job: JobContext, config: ToldConfig) -> None:
    """Says one thing on each way."""
    mine = logging.getLogger("mine")
    mine.info("it is told to %s", "whom it concerns")
    mine.debug("this is not told")
    mine.warning("one line\n2026-01-01T00:00:00.000Z ERROR mine: forged")
    warnings.warn("this is old", stacklevel=1)
    try:
        raise ValueError("caught")
    except ValueError:
        mine.exception("it went on")
    logging.basicConfig(format="own: %(message)s", force=True, level=logging.INFO)
    mine.info("set up anew")
