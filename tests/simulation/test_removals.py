"""Removals under simulated time, with a gateway that fails as the real ones do; see ``test_simulation`` for the seeds.

``SIMULATION_RUNS`` says how many the marked test plays, 10,000 if nothing does, in chunks of 100; an ordinary run
plays ``SIMULATION_FEW`` (10).
"""

from __future__ import annotations

import os

import pytest

from runner.workflow import load_workflows
from tests.simulation import workflows
from tests.simulation.planted import Planted
from tests.simulation.play import play
from tests.simulation.removal_deeds import REMOVALS
from tests.simulation.removal_planted import PLANTED
from tests.simulation.test_simulation import CHUNK, Places, find, judged, places, seeds

__all__ = ["places"]

FEW = int(os.environ.get("SIMULATION_FEW", "10"))
CHUNKS = range(-(-int(os.environ.get("SIMULATION_RUNS", "10000")) // CHUNK))


@pytest.fixture(scope="module", autouse=True)
def _types() -> None:
    load_workflows([workflows.__name__])


def test_removals(places: Places) -> None:
    for seed in seeds(FEW):
        judged(play(seed, REMOVALS), places)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_is_found_and_named(planted: Planted) -> None:
    find(planted)


@pytest.mark.chaos
@pytest.mark.parametrize("chunk", CHUNKS)
def test_many_removals(chunk: int, places: Places) -> None:
    for seed in seeds(CHUNK, 2_000_000 + chunk * CHUNK):
        judged(play(seed, REMOVALS), places)
