"""Types that only the simulation knows: plain ones, deaf ones, frail ones, and one that settles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from runner.context import JobContext
from runner.job import JsonDict
from runner.workflow import JobConfig, workflow

if TYPE_CHECKING:
    from tests.simulation.process import SimProcess

LOCKS = ("left", "right", "")


class CountConfig(JobConfig):
    """``key``: the lock, empty for none. ``odd``: what happens at batch ``at`` of the first ``times`` attempts."""

    total: int = Field(12, ge=0)
    size: int = Field(3, ge=1)
    delay_ms: int = Field(0, ge=0)
    key: str = ""
    odd: str = ""
    at: int = 2
    times: int = 1


def _process(job: JobContext) -> SimProcess:
    return job._flag._process  # type: ignore[attr-defined,no-any-return]


def _count(job: JobContext, config: CountConfig) -> JsonDict:
    """Keeps each number in its result, so that one counted twice or left out is seen."""
    done: list[int] = job.result.setdefault("done", [])
    for batch in job.batches(range(config.total), size=config.size, delay_ms=config.delay_ms, total=config.total):
        if batch.seq == config.at and job.attempt <= config.times:
            _be_odd(job, config.odd)
        done.extend(batch.items)
    return {"whole": True}


def _be_odd(job: JobContext, odd: str) -> None:
    process = _process(job)
    if odd == "raise":
        raise ValueError("it broke")
    if odd == "exit":
        process.exit_now(7)
    if odd == "hungry":
        process.memory_mb = process.turns.chance.choice([95.0, 150.0])
        process.turns.sleep(1.0)
    if odd == "deaf":
        process.turns.sleep(40.0 * process.turns.chance.random())  # computes, and looks at no flag
    if odd == "swallow":
        try:
            job.sleep(3.0)
        except BaseException:
            process.turns.check()
            job.result["swallowed"] = True


def _lock(config: CountConfig) -> str | None:
    return config.key or None


workflow("counted", config=CountConfig, lock=_lock, resumable=True)(_count)
workflow("counted_frail", config=CountConfig, lock=_lock, grace_seconds=2.0)(_count)
