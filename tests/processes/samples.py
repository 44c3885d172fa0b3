"""Workflows that the process tests run."""

from __future__ import annotations

import os

from pydantic import Field

from runner.context import JobContext
from runner.workflow import JobConfig, workflow


class CountConfig(JobConfig):
    total: int = Field(10, ge=0)
    batch_size: int = Field(2, ge=1)
    delay_ms: int = Field(0, ge=0)
    key: str = ""


@workflow("count", config=CountConfig, lock=lambda config: config.key or None, resumable=True)
def count(job: JobContext, config: CountConfig) -> None:
    """Counts; how far it came is its result."""
    for batch in job.batches(range(config.total), size=config.batch_size, delay_ms=config.delay_ms, total=config.total):
        job.result["counted"] = job.result.get("counted", 0) + len(batch.items)
        job.result["pid"] = os.getpid()
