"""Random removals on a real server, by both adapters over real HTTP, from a fake gateway that fails in its own process.

1,000 jobs in rounds of 20: ``tox -e chaos``. ``CHAOS_REMOVALS`` says how many, ``CHAOS_SEED`` which; an ordinary run
plays ``CHAOS_FEW_REMOVALS`` (2) by each adapter.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.client import Client, people_of
from tests.chaos.fake_gateway import FakeGateway
from tests.chaos.removal_oracle import install
from tests.chaos.removals import RemovalPlay, fill
from tests.waiting import wait_for

EACH = 20
FEW = int(os.environ.get("CHAOS_FEW_REMOVALS", "2"))
ROUNDS = -(-int(os.environ.get("CHAOS_REMOVALS", "1000")) // EACH)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
KINDS = ("evolution", "waha")
_QUICK: dict[str, Any] = {
    "gateway_call_seconds": 2.5,
    "retry_seconds": 0.05,
    "slow_down_seconds": 0.15,
    "gateway_wait_seconds": 5.0,
}

Gateways = Callable[[str, random.Random], FakeGateway]


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Gateways]:
    opened: list[FakeGateway] = []

    def open_one(kind: str, chance: random.Random) -> FakeGateway:
        opened.append(FakeGateway(tmp_path / "gateway", kind, chance))
        return opened[-1]

    yield open_one
    for gateway in opened:
        gateway.close()


def play(client: Client, gateways: Gateways, number: int, count: int, *, dry: bool = False) -> Counter[str]:
    chance = random.Random(f"removals {SEED}:{number}")
    gateway = gateways(KINDS[number % len(KINDS)], chance)
    home = client.server.home
    fill(home / "runner.db")
    install(home / "runner.db")
    client.server.change(grace_seconds=1, terminate_seconds=0.5, max_running=8, **_QUICK)
    client.server.give(**gateway.environment())
    played = RemovalPlay(client, chance, count, gateway=gateway, dry=dry)
    try:
        played.run()
    finally:
        deaths = client.deaths
        print(
            f"CHAOS_SEED={SEED}, round {number} by {gateway.kind}: {dict(played.done)}, {deaths} deaths of the server"
        )
    assert client.drain() in (0, 3)
    wait_for(lambda: not people_of(home), "nobody is left")
    if dry:
        assert gateway.calls("remove") == []
        assert gateway.calls("list")
    return played.done


@pytest.mark.parametrize("number", [0, 1], ids=KINDS)
def test_some_random_removals(number: int, client: Client, gateways: Gateways) -> None:
    play(client, gateways, number, FEW)


def test_dry_runs_ask_the_gateway_for_no_change(client: Client, gateways: Gateways) -> None:
    play(client, gateways, 2, 4, dry=True)


@pytest.fixture(scope="module")
def all_done() -> Counter[str]:
    return Counter()


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(ROUNDS))
def test_random_removals(
    number: int,
    client: Client,
    gateways: Gateways,
    all_done: Counter[str],
    record_property: Callable[[str, Any], None],
) -> None:
    all_done.update(play(client, gateways, number, EACH))
    all_done["deaths of the server"] += client.deaths
    record_property("runs", dict(all_done))
    print(f"so far: {dict(all_done)}")
