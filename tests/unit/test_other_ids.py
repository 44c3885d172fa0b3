"""Who gets another number or id, or is found to be one with another, while a list, a pause or an answer is awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from runner.gateway import Listing, Outcome, Participant
from runner.groups.hearing import Limits
from runner.groups.incoming import Incoming
from runner.groups.ingest import ingest
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.opening import open_gateway
from runner.stores.batches import OPEN
from runner.stores.schema import batch_items
from runner.webhook import Event, Moved, Notice, Renumbered, Sign, Someone, Step
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import DAY, NOW, WA_ID, Bench, lid, pn

NEW = "551199887766@s.whatsapp.net"
RENUMBERED = Renumbered(WA_ID, Someone(None, pn(1)), Someone(None, NEW), NOW, "r1")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    """Four who have been silent, and are known and listed by number."""
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.members(*(MemberEntry(pn=pn(number), last_active_at=NOW - 60 * DAY) for number in range(1, 5)))
    made.observed()
    yield made
    made.close()


class Lists:
    """What the gateway lists of its own, whatever our store knows; ``after`` so many lists ``then`` happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown = {number: Participant(pn(number), None, pn(number), "member") for number in range(1, 5)}
        self.after: tuple[int, Callable[[], None]] | None = None
        self.asked = 0
        true_remove, is_removing = SlowGateway.remove, list[bool]()  # this gateway looks at its own list then

        def list_group(gateway: SlowGateway, _: str) -> Listing:
            gone = set(removed_ids(gateway._home))
            left = tuple(one for one in self.shown.values() if one.id not in gone)
            self.asked += not is_removing
            if self.after and self.after[0] == self.asked and not is_removing:
                self.after[1]()
            return Listing("N", len(left), left)

        def remove(gateway: SlowGateway, *arguments: Any) -> dict[str, Outcome]:
            is_removing.append(True)
            try:
                return true_remove(gateway, *arguments)
            finally:
                is_removing.clear()

        monkeypatch.setattr(SlowGateway, "list_group", list_group)
        monkeypatch.setattr(SlowGateway, "remove", remove)

    def show(self, number: int, known: str, *, lid: str | None = None) -> None:
        self.shown[number] = Participant(known, lid, known, "member")


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    return Lists(monkeypatch)


def take(bench: Bench, event: Event) -> None:
    with bench.store.write() as tx:
        notice = Notice("evolution/p2", "group-participants-update", Sign.TRAFFIC, (event,))
        Incoming(tx, Limits.of(bench.settings)).take([notice])


def renumber(bench: Bench, lists: Lists) -> None:
    lists.show(1, NEW)
    take(bench, RENUMBERED)


def once(act: Callable[[], None]) -> Callable[[], None]:
    left = [act]
    return lambda: left.pop()() if left else None


def by_hand(bench: Bench, *ids: str) -> None:
    with bench.store.write() as tx:
        people = [MemberRows(tx).find(bench.group, known).person_id for known in ids]
        QueueRows(tx).add(bench.group, people, "asked to leave")


def test_whose_number_is_somebody_elses_after_a_pause_is_asked_for_by_their_own(slow: Bench, lists: Lists) -> None:
    """1 has a new number, and 2 has the old one: whoever is asked for by the list before the pause is the wrong one."""
    slow.members(*(MemberEntry(lid=lid(number), pn=pn(number)) for number in range(1, 5)))
    for number in range(1, 5):
        lists.show(number, pn(number), lid=lid(number))
    by_hand(slow, lid(1))
    configure(slow.home, call_ms=0, calls={"1": "rate_limited"})

    def swap() -> None:
        lists.show(1, NEW, lid=lid(1))
        lists.show(2, pn(1), lid=lid(2))

    slow.on_wait = once(swap)
    assert slow.done("removal_queue")["removedWhatsappIds"] == removed_ids(slow.home) == [NEW]


def test_whose_number_changes_in_a_pause_is_asked_for_by_the_new_one(slow: Bench, lists: Lists) -> None:
    by_hand(slow, pn(1))
    configure(slow.home, call_ms=0, calls={"1": "rate_limited"})
    slow.on_wait = once(lambda: renumber(slow, lists))
    assert slow.done("removal_queue")["removedWhatsappIds"] == removed_ids(slow.home) == [NEW]
    assert [(one.pn, one.outcome) for one in slow.history()] == [(NEW, "SUCCESS")]


