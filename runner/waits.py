"""What a job says of a wait, ``{kind, reason, until?}``: made here by whoever writes one, so that each has its kind."""

from __future__ import annotations

from enum import StrEnum

from runner.clock import iso
from runner.job import JsonDict


class WaitKind(StrEnum):
    """pace: RUNNER_PACE_*; gateway: it is away, or says slow down; events: those that an outage held back; slot: all
    places are taken; type: its workflow is not loaded, or takes another config now.
    """

    PACE = "pace"
    GATEWAY = "gateway"
    EVENTS = "events"
    SLOT = "slot"
    TYPE = "type"


def wait_of(kind: WaitKind, reason: str, until_ms: int | None = None) -> JsonDict:
    """``until_ms``: UTC milliseconds; None where nobody knows."""
    return {"kind": kind.value, **({} if until_ms is None else {"until": iso(until_ms)}), "reason": reason}
