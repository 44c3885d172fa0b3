"""Who counts as inactive: what was watched, and the one condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from runner.groups.activity import ActivityRows, Watch, Watchfulness, span
from runner.groups.silence import inactive, unknown
from runner.groups.whitelist import WhitelistRows
from runner.store import Transaction
from runner.stores.group_schema import memberships, observations, people, whitelist
from tests.unit.groupstore import DAY, NOW, GroupStore

WINDOW = 30 * DAY
CUTOFF = NOW - WINDOW


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupStore]:
    made = GroupStore(tmp_path_factory.mktemp("silence"))
    yield made
    made.store.close()


# -- observations ------------------------------------------------------------------------------------------------

Spans = list[tuple[int, int]]

WATCHES: list[tuple[str, Spans, int, tuple[int, int] | None]] = [
    ("nothing", [], 10, None),
    ("up to now", [(50, 100)], 0, (50, 100)),
    ("beyond now", [(50, 150)], 0, (50, 100)),
    ("only in the future", [(150, 160)], 10, None),
    ("lags within the slack", [(50, 95)], 5, (50, 95)),
    ("lags beyond the slack", [(50, 94)], 5, None),
    ("two that touch", [(50, 70), (70, 100)], 0, (50, 100)),
    ("a gap of one", [(50, 70), (71, 100)], 0, (71, 100)),
    ("overlapping", [(60, 100), (40, 80), (20, 50)], 0, (20, 100)),
    ("one inside another", [(20, 100), (40, 50)], 0, (20, 100)),
    ("short ones at the end of a long one", [(10, 100), (98, 100), (99, 100)], 0, (10, 100)),
    ("a gap far back", [(0, 10), (20, 60), (60, 98)], 5, (20, 98)),
    ("a moment", [(100, 100)], 0, (100, 100)),
]


def watch(tx: Transaction, kept: GroupStore, spans: Spans, slack: int) -> tuple[int, int] | None:
    tx.connection.execute(delete(observations))
    for from_ms, to_ms in spans:
        values = {"group_id": kept.group.id, "from_ms": from_ms, "to_ms": to_ms, "source": "x"}
        tx.connection.execute(insert(observations).values(values))
    found = ActivityRows(tx).watched_since(kept.group, 100, slack)
    return (found.since, found.until) if found else None


@pytest.mark.parametrize(("spans", "slack", "expected"), [case[1:] for case in WATCHES], ids=[c[0] for c in WATCHES])
def test_the_watch_that_reaches_to_now(
    kept: GroupStore, spans: Spans, slack: int, expected: tuple[int, int] | None
) -> None:
    with kept.tx() as tx:
        assert watch(tx, kept, spans, slack) == expected


spans_of_time = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair) * 2, max(pair) * 2)), max_size=8
)


@given(spans=spans_of_time, slack=st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_the_watch_is_the_union_seen_from_its_end(kept: GroupStore, spans: Spans, slack: int) -> None:
    """By walking back second by second: from the last watched one, as long as each is inside some span."""
    inside = {second for start, end in spans for second in range(start, min(end, 100) + 1)}
    last = max(inside, default=-1)
    expected = None
    if last >= 100 - slack and last >= 0:
        first = last
        while first - 1 in inside:
            first -= 1
        expected = (first, last)
    with kept.tx() as tx:
        assert watch(tx, kept, spans, slack) == expected


@given(spans=spans_of_time)
@settings(max_examples=100, deadline=None)
def test_observing_in_any_order_comes_to_the_same(kept: GroupStore, spans: Spans) -> None:
    with kept.tx() as tx:
        expected = watch(tx, kept, spans, 100)
        tx.connection.execute(delete(observations))
        rows = ActivityRows(tx)
        for from_ms, to_ms in [*spans, *reversed(spans)]:
            rows.observed(kept.group, from_ms, to_ms, "x")
        found = rows.watched_since(kept.group, 100, 100)
        assert ((found.since, found.until) if found else None) == expected
        kept_spans = list(tx.connection.execute(select(observations.c.from_ms, observations.c.to_ms)))
        assert len(set(kept_spans)) == len(kept_spans)


# -- the condition -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    role: str = "member"
    is_me: bool = False
    joined_at: int | None = None
    first_seen_at: int = NOW - 300 * DAY
    first_active_at: int | None = None
    last_active_at: int | None = None
    left_at: int | None = None
    whitelisted: bool = False


LONG_AGO, AT_CUTOFF, SINCE = NOW - 200 * DAY, CUTOFF, CUTOFF + 1
WHOLE = CUTOFF

PEOPLE: list[tuple[str, Person, int | None, str]] = [
    ("never spoke, long in sight", Person(), WHOLE, "inactive"),
    ("silent since the cutoff itself", Person(last_active_at=AT_CUTOFF), WHOLE, "inactive"),
    ("spoke a millisecond later", Person(last_active_at=SINCE), WHOLE, "active"),
    ("joined at the cutoff", Person(joined_at=AT_CUTOFF), WHOLE, "inactive"),
    ("joined a millisecond later", Person(joined_at=SINCE), WHOLE, "unknown"),
    ("joined again after their last word", Person(joined_at=SINCE, last_active_at=LONG_AGO), WHOLE, "unknown"),
    ("first seen too late, but known to have spoken", Person(first_seen_at=NOW, first_active_at=LONG_AGO,
        last_active_at=LONG_AGO), WHOLE, "inactive"),
    ("first seen too late", Person(first_seen_at=SINCE), WHOLE, "unknown"),
    ("join date before the first sight", Person(joined_at=LONG_AGO, first_seen_at=NOW), WHOLE, "inactive"),
    ("the watch begins a millisecond late", Person(), WHOLE + 1, "unknown"),
    ("nobody watches", Person(last_active_at=LONG_AGO), None, "unknown"),
    ("nobody watches, but they were heard", Person(last_active_at=NOW), None, "active"),
    ("an admin", Person(role="admin"), WHOLE, "exempt"),
    ("the owner", Person(role="superadmin"), WHOLE, "exempt"),
    ("ourselves", Person(is_me=True), WHOLE, "exempt"),
    ("on the whitelist", Person(whitelisted=True), WHOLE, "exempt"),
    ("gone", Person(left_at=LONG_AGO), WHOLE, "exempt"),
    ("an admin, not watched", Person(role="admin"), None, "exempt"),
]  # fmt: skip


def judge(tx: Transaction, kept: GroupStore, person: Person, since: int | None, cutoff: int = CUTOFF) -> str:
    run = tx.connection.execute
    for table in (whitelist, memberships, people):
        run(delete(table))
    person_id = run(insert(people).values(lid="1@lid").returning(people.c.id)).scalar_one()
    values = {name: value for name, value in vars(person).items() if name != "whitelisted"}
    run(insert(memberships).values(group_id=kept.group.id, person_id=person_id, **values))
    if person.whitelisted:
        WhitelistRows(tx).add(kept.group, person_id)
    found = run(select(inactive(since, cutoff), unknown(since, cutoff)).select_from(memberships)).one()
    assert not (found[0] and found[1])
    if found[0] or found[1]:
        return "inactive" if found[0] else "unknown"
    return "active" if (person.last_active_at or 0) > cutoff else "exempt"


@pytest.mark.parametrize(("person", "since", "expected"), [case[1:] for case in PEOPLE], ids=[c[0] for c in PEOPLE])
def test_who_is_inactive(kept: GroupStore, person: Person, since: int | None, expected: str) -> None:
    with kept.tx() as tx:
        assert judge(tx, kept, person, since) == expected


UNKNOWN = [case for case in PEOPLE if case[3] == "unknown" and case[2] is not None]


@pytest.mark.parametrize(("person", "since"), [case[1:3] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN])
def test_the_unknown_can_be_inactive_from_the_moment_that_is_said(kept: GroupStore, person: Person, since: int) -> None:
    """And not a millisecond before it, if they stay silent and the watching goes on."""
    window = NOW - CUTOFF
    with kept.tx() as tx:
        tx.connection.execute(delete(observations))
        rows = ActivityRows(tx)
        rows.observed(kept.group, since, NOW, "x")
        assert judge(tx, kept, person, since) == "unknown"
        first = rows.watchfulness(kept.group, window, NOW, 0).first_at
        assert first is not None
        assert judge(tx, kept, person, since, first - 1 - window) == "unknown"
        assert judge(tx, kept, person, since, first - window) == "inactive"


def test_no_moment_is_said_where_nobody_watches_or_nobody_is_unknown(kept: GroupStore) -> None:
    with kept.tx() as tx:
        tx.connection.execute(delete(observations))
        rows = ActivityRows(tx)
        judge(tx, kept, Person(), None)
        assert rows.watchfulness(kept.group, DAY, NOW, 0) == Watchfulness(0, DAY, 0, 1)
        rows.observed(kept.group, 0, NOW, "x")
        assert rows.watchfulness(kept.group, DAY, NOW, 0) == Watchfulness(DAY, DAY, 0, 0)


moments = st.integers(0, 40)
perhaps = st.none() | moments
anybody = st.builds(
    Person,
    role=st.sampled_from(["member", "member", "member", "admin"]),
    is_me=st.sampled_from([False, False, False, True]),
    joined_at=perhaps,
    first_seen_at=moments,
    first_active_at=perhaps,
    last_active_at=perhaps,
    left_at=st.none() | st.none() | moments,
    whitelisted=st.sampled_from([False, False, False, True]),
)


@given(person=anybody, since=perhaps, cutoff=moments)
@settings(max_examples=300, deadline=None)
def test_nobody_is_inactive_who_was_not_watched_or_not_silent(
    kept: GroupStore, person: Person, since: int | None, cutoff: int
) -> None:
    dates = (person.joined_at, person.first_active_at, person.first_seen_at)
    first_sight = next(at for at in dates if at is not None)
    whole = since is not None and max(since, first_sight) <= cutoff
    silent = person.last_active_at is None or person.last_active_at <= cutoff
    plain = person.role == "member" and not (person.is_me or person.whitelisted) and person.left_at is None
    with kept.tx() as tx:
        found = judge(tx, kept, person, since, cutoff)
    assert (found == "inactive") == (plain and silent and whole)
    assert (found == "unknown") == (plain and silent and not whole)


# -- what is said of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        (Watchfulness(3 * DAY, 30 * DAY, 0, 41), "activity known for 3 of 30 days, 41 people unknown"),
        (Watchfulness(30 * DAY, 30 * DAY, 0, 1), "activity known for 30 of 30 days, 1 person unknown"),
        (Watchfulness(30 * DAY - 1, 30 * DAY, 0, 0), "activity known for 29.9 of 30 days, 0 people unknown"),
        (Watchfulness(0, DAY, 0, 7), "activity known for 0 of 1 day, 7 people unknown"),
        (
            Watchfulness(DAY, DAY, 5 * 3_600_000, 7),
            "activity known for 1 of 1 day, 7 people unknown, nothing known of the last 5 hours",
        ),
        (
            Watchfulness(0, DAY, 0, 7, NOW),
            "activity known for 0 of 1 day, 7 people unknown, of whom nobody is inactive before 2025-06-15 15:06 UTC",
        ),
    ],
)
def test_the_sentence(watched: Watchfulness, said: str) -> None:
    assert str(watched) == said


def test_spans_are_rounded_down() -> None:
    assert [span(ms) for ms in (0, 999, 1000, 2550, 3_600_000, 30 * DAY)] == [
        "0 milliseconds", "999 milliseconds", "1 second", "2.5 seconds", "1 hour", "30 days",
    ]  # fmt: skip


def test_a_watch_is_what_it_says() -> None:
    assert Watch(1, 2) == Watch(since=1, until=2)
