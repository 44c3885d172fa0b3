"""A gateway that takes long for a list: the call that follows it must have its time all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runner.clock import Deadline
from runner.gateway import Listing, NotConnected, Outcome, Participant, Transient
from runner.groups.pacing import Pacing, TooSoon
from runner.ledger import Ledger
from runner.store import Transaction
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import Bench, lid, lids

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
        self.failing, self.admins = set[int](), set[str]()
        true_list, true_remove = SlowGateway.list_group, SlowGateway.remove

        def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
            if not self.is_removing:  # this gateway looks at its own list then
                self.asked += 1
                bench._sleep(self.seconds)
                if self.asked in self.failing:
                    raise NotConnected("no list now")
            found = true_list(gateway, wa_id)
            if self.is_removing:
                return found  # it would do whatever it is asked for
            return replace(found, participants=tuple(map(self._as_now, found.participants)))

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

    def _as_now(self, one: Participant) -> Participant:
        return replace(one, role="admin") if one.id in self.admins else one


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


def made_admin_while_it_stands_still(slow: Bench, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right before the first call nothing runs for an hour, and meanwhile the first of them is made an admin."""
    true_stamp, stamps = Ledger.stamp_call, list[int]()

    def stand_still(ledger: Ledger, seq: int, seconds: float) -> Deadline:
        stamps.append(seq)
        if len(stamps) == 1:
            slow.time.passed += 3600
            lists.admins = {lid(1)}
        return true_stamp(ledger, seq, seconds)

    monkeypatch.setattr(Ledger, "stamp_call", stand_still)


def test_a_list_that_did_not_come_makes_none_of_before_it_new(
    slow: Bench, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_admin_while_it_stands_still(slow, lists, monkeypatch)
    lists.failing = {2}
    assert slow.done(batchSize=4)["removedWhatsappIds"] == removed_ids(slow.home) == lids(range(2, 5))


def test_no_list_of_before_is_looked_at_where_it_is_too_soon_after_a_slow_one(
    slow: Bench, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pace allows no call any more when the list is there at last."""
    made_admin_while_it_stands_still(slow, lists, monkeypatch)
    true_check, checks = Pacing.check, list[int]()

    def check(pacing: Pacing, tx: Transaction, people: int) -> None:
        checks.append(people)
        lists.seconds = 12 if len(checks) == 1 else 0
        if len(checks) == 2:
            raise TooSoon
        true_check(pacing, tx, people)

    monkeypatch.setattr(Pacing, "check", check)
    assert slow.done(batchSize=4)["removedWhatsappIds"] == removed_ids(slow.home) == lids(range(2, 5))
