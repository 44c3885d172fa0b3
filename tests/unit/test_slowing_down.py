"""A gateway that puts some people of a batch off: each keeps their own outcome, and the job waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.groups.queue import QueueRows
from runner.stores.runs import RunRows
from tests.gateways.slow import configure, effects, removed_ids
from tests.unit.removals import Bench, lid, lids

SLOW = "tests.gateways.slow:open_slow"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway=SLOW)
    made.silent(7)
    made.observed()
    made.on_wait = lambda: renew(made)
    yield made
    made.close()


def renew(bench: Bench) -> None:
    """As the server does all the while."""
    with bench.store.write() as tx:
        RunRows(tx).renew_leases("here")


def test_whoever_is_put_off_comes_again_after_a_pause_and_the_others_are_booked(slow: Bench) -> None:
    configure(slow.home, call_ms=0, refuse={lid(2): "403"}, later={"1": [lid(3), lid(5)]})
    job_id = slow.start()
    assert slow.run(job_id) == "completed"
    assert removed_ids(slow.home) == [*lids([1, 4]), *lids([6, 7, 3, 5])]
    assert slow.result(job_id)["removedWhatsappIds"] == removed_ids(slow.home)
    assert [one["id"] for one in slow.result(job_id)["refused"]] == [lid(2)]
    assert slow.time.passed == 300
    assert slow.job(job_id).progress.processed == 7
    assert slow.queue() == []


def test_the_wait_shows_and_is_no_try(slow: Bench) -> None:
    seen: list[tuple[str, list[int]]] = []

    def look() -> None:
        renew(slow)
        waiting = slow.job(job_id).waiting
        assert waiting is not None
        seen.append((waiting["reason"], [entry.tries for entry in slow.queue()]))

    configure(slow.home, call_ms=0, later={"1": [lid(7)]})
    job_id = slow.start(batchSize=7)
    slow.on_wait = look
    assert slow.run(job_id) == "completed"
    assert seen == [("slow down (429); next try 15:11 UTC", [0])]
    assert slow.job(job_id).waiting is None


def test_a_gateway_that_puts_off_for_ever_ends_the_job_and_the_people_stay_queued(slow: Bench) -> None:
    configure(slow.home, call_ms=0, later={str(call): [lid(7)] for call in range(1, 30)})
    job_id = slow.start(batchSize=7)
    assert slow.run(job_id) == "failed"
    assert (slow.job(job_id).error or "").startswith("slow down (429). That was so after a wait of an hour too")
    assert slow.time.passed == 300 + 600 + 1200 + 2400 + 3600
    assert [(entry.lid, entry.tries) for entry in slow.queue()] == [(lid(7), 0)]
    assert len([line for line in effects(slow.home) if line["event"] == "asked"]) == 6


def test_whoever_was_taken_out_of_the_queue_meanwhile_does_not_come_again(slow: Bench) -> None:
    configure(slow.home, call_ms=0, later={"1": [lid(7)]})
    job_id = slow.start(batchSize=7)

    def take_out() -> None:
        with slow.store.write() as tx:
            QueueRows(tx).clear(slow.group)
        renew(slow)

    slow.on_wait = take_out
    assert slow.run(job_id) == "completed"
    assert lid(7) not in removed_ids(slow.home)
