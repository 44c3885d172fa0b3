"""The ladder in virtual time: whenever it is called, however late."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from runner.job import Phase
from runner.stop import KILL_SECONDS, Act, Ladder, at_kill, begin, step, total_seconds

ORDER = list(Phase)
GRACE, TERMINATE = 4.0, 2.0
MOMENTS = (0.0, 3.9, 4.0, 5.0, 5.9, 6.0, 6.01, 6.05, 8.9, 9.0, 9.05, 14.0, 20.0)


def run(ladder: Ladder, moments: tuple[float, ...]) -> list[tuple[float, Act]]:
    """What it does when called at these moments; checks what holds at every single step."""
    done = []
    for now in moments:
        was = ladder
        ladder, act = step(was, now)
        assert ORDER.index(ladder.phase) >= ORDER.index(was.phase), "a phase never goes back"
        assert ladder.next_at > now, "or the loop would spin"
        assert act is None or now >= was.next_at
        if act is Act.TERMINATE:
            assert ladder.phase is Phase.TERMINATING
        if act is Act.KILL:
            assert ladder.phase in (Phase.KILLING, Phase.UNCONFIRMED)
        if act is Act.GIVE_UP:
            assert ladder.phase is Phase.UNCONFIRMED
        if act is not None:
            done.append((now, act))
    return done


@pytest.mark.parametrize("calls", range(1, 6))
def test_every_interleaving_of_late_calls(calls: int) -> None:
    for moments in combinations_with_replacement(MOMENTS, calls):
        done = run(begin(0.0, GRACE, TERMINATE), moments)
        acts = [act for _, act in done]
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
        ladder, act = step(ladder, now)
        done.append((round(now, 6), act))
    kills = [at for at, act in done if act is Act.KILL]
    assert done[0] == (GRACE, Act.TERMINATE)
    assert kills[0] == GRACE + TERMINATE
    given_up = next(at for at, act in done if act is Act.GIVE_UP)
    assert total_seconds(GRACE, TERMINATE) <= given_up < total_seconds(GRACE, TERMINATE) + 0.1
    assert len([at for at in kills if at < given_up]) > KILL_SECONDS * 10, "again and again, since others may be born"
    assert [at for at in kills if at > given_up], "and still after it was given up"


@pytest.mark.parametrize(("grace", "terminate"), [(0.0, 0.0), (0.0, 2.0), (4.0, 0.0)])
def test_a_rung_of_no_length_is_passed_at_once(grace: float, terminate: float) -> None:
    first = run(begin(0.0, grace, terminate), (grace,))
    assert first == [(grace, Act.KILL if terminate == 0 else Act.TERMINATE)]


def test_what_a_job_left_behind_is_killed_at_once() -> None:
    assert run(at_kill(7.0), (7.0, 7.01, 7.05, 10.5)) == [(7.0, Act.KILL), (7.05, Act.KILL), (10.5, Act.GIVE_UP)]


def test_before_anything_is_due_nothing_changes() -> None:
    ladder = begin(10.0, GRACE, TERMINATE)
    assert step(ladder, 13.9) == (ladder, None)
