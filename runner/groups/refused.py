"""Webhooks that were refused: why, from a closed list, so that whoever sends them can fill neither store nor log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

TOLD_SECONDS = 3600.0


class Refusal(StrEnum):
    """Why. not-set-up: this server has no secret for that gateway. other: what is named here by nothing else."""

    NOT_SET_UP = "not-set-up"
    NO_SECRET = "no-secret"  # noqa: S105 - a reason, as the next
    WRONG_SECRET = "wrong-secret"  # noqa: S105
    BAD_SIGNATURE = "bad-signature"
    UNKNOWN_PATH = "unknown-path"
    TOO_LARGE = "too-large"
    OTHER_SITE = "other-site"
    OTHER = "other"


_WORDS: Mapping[Refusal, str] = {
    Refusal.NOT_SET_UP: "for a gateway whose secret is not set here (RUNNER_WEBHOOK_SECRET, RUNNER_WAHA_HMAC_KEY)",
    Refusal.NO_SECRET: "without a secret or signature",
    Refusal.WRONG_SECRET: "with another secret than RUNNER_WEBHOOK_SECRET, or out of date",
    Refusal.BAD_SIGNATURE: "with another signature than RUNNER_WAHA_HMAC_KEY makes",
    Refusal.UNKNOWN_PATH: "at a path where nothing is",
    Refusal.TOO_LARGE: "larger than is taken",
    Refusal.OTHER_SITE: "by a page of another site",
    Refusal.OTHER: "for other reasons",
}


class RefusalReport:
    """What the log is told: the first at once, and then once an hour what came since."""

    def __init__(self) -> None:
        self._untold: Counter[Refusal] = Counter()
        self._told_at: float | None = None

    def add(self, more: Mapping[Refusal, int], now: float) -> str | None:
        """The sentence that is due; ``now``: seconds of a clock that only goes forward."""
        self._untold.update(more)
        is_early = self._told_at is not None and now < self._told_at + TOLD_SECONDS
        if is_early or not self._untold:
            return None
        said = ", ".join(f"{self._untold[one]} {_WORDS[one]}" for one in Refusal if self._untold[one])
        self._untold.clear()
        self._told_at = now
        return f"Webhooks were refused: {said}. GET /admin/webhooks counts them; the log tells of them once an hour"