@pytest.mark.parametrize("queued", [True, False], ids=["queued", "taken out of the queue"])
def test_whose_number_changes_during_the_call_is_booked(
    slow: Bench, lists: Lists, monkeypatch: pytest.MonkeyPatch, queued: bool
) -> None:
    by_hand(slow, pn(1))
    true_remove = SlowGateway.remove

    def remove(gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Any) -> dict[str, Outcome]:
        said = true_remove(gateway, wa_id, ids, seconds_left)
        take(slow, RENUMBERED)
        if not queued:
            with slow.store.write() as tx:
                QueueRows(tx).clear(slow.group)
        return said

    monkeypatch.setattr(SlowGateway, "remove", remove)
    assert slow.done("removal_queue")["removedWhatsappIds"] == [pn(1)]
    assert [one.outcome for one in slow.history()] == ["SUCCESS"]
    assert slow.queue() == []


def test_whose_number_changes_once_the_list_is_there_is_not_gone_by_it(slow: Bench, lists: Lists) -> None:
    by_hand(slow, pn(2))
    by_hand(slow, pn(1))
    lists.after = (2, lambda: renumber(slow, lists))  # the first was for both, before the pause between them
    result = slow.done("removal_queue", batchSize=1, delayMs=11_000)
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == [pn(2), NEW]
    assert "alreadyGone" not in result


def test_whose_number_changes_while_an_answer_is_found_out_is_there_still(slow: Bench, lists: Lists) -> None:
    by_hand(slow, pn(1))
    configure(slow.home, call_ms=0, calls={"1": "lost"})
    slow.on_wait = once(lambda: renumber(slow, lists))
    assert slow.done("removal_queue")["removedWhatsappIds"] == removed_ids(slow.home) == [NEW]
    assert [(one.pn, one.outcome) for one in slow.history()] == [(NEW, "SUCCESS")]


def test_on_the_roster_whose_number_changes_while_the_pace_is_kept_is_not_gone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, given={"pace_group_per_hour": 1})
    bench.members(*(MemberEntry(pn=pn(number), last_active_at=NOW - 60 * DAY) for number in (2, 1)))
    by_hand(bench, pn(2), pn(1))
    bench.on_wait = once(lambda: take(bench, RENUMBERED))
    assert bench.done("removal_queue", batchSize=1)["removedWhatsappIds"] == [pn(2), NEW]
    bench.close()


@pytest.mark.parametrize(
    ("kind", "why"),
    [("removal_queue", "joined again"), ("removal_workflow", "activity is not known for the whole window; stays in")],
)
def test_whoever_joins_by_an_id_that_only_a_later_list_shows_to_be_theirs(
    slow: Bench, lists: Lists, kind: str, why: str
) -> None:
    if kind == "removal_queue":
        by_hand(slow, pn(1))
    configure(slow.home, call_ms=0, calls={"1": "not_connected"})

    def come_again() -> None:
        lists.show(1, pn(1), lid=lid(1))
        take(slow, Moved(WA_ID, Someone(lid(1), None), Step.JOINED, NOW + 500, "j1"))

    slow.on_wait = once(come_again)
    result = slow.done(kind)
    assert pn(1) not in removed_ids(slow.home)
    assert [one["reason"].startswith(why) for one in result["skipped"]] == [True]


def test_a_dry_run_knows_who_came_by_another_id(slow: Bench, lists: Lists) -> None:
    """As a real run does, which makes them one."""
    slow.members(MemberEntry(lid=lid(1), joined_at=NOW - DAY), seen_at=NOW - DAY)
    lists.show(1, pn(1), lid=lid(1))
    foreseen = [one["id"] for one in slow.done(dryRun=True)["wouldRemove"]]
    assert foreseen == slow.done()["removedWhatsappIds"] == [pn(2), pn(3), pn(4)]


