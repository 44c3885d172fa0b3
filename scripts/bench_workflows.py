"""The workflows that scripts/bench runs."""

from __future__ import annotations

import os
import time

from runner.context import JobContext
from runner.job import JsonDict
from runner.workflow import JobConfig, JobStopped, workflow

_AN_HOUR = 3600.0


class NoConfig(JobConfig):
    """Nothing to say."""


class StoppedConfig(JobConfig):
    """``mark``: the file that gets the time at which the stop was seen."""

    mark: str


@workflow("bench_first_line", config=NoConfig)
def first_line(_job: JobContext, _config: NoConfig) -> JsonDict:
    """Says when its first line ran, on the clock that all processes of the machine share."""
    return {"firstLine": time.monotonic_ns()}


@workflow("bench_sleep", config=StoppedConfig)
def sleep(job: JobContext, config: StoppedConfig) -> None:
    job.report(message=str(os.getpid()))
    try:
        job.sleep(_AN_HOUR)
    except JobStopped:
        with open(config.mark, "w") as file:  # noqa: PTH123 - the shortest way, it is being timed
            file.write(str(time.monotonic_ns()))
        raise


@workflow("bench_idle", config=NoConfig)
def idle(job: JobContext, _config: NoConfig) -> None:
    job.sleep(_AN_HOUR)
