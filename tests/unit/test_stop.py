"""The ladder in virtual time: whenever it is called, however late."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from runner.job import Phase
from runner.stop import EXAMINE_SECONDS, KILL_SECONDS, Act, Ladder, at_kill, begin, step, total_seconds

ORDER = list(Phase)
GRACE, TERMINATE = 4.0, 2.0
MOMENTS = (0.0, 3.9, 4.0, 5.0, 5.9, 6.0, 6.01, 6.05, 8.9, 9.0, 9.05, 14.0, 20.0)


def run(ladder: Ladder, moments: tuple[float, ...]) -> list[tuple[float, Act]]:
    """What it does when called at these moments; checks what holds at every single step."""
    done = []
    for now in moments:
        was = ladder
        ladder, acts = step(was, now)
        assert ORDER.index(ladder.phase) >= ORDER.index(was.phase), "a phase never goes back"
        assert ladder.next_at > now, "or the loop would spin"
        assert not acts or now >= was.next_at
        if Act.TERMINATE in acts:
            assert ladder.phase is Phase.TERMINATING
        if Act.KILL in acts:
            assert ladder.phase in (Phase.KILLING, Phase.UNCONFIRMED)
        if Act.GIVE_UP in acts:
            assert ladder.phase is Phase.UNCONFIRMED
        assert Act.EXAMINE not in acts or acts[0] is Act.EXAMINE, "before a signal that may end it"
        done += [(now, act) for act in acts]
    return done


@pytest.mark.parametrize("calls", range(1, 6))
def test_every_interleaving_of_late_calls(calls: int) -> None:
    for moments in combinations_with_replacement(MOMENTS, calls):
        done = run(begin(0.0, GRACE, TERMINATE), moments)
        acts = [act for _, act in done if act is not Act.EXAMINE]
        looks = [now for now, act in done if act is Act.EXAMINE]
        assert len(looks) == (moments[-1] >= GRACE - EXAMINE_SECONDS), "once, as soon as it is due"
        assert all(now >= GRACE - EXAMINE_SECONDS for now in looks)
        assert acts.count(Act.TERMINATE) <= 1
        assert acts.count(Act.GIVE_UP) <= 1
        assert all(now >= GRACE for now, act in done if act is Act.TERMINATE)
        assert all(now >= GRACE + TERMINATE for now, act in done if act is Act.KILL)
        assert all(now >= total_seconds(GRACE, TERMINATE) for now, act in done if act is Act.GIVE_UP)
        assert Act.GIVE_UP not in acts or Act.KILL in acts[: acts.index(Act.GIVE_UP)], "nobody is given up unkilled"
        assert Act.TERMINATE not in acts or acts[0] is Act.TERMINATE
        assert (moments[-1] < GRACE) == (acts == []), "whatever is due is done at the first call"
        assert moments[-1] < GRACE + TERMINATE or Act.KILL in acts


def test_called_in_time_it_climbs_rung_by_rung() -> None:
    ladder, now, done = begin(0.0, GRACE, TERMINATE), 0.0, []
    while now < 30:
        now = ladder.next_at
        ladder, acts = step(ladder, now)
        done += [(round(now, 6), act) for act in acts]
    kills = [at for at, act in done if act is Act.KILL]
    assert done[:2] == [(GRACE - EXAMINE_SECONDS, Act.EXAMINE), (GRACE, Act.TERMINATE)]
    assert kills[0] == GRACE + TERMINATE
    given_up = next(at for at, act in done if act is Act.GIVE_UP)
    assert total_seconds(GRACE, TERMINATE) <= given_up < total_seconds(GRACE, TERMINATE) + 0.1
    assert len([at for at in kills if at < given_up]) > KILL_SECONDS * 10, "again and again, since others may be born"
    assert [at for at in kills if at > given_up], "and still after it was given up"


@pytest.mark.parametrize(("grace", "terminate"), [(0.0, 0.0), (0.0, 2.0), (4.0, 0.0)])
def test_a_rung_of_no_length_is_passed_at_once(grace: float, terminate: float) -> None:
    first = run(begin(0.0, grace, terminate), (grace,))
    assert first == [(grace, Act.EXAMINE), (grace, Act.KILL if terminate == 0 else Act.TERMINATE)]


def test_what_a_job_left_behind_is_killed_at_once() -> None:
    moments = (7.0, 7.01, 7.05, 10.5)
    assert run(at_kill(7.0), moments) == [
        (7.0, Act.EXAMINE),
        (7.0, Act.KILL),
        (7.05, Act.KILL),
        (10.5, Act.GIVE_UP),
    ], "the examination is asked for, and not waited for"


def test_force_takes_a_ladder_on_from_where_it_is() -> None:
    ladder, _ = step(begin(0.0, GRACE, TERMINATE), GRACE)
    forced, acts = step(at_kill(GRACE + 0.5, ladder.phase), GRACE + 0.5)
    assert (forced.phase, acts[-1]) == (Phase.KILLING, Act.KILL)


def test_before_anything_is_due_nothing_changes() -> None:
    ladder = begin(10.0, GRACE, TERMINATE)
    assert step(ladder, 13.8) == (ladder, ())
