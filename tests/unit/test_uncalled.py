"""A crash between the intent and its call: nothing was sent, and that is known for certain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.clock import Deadline
from runner.groups.member import MemberRows
from runner.groups.queue import QueueRows
from runner.ledger import Ledger
from runner.stores.runs import RunRows
from tests.gateways.slow import configure, removed_ids
from tests.unit.removals import NOW, Bench, Killed, lid, lids

SLOW = "tests.gateways.slow:open_slow"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway=SLOW)
    configure(tmp_path, call_ms=0)
    made.silent(8)
    made.observed()
    yield made
    made.close()


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """As many as stand in it: each takes one out."""
    true_stamp, left = Ledger.stamp_call, list[bool]()

    def stamp_call(ledger: Ledger, seq: int, seconds: float) -> Deadline:
        if left:
            left.pop()
            raise Killed
        return true_stamp(ledger, seq, seconds)

    monkeypatch.setattr(Ledger, "stamp_call", stamp_call)
    return left


@pytest.mark.parametrize("times", [1, 3])
def test_it_costs_no_try_however_often(slow: Bench, deaths: list[bool], times: int) -> None:
    """Nobody was asked for, so nobody is given up as asked twice."""
    job_id = slow.start()
    for number in range(times):
        deaths.append(True)
        if number:
            with slow.store.write() as tx:
                assert RunRows(tx).claim_again(job_id, slow.job(job_id).epoch, "here")
        slow.run_until_killed(job_id)
    assert removed_ids(slow.home) == []
    assert {one.tries for one in slow.queue()} == {0}
    assert slow.run_again(job_id) == "completed"
    result = slow.result(job_id)
    assert sorted(result["removedWhatsappIds"]) == sorted(removed_ids(slow.home)) == lids(range(1, 9))
    assert "givenUp" not in result
    assert [one.outcome for one in slow.history()] == ["SUCCESS"] * 8


def test_who_left_since_was_not_removed(slow: Bench, deaths: list[bool]) -> None:
    deaths.append(True)
    job_id = slow.start()
    slow.run_until_killed(job_id)
    with slow.store.write() as tx:
        MemberRows(tx).leave(slow.group, [slow.person(1)], NOW)
    assert slow.run_again(job_id) == "completed"
    result = slow.result(job_id)
    assert sorted(result["removedWhatsappIds"]) == lids(range(2, 9))
    assert [one["id"] for one in result["alreadyGone"]] == [lid(1)]


def test_who_was_taken_out_of_the_queue_since_is_left_alone(slow: Bench, deaths: list[bool]) -> None:
    deaths.append(True)
    job_id = slow.start()
    slow.run_until_killed(job_id)
    with slow.store.write() as tx:
        QueueRows(tx).drop(slow.group, [slow.person(1)])
    assert slow.run_again(job_id) == "completed"
    assert lid(1) not in removed_ids(slow.home)
    assert [one["reason"] for one in slow.result(job_id)["skipped"]] == [
        "taken out of the queue before anybody was asked for"
    ]


def test_a_job_that_always_dies_there_is_not_said_to_get_on(slow: Bench, deaths: list[bool]) -> None:
    """Else its crashes are never enough to fail it, and it is started again for ever."""
    job_id = slow.start()
    for _ in range(3):
        deaths.append(True)
        slow.run_until_killed(job_id)
        with slow.store.write() as tx:
            RunRows(tx).count_crash(job_id, slow.job(job_id).epoch)
            assert RunRows(tx).claim_again(job_id, slow.job(job_id).epoch, "here")
    assert slow.job(job_id).crashes == 3
    assert slow.run(job_id) == "completed"
    assert slow.job(job_id).crashes == 0
