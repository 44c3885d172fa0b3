"""How long is waited before another try, and for how many of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.backoff import Backoff, next_try
from runner.gateway import NotConnected, RateLimited
from runner.settings import Settings

MINUTE, HOUR = 60.0, 3600.0
MOMENT = 1_750_000_000_000  # 2025-06-15 15:06:40 UTC


class Time:
    """Passes only where somebody waits."""

    passed = 0.0

    def now(self) -> float:
        return self.passed


def backoff(*, endless: bool = False, chance: float = 0.0, time: Time | None = None, **settings: float) -> Backoff:
    given = Settings(home=Path(), **settings)  # type: ignore[arg-type]
    return Backoff(given, endless=endless, chance=lambda: chance, now=(time or Time()).now)


def waits(of: Backoff, error: Exception, most: int = 20, time: Time | None = None) -> list[float | None]:
    found: list[float | None] = []
    while len(found) < most and (not found or found[-1] is not None):
        found.append(of.wait_after(error))
        if time is not None:
            time.passed += found[-1] or 0.0
    return found


def test_an_ordinary_error_is_waited_for_up_to_an_hour_a_minute_at_most_each_time() -> None:
    time = Time()
    found = waits(backoff(time=time), NotConnected("down"), 200, time)
    assert found[:7] == [1, 2, 4, 8, 16, 32, MINUTE]
    assert found[-1] is None
    assert time.passed == HOUR, "the last wait ends where the limit is"


def test_how_long_a_gateway_is_waited_for_is_a_setting() -> None:
    time = Time()
    assert waits(backoff(time=time, gateway_wait_seconds=10), NotConnected("down"), 200, time) == [1, 2, 4, 3, None]


def test_the_limit_counts_the_time_of_the_calls_too() -> None:
    time = Time()
    of = backoff(time=time, gateway_wait_seconds=100)
    assert of.wait_after(NotConnected("down")) == 1
    time.passed = 99.5
    assert of.wait_after(NotConnected("down")) == 0.5
    time.passed = 100
    assert of.wait_after(NotConnected("down")) is None


def test_slow_down_is_waited_for_up_to_an_hour_and_then_no_more() -> None:
    assert waits(backoff(), RateLimited("slow")) == [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, HOUR, None]


def test_endless_is_never_through_and_never_beyond_the_longest() -> None:
    assert waits(backoff(endless=True), NotConnected("down"), 200)[-1] == MINUTE
    assert waits(backoff(endless=True), RateLimited("slow"), 200)[-1] == HOUR


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(30, 30), (0.5, 0.5), (HOUR, HOUR), (HOUR + 1, HOUR), (86_400, HOUR), (None, 300), (-5, 300), (0, 300), (1e9, 300)]
    + [(float(word), 300) for word in ("nan", "inf", "-inf")],
)
def test_what_the_other_side_asks_for_is_waited_where_it_can_be_meant(asked: float | None, waited: float) -> None:
    assert backoff().wait_after(RateLimited("slow", asked)) == waited


def test_what_is_asked_for_does_not_make_more_tries() -> None:
    assert waits(backoff(), RateLimited("slow", 2)) == [2, 2, 2, 2, 2, None]


def test_a_reset_begins_anew() -> None:
    found = backoff()
    waits(found, RateLimited("slow"))
    found.reset()
    assert found.wait_after(RateLimited("slow")) == 300


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 30))
def test_chance_makes_a_wait_longer_by_a_quarter_at_most(chance: float, tries: int) -> None:
    plain, shaken = backoff(endless=True), backoff(endless=True, chance=chance)
    for _ in range(tries):
        least, found = plain.wait_after(NotConnected("")), shaken.wait_after(NotConnected(""))
        assert least is not None
        assert found is not None
        assert least <= found <= least * 1.25


def test_an_endless_wait_does_not_end_after_a_day() -> None:
    found = backoff(endless=True)
    assert {found.wait_after(NotConnected("")) for _ in range(3000)} >= {1.0, 60.0}


def test_the_intervals_are_settings() -> None:
    assert waits(backoff(retry_seconds=0.01), NotConnected(""))[:2] == [0.01, 0.02]
    assert waits(backoff(slow_down_seconds=0.1), RateLimited(""))[-2] == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "next try 15:06:45 UTC"), (600, "next try 15:16 UTC"), (86_400, "next try 16 Jun 15:06 UTC")],
)
def test_when_the_next_try_is(seconds: int, said: str) -> None:
    assert next_try(MOMENT + seconds * 1000, MOMENT) == said
