"""The ladder in virtual time: asked at whatever moments, it goes up rung by rung and never gives up in silence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.job import Phase
from runner.stop import KILL_SECONDS, Act, Ladder, at_kill, begin, step, total_seconds

GRACE, TERMINATE = 30.0, 5.0
RUNGS = [Phase.REQUESTED, Phase.TERMINATING, Phase.KILLING, Phase.UNCONFIRMED]


def climb(ladder: Ladder, until: float) -> list[tuple[float, Act]]:
    """Asks it whenever it wants to be asked; what it did, and when."""
    done: list[tuple[float, Act]] = []
    now = 0.0
    while now <= until:
        ladder, act = step(ladder, now)
        if act is not None:
            done.append((now, act))
        now = max(ladder.next_at, now + 0.001)
    return done


def test_each_rung_is_taken_when_it_is_due() -> None:
    done = climb(begin(0.0, GRACE, TERMINATE), 60.0)
    assert done[0] == (GRACE, Act.TERMINATE)
    assert done[1] == (GRACE + TERMINATE, Act.KILL)
    (gave_up,) = [at for at, act in done if act is Act.GIVE_UP]
    assert abs(gave_up - total_seconds(GRACE, TERMINATE)) <= 0.1
    assert [act for at, act in done if at > gave_up] == [Act.KILL] * len([at for at, _ in done if at > gave_up])
    assert done[-1][0] > 50, "whoever would not die is tried again for as long as it lives"


def test_without_grace_it_terminates_at_once_and_without_both_it_kills() -> None:
    assert climb(begin(0.0, 0.0, TERMINATE), 1.0) == [(0.0, Act.TERMINATE)]
    assert climb(begin(0.0, 0.0, 0.0), 0.0)[0] == (0.0, Act.KILL)
    assert climb(at_kill(0.0), 0.0) == [(0.0, Act.KILL)]


@given(
    grace=st.floats(0, 100),
    terminate=st.floats(0, 100),
    pauses=st.lists(st.floats(0.001, 80), min_size=1, max_size=40),
)
def test_asked_at_any_moments_it_never_goes_down_and_is_never_early(
    grace: float, terminate: float, pauses: list[float]
) -> None:
    ladder, now = begin(0.0, grace, terminate), 0.0
    for pause in pauses:
        now += pause
        was = ladder.phase
        ladder, act = step(ladder, now)
        assert RUNGS.index(ladder.phase) >= RUNGS.index(was)
        if act is Act.TERMINATE:
            assert grace <= now < grace + terminate
        if act in (Act.KILL, Act.GIVE_UP):
            assert now >= grace + terminate
        if act is Act.GIVE_UP:
            assert was is Phase.KILLING
            assert now >= grace + terminate + KILL_SECONDS
        if now >= grace + terminate:
            assert ladder.phase in (Phase.KILLING, Phase.UNCONFIRMED), "late or not, what is due is done"


@given(now=st.floats(0, 29.999))
def test_before_the_grace_is_over_nothing_is_done(now: float) -> None:
    ladder = begin(0.0, GRACE, TERMINATE)
    assert step(ladder, now) == (ladder, None)