def test_whoever_left_right_before_a_call_without_an_answer_was_not_removed_by_it(slow: Bench, lists: Lists) -> None:
    by_hand(slow, pn(1), pn(2))
    configure(slow.home, call_ms=0, calls={"1": "not_connected", "2": "timeout"})

    def leave() -> None:
        del lists.shown[2]
        take(slow, Moved(WA_ID, Someone(None, pn(2)), Step.LEFT, NOW + 500, "l1"))

    slow.on_wait = once(leave)
    result = slow.done("removal_queue")
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == [pn(1)]
    assert [one["id"] for one in result["alreadyGone"]] == [pn(2)]


def test_whom_and_what_is_asked_for_is_written_down_right_before(
    slow: Bench, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause, too, in which one of them gets another number and one leaves: a crash may come in the call."""
    by_hand(slow, pn(1), pn(2), pn(3))
    configure(slow.home, call_ms=0, calls={"1": "rate_limited"})

    def move_on() -> None:
        renumber(slow, lists)
        del lists.shown[2]

    slow.on_wait = once(move_on)
    true_remove, sent, written = SlowGateway.remove, list[list[str]](), list[list[str]]()

    def remove(gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Any) -> dict[str, Outcome]:
        sent.append(list(ids))
        with slow.store.read() as tx:
            rows = tx.connection.execute(select(batch_items.c.data).where(batch_items.c.state == OPEN))
            written.append([row.data["id"] for row in rows])
        return true_remove(gateway, wa_id, ids, seconds_left)

    monkeypatch.setattr(SlowGateway, "remove", remove)
    result = slow.done("removal_queue")
    assert sent == written == [[pn(1), pn(2), pn(3)], [NEW, pn(3)]]
    assert [one["id"] for one in result["alreadyGone"]] == [pn(2)]


def test_many_who_are_gone_need_no_list_each(slow: Bench, lists: Lists) -> None:
    """One list serves for some seconds, as long as nobody has other ids than when it was asked for."""
    by_hand(slow, pn(4), pn(1), pn(2), pn(3))
    for number in range(5, 9):
        lists.show(number, pn(number))

    def leave() -> None:
        for number in range(1, 4):
            del lists.shown[number]

    lists.after = (1, leave)
    result = slow.done("removal_queue", batchSize=1, delayMs=11_000)
    assert result["removedWhatsappIds"] == [pn(4)]
    assert [one["id"] for one in result["alreadyGone"]] == [pn(1), pn(2), pn(3)]
    assert lists.asked == 2


def test_whose_number_changes_during_a_list_that_shows_somebody_elses_lid_is_not_gone_by_it(
    slow: Bench, lists: Lists
) -> None:
    """2 is found to be one with a lid by the list, and everybody is read anew for it: 1 has the new number by then."""
    by_hand(slow, pn(3), pn(4))
    by_hand(slow, pn(1), pn(2))
    slow.on_wait = once(lambda: lists.show(2, pn(2), lid=lid(2)))
    lists.after = (2, lambda: renumber(slow, lists))
    result = slow.done("removal_queue", batchSize=2, delayMs=11_000)
    assert "alreadyGone" not in result
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == [pn(3), pn(4), pn(2), NEW]


@pytest.mark.parametrize("kind", ["removal_queue", "removal_workflow"])
def test_whose_number_changes_while_the_first_list_is_awaited_has_not_left_by_it(
    slow: Bench, lists: Lists, kind: str
) -> None:
    if kind == "removal_queue":
        by_hand(slow, *(pn(number) for number in range(1, 5)))
    lists.after = (1, lambda: renumber(slow, lists))
    result = slow.done(kind)
    assert result["listed"]["left"] == 0
    assert "alreadyGone" not in result
    assert sorted(removed_ids(slow.home)) == sorted([NEW, pn(2), pn(3), pn(4)])
    assert [one.outcome for one in slow.history()] == ["SUCCESS"] * 4


def test_whose_number_changes_while_a_group_is_taken_in_has_not_left_by_it(slow: Bench, lists: Lists) -> None:
    lists.after = (1, lambda: renumber(slow, lists))
    gateway = open_gateway(slow.settings, slow.store, slow.clock)
    assert ingest(slow.store, gateway, WA_ID, None, Limits.of(slow.settings)).gone == 0
    assert NEW in slow.present()
