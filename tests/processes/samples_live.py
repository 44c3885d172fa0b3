"""Workflows that say something between commits, and wait for a sign before they go on."""

from __future__ import annotations

from pathlib import Path

from runner.context import JobContext
from runner.workflow import JobConfig, workflow

WORDS = ("one", "two")


class TellConfig(JobConfig):
    """``signs``: a folder; a file in it with the name of a word lets all go on from there."""

    signs: str
    total: int = 6


@workflow("tell", config=TellConfig)
def tell(job: JobContext, config: TellConfig) -> None:
    for word in WORDS:
        job.report(message=word)
        while not (Path(config.signs) / word).exists():
            job.sleep(0.02)
    for batch in job.batches(range(config.total), size=2):
        job.result["counted"] = job.result.get("counted", 0) + len(batch.items)


@workflow("hush", config=JobConfig)
def hush(job: JobContext, _: JobConfig) -> None:
    job.sleep(3600)
