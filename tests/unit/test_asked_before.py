"""Who was asked for without an answer is booked as removed only where that is known; and what is seen before a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.clock import Deadline
from runner.gateway import Listing, NotAdmin, NotConnected, Outcome, OutcomeKind, Participant
from runner.groups.hearing import Limits
from runner.groups.incoming import Incoming
from runner.groups.member import MemberRows
from runner.groups.queue import QueueRows
from runner.groups.whitelist import WhitelistRows
from runner.ledger import Ledger
from runner.webhook import Moved, Notice, Sign, Someone, Step
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import DAY, NOW, WA_ID, Bench, lid, lids

Change = Callable[[Listing], Listing]
MINUTE = 60_000
EVERYBODY = tuple(Participant(lid(number), lid(number), None, "member") for number in range(1, 9))


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.silent(8)
    made.observed()
    yield made
    made.close()


def lists(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Listing], Listing]) -> list[int]:
    """All eight less whom the gateway removed, whatever our store knows, changed by how often the list was asked for;
    returned is that, as it grows.
    """
    true_remove = SlowGateway.remove
    asked: list[int] = []
    is_removing: list[bool] = []  # this gateway looks at its own list then

    def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
        gone = set(removed_ids(gateway._home))
        left = tuple(one for one in EVERYBODY if one.id not in gone)
        found = Listing("N", len(left), left)
        if is_removing:
            return found
        asked.append(len(asked) + 1)
        return change(asked[-1], found)

    def remove(gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Any) -> dict[str, Outcome]:
        is_removing.append(True)
        try:
            return true_remove(gateway, wa_id, ids, seconds_left)
        finally:
            is_removing.clear()

    monkeypatch.setattr(SlowGateway, "list_group", list_group)
    monkeypatch.setattr(SlowGateway, "remove", remove)
    return asked


def without(number: int, listing: Listing, *, counted: bool = False) -> Listing:
    """``counted``: by the gateway itself, so that it is whole."""
    left = tuple(one for one in listing.participants if one.id != lid(number))
    return replace(listing, size=len(left) if counted else None, participants=left)


def by_hand(bench: Bench, *numbers: int) -> None:
    with bench.store.write() as tx:
        QueueRows(tx).add(bench.group, [bench.person(number) for number in numbers], "asked to leave")


def moved(bench: Bench, number: int, step: Step, at: int) -> None:
    event = Moved(WA_ID, Someone(lid(number), None), step, at, f"{step} {at}")
    with bench.store.write() as tx:
        notice = Notice("evolution/p2", "group-participants-update", Sign.TRAFFIC, (event,))
        Incoming(tx, Limits.of(bench.settings)).take([notice])


def asked_in_vain(bench: Bench, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call for them was lost; the job ended before the next, and they are queued with a try less."""
    by_hand(bench, number)
    configure(bench.home, call_ms=0, calls={"1": "lost"})
    true_remove, calls = SlowGateway.remove, list[int]()

    def remove(gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Any) -> dict[str, Outcome]:
        calls.append(1)
        if len(calls) > 1:
            raise NotAdmin("we are not an admin of this group")
        return true_remove(gateway, wa_id, ids, seconds_left)

    with monkeypatch.context() as patch:
        patch.setattr(SlowGateway, "remove", remove)
        assert bench.run(bench.start("removal_queue")) == "failed"
    assert [(entry.lid, entry.tries) for entry in bench.queue()] == [(lid(number), 1)]
    configure(bench.home, call_ms=0)


