"""The runner under simulated time, run by run, each made by its seed; a failure prints the seed and what happened.

``SIMULATION_SEED=n`` plays that run alone (choose the test with ``-k``); ``SIMULATION_FIRST=n`` begins the many
runs of the marked tests at another seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from runner.workflow import load_workflows
from tests.simulation import workflows
from tests.simulation.planted import PLANTED, Planted
from tests.simulation.play import CALM_CANCELS, CANCELS, RUNS, Scene, Told, play

CHUNK = 100
CHUNKS = range(100)
FEW = 150
EVERYWHERE = frozenset(
    {"waiting (pending)", "claimed, no process", "handing over", "between batches", "between intent and call"}
    | {"in the call", "between call and commit", "in the delay", "ending", "over, its process not yet", "ended"}
)
_MOST_SEEDS = 900
_LINES = 200

Places = Counter[tuple[str, str]]
Report = Callable[[Told], Told]


@pytest.fixture(scope="module", autouse=True)
def _types() -> None:
    load_workflows([workflows.__name__])


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest) -> Iterator[Places]:
    """Where the deeds of all runs fell, printed at the end."""
    found: Places = Counter()
    yield found
    if found:
        lines = [f"{deed:>18}  {place:<28}{count:7d}" for (deed, place), count in sorted(found.items())]
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print("\n\nwhere it fell\n" + "\n".join(lines))


def seeds(count: int, first: int = 0) -> Iterator[int]:
    alone = os.environ.get("SIMULATION_SEED")
    begin = int(os.environ.get("SIMULATION_FIRST", 0)) + first
    return iter([int(alone)] if alone else range(begin, begin + count))


def judged(told: Told, places: Places) -> Told:
    """Fails with the seed, the invariant and the last lines of what happened."""
    places.update(told.places)
    if told.violations:
        lines = told.in_words().splitlines()
        pytest.fail(f"SIMULATION_SEED={told.seed} plays this run again\n" + "\n".join(lines[-_LINES:]), pytrace=False)
    return told


def cancels_in(told: Told) -> int:
    """Of jobs that had not ended."""
    return sum(count for (deed, place), count in told.places.items() if deed == "cancel" and place != "ended")


def fallen(places: Places) -> set[str]:
    return {place for deed, place in places if deed == "cancel"}


def cancel_until(count: int, first: int, places: Places) -> None:
    """Runs until so many cancels have met a job that had not ended."""
    left = count
    for seed in seeds(10 * count, first):
        left -= cancels_in(judged(play(seed, CANCELS if seed % 2 else CALM_CANCELS), places))
        if left <= 0:
            break


def test_runs(places: Places) -> None:
    for seed in seeds(FEW):
        judged(play(seed, RUNS), places)


def test_cancels(places: Places) -> None:
    """And they fall everywhere; else they would prove less than they seem to."""
    cancel_until(FEW, 0, places)
    if "SIMULATION_SEED" not in os.environ:
        for first in range(10 * FEW, 50 * FEW, 10 * FEW):  # the rarest place is met once in some hundred
            if fallen(places) >= EVERYWHERE:
                break
            cancel_until(FEW, first, places)
        assert fallen(places) >= EVERYWHERE


@pytest.mark.chaos
@pytest.mark.parametrize("chunk", CHUNKS)
def test_many_runs(chunk: int, places: Places) -> None:
    for seed in seeds(CHUNK, 1_000_000 + chunk * CHUNK):
        judged(play(seed, RUNS), places)


@pytest.mark.stress
@pytest.mark.parametrize("chunk", CHUNKS)
def test_many_cancels(chunk: int, places: Places) -> None:
    cancel_until(CHUNK, 1_000_000 + chunk * CHUNK * 10, places)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_is_found_and_named(planted: Planted) -> None:
    find(planted)


def find(planted: Planted) -> None:
    """Plays until it is found, and sees what it is called."""
    for seed in range(planted.first, planted.first + _MOST_SEEDS):
        with pytest.MonkeyPatch.context() as patch:
            planted.plant(patch)
            found = play(seed, planted.scene).violations
        if found:
            assert found[0].invariant in planted.breaks, found
            return
    pytest.fail(f"{_MOST_SEEDS} runs did not find it")


@pytest.mark.parametrize("scene", [RUNS, CANCELS], ids=["runs", "cancels"])
def test_a_seed_makes_the_same_run_again(scene: Scene) -> None:
    first, second = (play("once and again", scene) for _ in range(2))
    assert (first.steps, first.places, first.digest) == (second.steps, second.places, second.digest)
    assert play("another", scene).digest != first.digest
