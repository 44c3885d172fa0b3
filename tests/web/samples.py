"""A type of job for the tests of the HTTP face: it has a lock, options and limits, and runs until it is stopped."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from runner.context import JobContext
from runner.errors import InvalidFields
from runner.groups.group import is_group_id, lock_key
from runner.job import JsonDict
from runner.settings import Settings
from runner.workflow import JobConfig, workflow


def _group_id(text: str) -> str:
    if not is_group_id(text):
        raise ValueError("must be a group id")
    return text


class WalkConfig(JobConfig):
    group_wa_id: Annotated[str, AfterValidator(_group_id)]
    batch_size: int = Field(ge=1)
    delay_ms: int = Field(ge=0)
    dry_run: bool


class WalkOptions(JobConfig):
    reviewed: str | None = Field(None, min_length=1)
    ignore_unmatched: bool = False


def _check(config: WalkConfig, settings: Settings) -> None:
    if config.delay_ms < settings.min_delay_ms:
        raise InvalidFields.one("delayMs", f"delayMs must be at least {settings.min_delay_ms}")


@workflow(
    "walk",
    config=WalkConfig,
    options=WalkOptions,
    lock=lambda config: lock_key(config.group_wa_id),
    check=_check,
    resumable=True,
)
def walk(job: JobContext, config: WalkConfig) -> JsonDict:
    """Ten items a batch size at a time; a real run never ends by itself."""
    for batch in job.batches(range(10), size=config.batch_size, total=10):
        job.result["last"] = batch.items[-1]
    if not config.dry_run:
        job.sleep(86_400)
    return {"walked": True}


class FallConfig(JobConfig):
    sentence: str = "it broke"


@workflow("fall", config=FallConfig)
def fall(job: JobContext, config: FallConfig) -> JsonDict:
    raise RuntimeError(config.sentence)


class DwellConfig(JobConfig):
    """Nothing is asked."""


@workflow("dwell", config=DwellConfig, resumable=True)
def dwell(job: JobContext, _config: DwellConfig) -> None:
    """Stays in its first batch of three, which it has not written down."""
    for _ in job.batches(range(6), size=3):
        job.sleep(86_400)