def test_a_list_that_lacks_them_once_does_not_say_that_they_were_removed(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list may be partial, and have no count that tells."""
    asked_in_vain(slow, 1, monkeypatch)
    asked = lists(monkeypatch, lambda turn, found: without(1, found) if turn == 1 else replace(found, size=None))
    result = slow.done("removal_queue")
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == []
    assert [one["reason"].partition(",")[0] for one in result["skipped"]] == ["gone"]
    assert len(slow.queue()) == 1
    assert len(asked) >= 3


def test_lists_that_contradict_each_other_do_not_say_it(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_in_vain(slow, 1, monkeypatch)
    lists(monkeypatch, lambda turn, found: without(1 if turn <= 2 else 2, found))
    result = slow.done("removal_queue")
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == []
    assert "cannot be trusted" in result["skipped"][0]["reason"]
    assert len(slow.queue()) == 1


def test_whoever_has_left_long_after_the_call_was_not_removed_by_it(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_in_vain(slow, 1, monkeypatch)
    slow.time.passed += 3 * DAY / 1000
    moved(slow, 1, Step.LEFT, NOW + 3 * DAY - 1000)
    lists(monkeypatch, lambda _, found: without(1, found, counted=True))
    result = slow.done("removal_queue")
    assert result["removedWhatsappIds"] == []
    assert "may have done it" in result["alreadyGone"][0]["reason"]
    assert [entry.outcome for entry in slow.history()] == []
    assert slow.queue() == []


def test_whoever_is_gone_soon_after_it_was(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list that showed them still had lagged behind."""
    asked_in_vain(slow, 1, monkeypatch)
    slow.time.passed += 30 * MINUTE / 1000
    lists(monkeypatch, lambda _, found: without(1, found, counted=True))
    assert slow.done("removal_queue")["removedWhatsappIds"] == [lid(1)]
    assert [entry.outcome for entry in slow.history()] == ["SUCCESS"]


def test_whoever_has_left_and_come_again_since_is_not_the_one_who_was_queued(slow: Bench) -> None:
    by_hand(slow, 1, 2)
    slow.time.passed += DAY / 1000
    moved(slow, 1, Step.LEFT, NOW + DAY - 5000)
    moved(slow, 1, Step.JOINED, NOW + DAY - 1000)
    result = slow.done("removal_queue")
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == [lid(2)]
    assert result["skipped"][0]["reason"].startswith("joined again on 2025-06-16")


def test_what_is_said_while_the_list_of_another_try_is_awaited_counts(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(slow.home, call_ms=0, calls={"1": "not_connected"})

    def whitelist_meanwhile(turn: int, found: Listing) -> Listing:
        if turn == 2:
            with slow.store.write() as tx:
                WhitelistRows(tx).add(slow.group, slow.person(2))
        return found

    asked = lists(monkeypatch, whitelist_meanwhile)
    result = slow.done()
    assert len(asked) >= 2
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == lids((1, *range(3, 9)))


def test_a_stop_while_that_list_is_awaited_comes_before_the_call(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(slow.home, call_ms=0, calls={"1": "not_connected"})

    def stop_meanwhile(turn: int, found: Listing) -> Listing:
        if turn == 2:
            slow.bell.ring()
        return found

    lists(monkeypatch, stop_meanwhile)
    job_id = slow.start()
    assert slow.run(job_id) == "stopped"
    assert removed_ids(slow.home) == []
    assert slow.open_ids(job_id) == []


def test_whoever_is_not_on_the_list_right_before_a_call_is_looked_at_again(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two tries somebody leaves: by the next look they are gone, and nothing was asked of them."""
    configure(slow.home, call_ms=0, calls={"1": "not_connected"})
    lists(monkeypatch, lambda turn, found: without(2, found, counted=True) if turn > 1 else found)
    result = slow.done()
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == lids((1, *range(3, 9)))
    assert [one["id"] for one in result["alreadyGone"]] == [lid(2)]


def test_no_gateway_error_is_lost_by_it(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_in_vain(slow, 1, monkeypatch)

    def fail_once(turn: int, found: Listing) -> Listing:
        if turn == 2:
            raise NotConnected("not connected")
        return without(1, found, counted=True)

    asked = lists(monkeypatch, fail_once)
    assert slow.done("removal_queue")["removedWhatsappIds"] == [lid(1)]
    assert len(asked) >= 3


def test_lists_that_never_agree_keep_nobody_for_ever(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each call the process stands still so long that another list is asked for, and that lacks one of them."""
    true_stamp = Ledger.stamp_call

    def stand_still(ledger: Ledger, seq: int, seconds: float) -> Deadline:
        slow.time.passed += 11
        return true_stamp(ledger, seq, seconds)

    monkeypatch.setattr(Ledger, "stamp_call", stand_still)
    asked = lists(monkeypatch, lambda turn, found: found if turn % 2 else without(2, found, counted=True))
    result = slow.done()
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == lids((1, *range(3, 9)))
    assert [(one["id"], one["reason"].partition(";")[0]) for one in result["skipped"]] == [
        (lid(2), "the group's lists disagree on whether they are there")
    ]
    assert len(asked) < 12


def test_where_nobody_can_go_one_list_does_for_many_batches(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked at without a pause, and gateways are banned for being asked too often."""
    asked = lists(monkeypatch, lambda _, found: replace(found, is_announcement=True))
    with slow.store.write() as tx:
        QueueRows(tx).sync(slow.group, 30 * DAY, tx.now, DAY)
    result = slow.done("removal_queue", batchSize=1, delayMs=10_000)
    assert len(result["skipped"]) == 8
    assert len(asked) == 1


def test_after_a_call_the_list_is_asked_for_anew(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lists(monkeypatch, lambda _, found: found)
    assert len(slow.done(batchSize=4)["removedWhatsappIds"]) == 8
    assert len(asked) == 2


def test_who_was_not_answered_for_may_be_removed_where_others_are_refused(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a call was sent: that we may remove nobody is no word on it."""
    lists(monkeypatch, lambda _, found: found)
    true_remove, calls = SlowGateway.remove, list[int]()

    def remove(gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Any) -> dict[str, Outcome]:
        calls.append(1)
        refused = {known: Outcome(OutcomeKind.REFUSED, "403") for known in ids}
        if len(calls) == 2:
            del refused[ids[-1]]
            true_remove(gateway, wa_id, ids[-1:], seconds_left)
        return refused

    monkeypatch.setattr(SlowGateway, "remove", remove)
    result = slow.done(batchSize=4)
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == [lid(8)]
    assert len(result["refused"]) == 7


def test_whoever_is_demoted_in_a_pause_is_no_admin_by_the_list_before_it(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they were one for ever: no list takes a role away, and the event of it is older than the booking."""
    configure(slow.home, call_ms=0, calls={"1": "rate_limited"})
    admin = replace(EVERYBODY[0], role="admin")
    lists(monkeypatch, lambda _, found: replace(found, participants=(admin, *EVERYBODY[1:])))

    slow.on_wait = lambda: moved(slow, 1, Step.DEMOTED, NOW + 500)
    with slow.store.write() as tx:
        QueueRows(tx).add(slow.group, [slow.person(1), slow.person(2)], "asked to leave")
    assert [one["reason"] for one in slow.done("removal_queue")["skipped"]] == ["an admin of the group"]
    with slow.store.read() as tx:
        assert MemberRows(tx).find(slow.group, lid(1)).role == "member"
