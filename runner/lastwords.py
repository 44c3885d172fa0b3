"""What a job's process says with its end, made sure of: whoever is in it can say anything."""

from __future__ import annotations

from runner.failure import checked_failure
from runner.job import JsonDict, Progress
from runner.storable import storable

_LONGEST_ERROR = 10_000


def last_words(message: JsonDict) -> JsonDict:
    """``error``, ``failure`` and ``progress``, each None where it said none."""
    error, progress = message.get("error"), message.get("progress")
    return {
        "error": storable(error[:_LONGEST_ERROR]) if error else None,
        "failure": checked_failure(message.get("failure")) if error else None,
        "progress": Progress.from_json(progress) if progress else None,
    }
