"""What the removal types take, checked in the order in which faults are told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from runner.errors import FieldFault, InvalidFields
from runner.groups.identity import is_group_id
from runner.groups.pace import pace_of
from runner.settings import MAX_DELAY_MS, Settings
from runner.workflow import JobConfig

MOST_IN_A_BATCH = 1000


def _group_id(text: str) -> str:
    if not is_group_id(text):
        raise PydanticCustomError("group_id", "must be a group id: digits@g.us or digits-digits@g.us")
    return text


GroupWaId = Annotated[str, Field(min_length=1), AfterValidator(_group_id)]


class QueueConfig(JobConfig):
    """``removal_queue``. The floor of ``delay_ms`` is a setting, see ``check_pace``."""

    group_wa_id: GroupWaId
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    delay_ms: int = Field(ge=0, le=MAX_DELAY_MS)
    dry_run: bool
    inactivity_window_ms: Any = Field(None, exclude=True)
    """Accepted and left out, as the original did."""


class WorkflowConfig(QueueConfig):
    """``removal_workflow``."""

    inactivity_window_ms: int = Field(gt=0, le=2**53)


class RemovalOptions(JobConfig):
    """Beside the config: ``reviewed``, the dry run whose people alone may be removed; ``ignore_unmatched``;
    ``ignore_announcement``: remove by silence also where only admins write; ``ignore_votes``: also where nobody would
    have seen that they vote in polls.
    """

    reviewed: str | None = Field(None, min_length=1, max_length=64)
    ignore_unmatched: bool = False
    ignore_announcement: bool = False
    ignore_votes: bool = False

    @field_validator("reviewed", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        if value is None:
            # As "not reviewed" it would widen a removal that somebody meant to pin.
            raise PydanticCustomError("reviewed_null", "must be the id of a dry run, or left out")
        return value


def check_pace(config: QueueConfig, settings: Settings) -> None:
    """Raises InvalidFields for a batch above a cap, and for a delay below the setting's floor."""
    faults = []
    batch_size, delay_ms = getattr(config, "batch_size", None), getattr(config, "delay_ms", None)
    cap = pace_of(settings).smallest
    if cap is not None and batch_size is not None and batch_size > cap.people:
        faults.append(FieldFault("batchSize", f"batchSize must be at most {cap.people} ({cap.setting})"))
    if delay_ms is not None and delay_ms < settings.min_delay_ms:
        least = f"at least {settings.min_delay_ms} (RUNNER_MIN_DELAY_MS) and at most {MAX_DELAY_MS}"
        faults.append(FieldFault("delayMs", f"delayMs must be {least}"))
    if faults:
        raise InvalidFields(faults)
