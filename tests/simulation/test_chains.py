"""The oracle's eye for retries, on rows that are made up."""

from __future__ import annotations

import json
from typing import Any

from tests.simulation.chains import Counts, chain_of, retried_twice, waits_for
from tests.simulation.rows import Row


def row(job_id: str, retry_of: str | None = None, done: int = 0, **values: Any) -> Row:
    """``done``: so many numbers are in its result."""
    plain: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__)
    plain |= {"id": job_id, "retry_of": retry_of, "type": "counted", "status": "running", "epoch": 1, "config": "{}"}
    return Row(**(plain | {"result": json.dumps({"done": list(range(done))})} | values))


def rows(*found: Row) -> dict[str, Row]:
    return {one.id: one for one in found}


def ids(*found: Row) -> list[str]:
    return [one.id for one in found]


def test_a_number_counted_by_a_job_and_again_by_its_retry() -> None:
    """What a retry was told before it ran is not counted; what it counts itself is."""
    counts, first, told = Counts(), row("a", done=6), row("b", "a", done=3, epoch=0)
    assert counts.changed(row("a"), first, rows(first)) == []
    assert counts.changed(row("b", "a", epoch=0), told, rows(first, told)) == []
    retry = row("b", "a", done=9)
    assert counts.changed(row("b", "a", done=3), retry, rows(first, retry)) == [3, 4, 5]


def test_those_that_begin_anew_may_count_all_again() -> None:
    counts, first = Counts(), row("a", done=3, type="counted_frail")
    retry = row("b", "a", done=3, type="counted_frail")
    assert counts.changed(row("a", type="counted_frail"), first, rows(first)) == []
    assert counts.changed(row("b", "a", type="counted_frail"), retry, rows(first, retry)) == []


def test_a_chain_goes_to_the_first_job_and_ends_where_one_began_anew() -> None:
    found = rows(row("a"), row("b", "a"), row("c", "b", config='{"dryRun": true}'), row("d", "c"), row("lost", "gone"))
    assert ids(*chain_of(found["b"], found)) == ["b", "a"]
    assert ids(*chain_of(found["d"], found)) == ["d", "c"]
    assert ids(*chain_of(found["lost"], found)) == ["lost"]
    assert ids(*waits_for(found["d"], found)) == ["c", "b", "a"], "it waits for all of them"


def test_a_retry_that_ended_before_it_ran_makes_room_for_another() -> None:
    never_ran = row("b", "a", epoch=0, status="cancelled")
    assert retried_twice(rows(row("a"), never_ran, row("c", "a"))) == []
    assert retried_twice(rows(row("a"), row("b", "a", epoch=0, status="paused"), row("c", "a"))) == ["a"]
    assert retried_twice(rows(row("a"), row("b", "a", status="cancelled"), row("c", "a"))) == ["a"]
