"""Workflows for tests of retries: each batch stays in hand until a gate is opened."""

from __future__ import annotations

import threading
from pathlib import Path

from runner.context import JobContext
from runner.errors import InvalidFields
from runner.settings import Settings
from runner.workflow import JobConfig, workflow


class GatedConfig(JobConfig):
    """``effects``: a file with a line for each item; ``gate``: a file without which no batch is finished."""

    effects: str
    gate: str
    total: int = 3
    delay_ms: int = 0
    dry_run: bool = False


def check_pace(config: GatedConfig, settings: Settings) -> None:
    if config.delay_ms < settings.min_delay_ms:
        raise InvalidFields.one("delayMs", f"delayMs must be at least {settings.min_delay_ms}")


def gated(job: JobContext, config: GatedConfig) -> None:
    """Deaf while a batch is in hand, so that a cancel finds it there."""
    pause = threading.Event()
    for batch in job.batches(range(config.total), size=1, total=config.total, delay_ms=config.delay_ms):
        with Path(config.effects).open("a") as file:
            file.writelines(f"{item}\n" for item in batch.items)
        while not Path(config.gate).exists():
            pause.wait(0.005)


workflow("gated", config=GatedConfig, resumable=True, retries_anew=lambda config: config.dry_run)(gated)
workflow("gated_frail", config=GatedConfig)(gated)
workflow("gated_paced", config=GatedConfig, resumable=True, check=check_pace)(gated)
