"""What a workflow gives to its job is looked at where it is given: a wrong value is raised in its own frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner.context import JobContext
from runner.job import Progress
from tests.unit.test_context import House

HALF = b"caf\xe9".decode("utf-8", "surrogateescape")


class Whole:
    """As the whole numbers of numerical libraries: no ``int``, but as good as one."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def named(values: list[Any]) -> list[Any]:
    """Numbered, since some of them cannot be written out."""
    return [pytest.param(value, id=f"{number}-{type(value).__name__}") for number, value in enumerate(values)]


NO_COUNTS: list[Any] = ["5", b"5", [5], {}, True, 5.0, math.nan, math.inf, Decimal(5), -1, 2**53, 10**30, 10**5000]
NO_AMOUNTS: list[Any] = ["5", b"5", [5], True, math.nan, math.inf, -math.inf, -1, -0.001, 10**400, 2**53 + 2]
NO_MESSAGES: list[Any] = [5, b"text", ["text"], True, object()]


@pytest.mark.parametrize("value", named(NO_COUNTS))
@pytest.mark.parametrize("name", ["processed", "total"])
def test_what_is_no_count_is_not_reported(house: House, name: str, value: Any) -> None:
    job = house.run()
    job.report(1, 2, "three")
    with pytest.raises((TypeError, ValueError), match=name):
        job.report(**{name: value, "message": "four"})
    assert job.state.progress == Progress(1, 2, 0, "three"), "nothing of it is taken"


@pytest.mark.parametrize("value", named(NO_MESSAGES))
@pytest.mark.parametrize(
    "say", [lambda job, value: job.report(message=value), JobContext.checkpoint], ids=["report", "checkpoint"]
)
def test_what_is_no_text_is_no_message(house: House, value: Any, say: Callable[[JobContext, Any], None]) -> None:
    job = house.run()
    with pytest.raises(TypeError, match="message must be a text"):
        say(job, value)


def test_a_message_is_cut_and_fit_for_any_database(house: House) -> None:
    job = house.run()
    job.report(message="x" * 5_000_000)
    assert job.state.progress.message == "x" * 500
    job.checkpoint(HALF + "\0!")
    assert job.state.progress.message == "caf?!"
    job.report(message="")
    assert job.state.progress.message == ""


def test_whole_numbers_of_other_libraries_are_taken(house: House) -> None:
    job = house.run()
    job.report(Whole(3), total=Whole(2**53 - 1))  # type: ignore[arg-type]
    assert job.state.progress == Progress(3, 2**53 - 1)
    assert type(job.state.progress.processed) is int


WRONG: dict[str, list[Any]] = {
    "size": [0, *NO_COUNTS],
    "total": NO_COUNTS,
    "delay_ms": NO_AMOUNTS,
    "jitter": NO_AMOUNTS,
}


@pytest.mark.parametrize("name", WRONG)
def test_batches_refuse_at_the_call_what_could_not_be_meant(house: House, name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises((TypeError, ValueError), match=name):
            house.run().batches(range(3), **({"size": 1} | {name: value}))


def test_batches_take_numbers_of_all_kinds(house: House) -> None:
    job = house.run()
    sizes = [len(batch.items) for batch in job.batches(range(3), size=Whole(2), delay_ms=Decimal("0.5"))]  # type: ignore[arg-type]
    assert sizes == [2, 1]


@pytest.mark.parametrize("seconds", named(NO_AMOUNTS))
def test_a_sleep_of_no_length_is_refused(house: House, seconds: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seconds"):
        house.run().sleep(seconds)
    assert house.time.sleeps == []


@pytest.mark.parametrize("at_ms", ["soon", None, math.nan, math.inf, True])
def test_a_sleep_until_no_time_is_refused(house: House, at_ms: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="at_ms"):
        house.run().sleep_until(at_ms)


@pytest.mark.parametrize("seconds", named(NO_AMOUNTS))
def test_a_call_without_a_deadline_is_refused_before_it_is_written_down(house: House, seconds: Any) -> None:
    batch = next(iter(house.run().batches(range(3), size=1)))
    with pytest.raises((TypeError, ValueError), match="deadline_seconds"):
        batch.intend([], deadline_seconds=seconds)
    assert not house.is_open()


def test_a_wait_that_is_over_already_does_not_sleep(house: House) -> None:
    house.run().wait_visibly(-0.5, "it is over")
    assert house.time.sleeps == []
