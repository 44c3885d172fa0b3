"""Groups in which only admins write: nobody is removed for the silence of the others, unless somebody says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.gateway import Listing
from runner.groups.queue import QueueRows
from runner.job import JsonDict
from tests.gateways.slow import SlowGateway, configure, effects, removed_ids
from tests.unit.removals import DAY, Bench, lid, lids

WINDOW = 30 * DAY
SAID: JsonDict = {"ignoreAnnouncement": True}


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.silent(12)
    made.observed()
    announcing(monkeypatch, from_list=1)
    yield made
    made.close()


def announcing(monkeypatch: pytest.MonkeyPatch, *, from_list: int) -> None:
    """Only admins write in the group, by its lists from this one on."""
    monkeypatch.undo()
    true_list = SlowGateway.list_group
    lists: list[Listing] = []

    def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
        lists.append(true_list(gateway, wa_id))
        return replace(lists[-1], is_announcement=len(lists) >= from_list)

    monkeypatch.setattr(SlowGateway, "list_group", list_group)


def queue_by_hand(bench: Bench, *numbers: int) -> None:
    with bench.store.write() as tx:
        QueueRows(tx).add(bench.group, [bench.person(number) for number in numbers], "by hand")


def queue_by_silence(bench: Bench) -> None:
    with bench.store.write() as tx:
        QueueRows(tx).sync(bench.group, WINDOW, tx.now, DAY)


def test_a_real_run_by_silence_is_refused_before_it_does_anything(slow: Bench) -> None:
    before = slow.dump()
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    error = str(slow.job(job_id).error)
    assert error.startswith("Only admins write in this group")
    assert '"ignoreAnnouncement": true' in error
    assert "in the queue by hand" in error
    assert slow.dump() == before
    assert effects(slow.home) == []


def test_a_list_that_cannot_be_believed_does_not_say_who_may_write(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Listing(None, 12, (), is_announcement=True)
    monkeypatch.setattr(SlowGateway, "list_group", lambda *_: cut)
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert "it is empty" in str(slow.job(job_id).error)


def test_a_dry_run_goes_on_and_warns(slow: Bench) -> None:
    result = slow.done(dryRun=True)
    assert [one["id"] for one in result["wouldRemove"]] == lids(range(1, 13))
    warning, most = result["warnings"]
    assert most.startswith("12 of 12 members would be removed")
    assert "only admins write in this group" in warning
    assert "ignoreAnnouncement" in warning


def test_whoever_says_so_has_it_run_and_is_warned(slow: Bench) -> None:
    result = slow.done(options=SAID)
    assert removed_ids(slow.home) == lids(range(1, 13))
    assert "only admins write in this group" in result["warnings"][0]


def test_a_queue_filled_by_hand_is_worked_off(slow: Bench) -> None:
    queue_by_hand(slow, 3, 4)
    assert slow.done("removal_queue")["removedWhatsappIds"] == lids((3, 4))


@pytest.mark.parametrize(("options", "left"), [({}, 11), (SAID, 0)])
def test_of_a_queue_those_who_came_there_by_silence_stay(slow: Bench, options: JsonDict, left: int) -> None:
    queue_by_hand(slow, 12)
    queue_by_silence(slow)
    result = slow.done("removal_queue", options=options)
    assert lid(12) in result["removedWhatsappIds"]
    assert len(result["removedWhatsappIds"]) == 12 - left
    assert len(slow.queue()) == left
    assert all("only admins write in this group" in one["reason"] for one in result.get("skipped", []))
    assert len(result.get("skipped", [])) == left


def test_a_group_that_becomes_one_during_the_run_loses_nobody_more(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcing(monkeypatch, from_list=2)
    result = slow.done(delayMs=20_000)
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == lids(range(1, 6))
    assert len(slow.queue()) == 7
