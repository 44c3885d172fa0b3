"""Real removals in real processes, cancelled at random moments: what was promised with the 200 holds to the letter.

1,000 of them: ``tox -e stress``. ``STRESS_CANCELS`` says how many, ``CHAOS_SEED`` which.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.cancels import MOMENTS, SLOWNESS, Cancels, check, make_groups
from tests.gateways.slow import configure
from tests.processes.conftest import Jobs

EACH = 50
ROUNDS = -(-int(os.environ.get("STRESS_CANCELS", "1000")) // EACH)
ENOUGH = 5
"""After so many rounds no moment can have been missed by chance."""

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))


def cancel_many(open_jobs: Callable[..., Jobs], count: int, seed: int) -> Counter[str]:
    jobs = open_jobs(gateway="tests.gateways.slow:open_slow", min_delay_ms=0, standby=4)
    configure(jobs.settings.home, **SLOWNESS)
    make_groups(jobs, count)
    cancels = Cancels(jobs, count, seed)
    fell = cancels.run()
    assert len(cancels.answered) == count
    check(jobs, cancels.answered)
    return fell


def test_cancels_at_random_moments(open_jobs: Callable[..., Jobs]) -> None:
    fell = cancel_many(open_jobs, 20, SEED)
    print(f"CHAOS_SEED={SEED}: {dict(fell)}")


@pytest.fixture(scope="module")
def all_fell() -> Counter[str]:
    return Counter()


@pytest.mark.stress
@pytest.mark.parametrize("number", range(ROUNDS))
def test_many_cancels_at_random_moments(
    number: int,
    open_jobs: Callable[..., Jobs],
    all_fell: Counter[str],
    record_property: Callable[[str, Any], None],
) -> None:
    all_fell.update(cancel_many(open_jobs, EACH, SEED + number))
    fell = {moment: all_fell[moment] for moment in MOMENTS}
    print(f"CHAOS_SEED={SEED}, round {number}, {sum(fell.values())} so far: {fell}")
    record_property("cancels", fell)
    if number == ROUNDS - 1 >= ENOUGH:
        assert all(fell.values()), f"each moment was met: {fell}"
