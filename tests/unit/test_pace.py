"""The rules of the pace, as figures: caps, hours, and what a long queue makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.groups.pace import ACCOUNT, DAY_MS, GROUP, HOUR_MS, Asked, Cap, Pace, about, pace_of
from runner.settings import Settings

NONE: dict[str, Asked] = {GROUP: (), ACCOUNT: ()}
NOON = int(datetime(2025, 6, 15, 12, tzinfo=UTC).timestamp() * 1000)


def pace(**given: Any) -> Pace:
    return pace_of(Settings(home=Path(), **given))


def at(hour: int, minute: int = 0, day: int = 15, month: int = 6) -> int:
    return int(datetime(2025, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def test_without_settings_nothing_is_on() -> None:
    assert not pace().is_on
    assert pace().on_wire() == {}
    assert pace().due(NOON, 10**6, NONE) is None
    assert not Settings(home=Path()).is_paced


@given(
    st.lists(st.tuples(st.integers(0, 3 * HOUR_MS), st.integers(1, 5)), max_size=40),
    st.integers(1, 9),
    st.integers(1, 5),
)
def test_at_that_moment_it_fits_and_a_moment_before_it_does_not(
    past: list[tuple[int, int]], most: int, people: int
) -> None:
    people = min(people, most)
    cap = Cap(GROUP, most, HOUR_MS)
    asked = sorted((NOON - ago, count) for ago, count in past)
    free = cap.free_at(NOON, people, asked)

    def used(moment: int) -> int:
        return sum(count for when, count in asked if when > moment - HOUR_MS)

    assert used(free) + people <= most
    assert free == NOON or used(free - 1) + people > most


def test_the_cap_that_holds_up_longest_is_named() -> None:
    found = pace(pace_group_per_hour=5, pace_account_per_day=20)
    asked = {GROUP: [(NOON - 1000, 5)], ACCOUNT: [(NOON - 2000, 15), (NOON - 1000, 5)]}
    assert found.due(NOON, 5, asked) == (
        NOON - 2000 + DAY_MS,
        "No more than 20 people a day in all groups together are removed",
    )
    asked[ACCOUNT] = []
    assert found.due(NOON, 5, asked) == (
        NOON - 1000 + HOUR_MS,
        "No more than 5 people an hour in this group are removed",
    )


@pytest.mark.parametrize(
    ("hours", "zone", "now", "opens"),
    [
        ("09:00-20:00", "UTC", at(8, 59), at(9)),
        ("09:00-20:00", "UTC", at(9), at(9)),
        ("09:00-20:00", "UTC", at(19, 59), at(19, 59)),
        ("09:00-20:00", "UTC", at(20), at(9, day=16)),
        ("22:00-06:00", "UTC", at(5), at(5)),
        ("22:00-06:00", "UTC", at(23), at(23)),
        ("22:00-06:00", "UTC", at(6), at(22)),
        ("09:00-20:00", "America/Sao_Paulo", at(11), at(12)),
        ("02:15-02:45", "Europe/Berlin", at(0, day=30, month=3), at(1, 15, day=30, month=3)),  # it is called 03:15
        ("02:15-02:45", "Europe/Berlin", at(23, 50, day=25, month=10), at(0, 15, day=26, month=10)),
    ],
)
def test_when_it_is_allowed(hours: str, zone: str, now: int, opens: int) -> None:
    found = pace(pace_hours=hours, pace_time_zone=zone)
    assert found.hours is not None
    assert found.hours.open_at(now) == opens
    due = found.due(now, 1, NONE)
    assert due == (None if opens == now else (opens, f"People are removed between {hours} ({zone}) only"))


@pytest.mark.parametrize("wrong", ["9-20", "09:00", "24:00-01:00", "09:00-09:00", "09:60-10:00"])
def test_hours_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="are not hours"):
        Settings(home=Path(), pace_hours=wrong)


def test_a_zone_that_is_none_is_refused() -> None:
    for wrong in ("Mars/Olympus", "../etc/passwd"):
        with pytest.raises(ValidationError, match="is not a time zone"):
            Settings(home=Path(), pace_time_zone=wrong)


def test_a_cap_a_day_needs_a_memory_of_a_day() -> None:
    with pytest.raises(ValidationError, match="RUNNER_RETENTION_DAYS of 1 or more"):
        Settings(home=Path(), pace_group_per_day=5, retention_days=0)


@pytest.mark.parametrize(
    ("given_", "people", "lasts"),
    [
        ({"pace_group_per_day": 200}, 1000, "4 days"),
        ({"pace_group_per_day": 200}, 1001, "5 days"),
        ({"pace_group_per_hour": 50}, 1000, "19 hours"),
        ({"pace_group_per_hour": 50, "pace_group_per_day": 200, "pace_hours": "09:00-20:00"}, 1000, "4 days"),
        ({"pace_account_per_hour": 10, "pace_hours": "09:00-12:00"}, 300, "9 days"),
        ({"pace_hours": "09:00-20:00"}, 1000, "33 minutes"),
        ({"pace_group_per_hour": 5000}, 1000, "33 minutes"),
    ],
)
def test_how_long_it_takes(given_: dict[str, Any], people: int, lasts: str) -> None:
    found = pace(**given_, pace_time_zone="UTC")
    begins = at(9)
    assert about(found.ends_at(begins, people, NONE, 2000.0) - begins) == lasts


def test_what_was_asked_for_today_is_counted() -> None:
    found = pace(pace_group_per_day=200)
    asked: dict[str, Asked] = {GROUP: [(NOON - HOUR_MS, 150)], ACCOUNT: [(NOON - HOUR_MS, 150)]}
    assert found.ends_at(NOON, 50, asked, 2000.0) < NOON + HOUR_MS
    assert found.ends_at(NOON, 51, asked, 2000.0) >= NOON + 23 * HOUR_MS


def test_what_is_on_is_said() -> None:
    found = pace(pace_jitter=0.3, pace_group_per_hour=50, pace_account_per_day=200, pace_hours="09:00-20:00")
    assert found.on_wire() == {"jitter": 0.3, "groupPerHour": 50, "accountPerDay": 200, "hours": "09:00-20:00"}
    assert [cap.setting for cap in found.caps] == ["RUNNER_PACE_GROUP_PER_HOUR", "RUNNER_PACE_ACCOUNT_PER_DAY"]
    assert all(name.setting.lower().removeprefix("runner_") in Settings.model_fields for name in found.caps)
