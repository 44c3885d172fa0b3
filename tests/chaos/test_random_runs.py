"""Random doings on a real server: started, steered, killed, frozen, drained; the promises hold all the same.

1,000 jobs in rounds of 20: ``tox -e chaos``. ``CHAOS_RUNS`` says how many, ``CHAOS_SEED`` which; the doings of a round
are the same for the same seed, what they meet is not.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.client import Client, people_of
from tests.chaos.play import Play
from tests.waiting import wait_for

EACH = 20
ROUNDS = -(-int(os.environ.get("CHAOS_RUNS", "1000")) // EACH)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))


def play(client: Client, number: int, count: int) -> Counter[str]:
    client.server.change(grace_seconds=1, terminate_seconds=0.5, max_running=8)
    played = Play(client, random.Random(f"{SEED}:{number}"), count)
    try:
        played.run()
    finally:
        print(f"CHAOS_SEED={SEED}, round {number}: {dict(played.done)}, {client.deaths} deaths of the server")
    assert client.drain() in (0, 3)
    wait_for(lambda: not people_of(client.server.home), "nobody is left")
    return played.done


def test_ten_random_runs(client: Client) -> None:
    play(client, 0, 10)


@pytest.fixture(scope="module")
def all_done() -> Counter[str]:
    return Counter()


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(ROUNDS))
def test_random_runs(
    number: int, client: Client, all_done: Counter[str], record_property: Callable[[str, Any], None]
) -> None:
    all_done.update(play(client, number, EACH))
    all_done["deaths of the server"] += client.deaths
    record_property("runs", dict(all_done))
    print(f"so far: {dict(all_done)}")
