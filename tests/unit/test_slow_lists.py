"""A gateway that takes long for a list: the call that follows it must have its time all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from runner.gateway import Listing, Outcome, Transient
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import Bench, lids

CALL_SECONDS = 90.0


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0, call_seconds=CALL_SECONDS)
    made.silent(4)
    made.observed()
    yield made
    made.close()


class Lists:
    """Each takes ``seconds``. A call is sent only with most of its time left, as by the gateways at a distance."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.asked, self.is_removing = 0.0, 0, False
        true_list, true_remove = SlowGateway.list_group, SlowGateway.remove

        def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
            if not self.is_removing:  # this gateway looks at its own list then
                self.asked += 1
                bench._sleep(self.seconds)
            return true_list(gateway, wa_id)

        def remove(
            gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]
        ) -> dict[str, Outcome]:
            if seconds_left() < 0.85 * CALL_SECONDS:
                raise Transient("too little time was left for the call", nothing_sent=True)
            self.is_removing = True
            try:
                return true_remove(gateway, wa_id, ids, seconds_left)
            finally:
                self.is_removing = False

        monkeypatch.setattr(SlowGateway, "list_group", list_group)
        monkeypatch.setattr(SlowGateway, "remove", remove)


@pytest.fixture
def lists(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> Lists:
    return Lists(slow, monkeypatch)


@pytest.mark.parametrize("seconds", [5, 11, 14, 29])
def test_however_long_a_list_takes_it_is_asked_for_once_a_batch(slow: Bench, lists: Lists, seconds: float) -> None:
    lists.seconds = seconds
    assert slow.done(batchSize=2)["removedWhatsappIds"] == removed_ids(slow.home) == lids(range(1, 5))
    assert lists.asked == 2


@pytest.mark.parametrize("seconds", [11, 14, 19])
def test_after_a_call_that_was_not_sent_too(slow: Bench, lists: Lists, seconds: float) -> None:
    lists.seconds = seconds
    configure(slow.home, call_ms=0, call_seconds=CALL_SECONDS, calls={"1": "not_connected"})
    assert slow.done(batchSize=4)["removedWhatsappIds"] == removed_ids(slow.home) == lids(range(1, 5))
    assert lists.asked == 2


def test_a_process_that_was_stopped_meanwhile_asks_again(slow: Bench, lists: Lists) -> None:
    """Nobody knows of when within it the list is."""
    lists.seconds = 3600
    slow.on_wait = lambda: setattr(lists, "seconds", 0)
    assert slow.done(batchSize=4)["removedWhatsappIds"] == removed_ids(slow.home) == lids(range(1, 5))
    assert lists.asked == 2


def test_a_gateway_that_takes_too_long_for_every_list_is_what_is_said(slow: Bench, lists: Lists) -> None:
    lists.seconds = 60
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert "took too long for its list" in str(slow.job(job_id).error)
    assert removed_ids(slow.home) == []
