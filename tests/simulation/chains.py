"""Retries as the oracle sees them: jobs that go on with one another, over which nothing is done twice or left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.simulation.rows import Row

_RESUMABLE = frozenset({"removal_queue", "removal_workflow", "counted"})


def goes_on(row: Row) -> bool:
    """Whether it is a retry that goes on where another job stopped; the others begin anew."""
    return row.retry_of is not None and row.type in _RESUMABLE and not json.loads(row.config).get("dryRun")


def chain_of(row: Row, rows: Mapping[str, Row]) -> list[Row]:
    """The job, the one it goes on with, and so on to the first."""
    chain = [row]
    while goes_on(chain[-1]) and (earlier := rows.get(chain[-1].retry_of or "")):
        chain.append(earlier)
    return chain


def waits_for(row: Row, rows: Mapping[str, Row]) -> Iterator[Row]:
    """All that must be over before it may be claimed, whether it goes on with them or not."""
    while earlier := rows.get(row.retry_of or ""):
        yield earlier
        row = earlier


def retried_twice(rows: Mapping[str, Row]) -> list[str]:
    """Jobs with more than one retry that has run or may still run."""
    at_it = [row.retry_of for row in rows.values() if row.retry_of and (row.epoch or not row.is_over)]
    return [job_id for job_id, count in Counter(at_it).items() if count > 1]


def numbers_in(row: Row) -> list[int]:
    """What a job of the counting types has counted."""
    found: list[int] = (json.loads(row.result) if row.result else {}).get("done", [])
    return found


@dataclass
class Counts:
    """Each number that was counted by a run, by the first job of its chain: what a retry was told is not counted."""

    _counted: Counter[tuple[str, int]] = field(default_factory=Counter)

    def changed(self, was: Row, row: Row, rows: Mapping[str, Row]) -> list[int]:
        """Those that are counted for the second time now."""
        if was.epoch == 0 or was.result == row.result or row.type == "removal_queue":
            return []
        first, before = chain_of(row, rows)[-1].id, len(numbers_in(was))
        fresh = [(first, number) for number in numbers_in(row)[before:]]
        self._counted.update(fresh)
        return [number for key, number in fresh if self._counted[key, number] > 1]
