"""What became of a call that nobody answered: booked by a list that can be trusted, and by no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.gateway import AuthFailed, GatewayError, GroupGone, Listing, NotConnected, Outcome, Participant, RateLimited
from runner.groups.activity import ActivityRows
from runner.groups.listing import WithoutUs, check_listing, listed_of
from runner.groups.member import MemberEntry
from runner.groups.person import PersonRows
from runner.groups.settling import LeftOpen
from runner.groups.whitelist import WhitelistRows
from runner.stores.batches import LedgerItem
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import NOW, Bench, lid, lids, pn

SLOW = "tests.gateways.slow:open_slow"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    """Forty people who have been silent; the first call to remove five of them is done, and not answered."""
    made = Bench(tmp_path, gateway=SLOW)
    configure(tmp_path, call_ms=0, calls={"1": "timeout"})
    made.silent(40)
    made.observed()
    yield made
    made.close()


Change = Callable[[Listing], Listing]


class Lists:
    """The lists of the group that a job is given: the first is true, then come ``faults``, then true ones again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *faults: Change | GatewayError) -> None:
        self.left = list(faults)
        self.asked = 0
        true_list, true_remove = SlowGateway.list_group, SlowGateway.remove
        is_removing: list[bool] = []  # this gateway looks at its own list then

        def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
            found = true_list(gateway, wa_id)
            if is_removing:
                return found
            self.asked += 1
            if self.asked == 1 or not self.left:
                return found
            fault = self.left.pop(0)
            if isinstance(fault, GatewayError):
                raise fault
            return fault(found)

        def remove(gateway: SlowGateway, *arguments: Any) -> dict[str, Outcome]:
            is_removing.append(True)
            try:
                return true_remove(gateway, *arguments)
            finally:
                is_removing.clear()

        monkeypatch.setattr(SlowGateway, "list_group", list_group)
        monkeypatch.setattr(SlowGateway, "remove", remove)


def cut(listing: Listing, *, by: int, with_size: bool = True) -> Listing:
    """As a gateway that has not read all of it yet."""
    kept = listing.participants[: len(listing.participants) - by]
    return replace(listing, participants=kept, size=len(kept) if with_size else None)


def without(*numbers: int) -> Change:
    def change(listing: Listing) -> Listing:
        kept = tuple(one for one in listing.participants if one.id not in lids(numbers))
        return replace(listing, participants=kept, size=len(kept))

    return change


def sizeless(listing: Listing) -> Listing:
    return replace(listing, size=None)


@pytest.mark.parametrize(
    "fault",
    [
        lambda listing: cut(listing, by=6),
        lambda listing: cut(listing, by=15),
        lambda listing: replace(listing, size=len(listing.participants) + 1),
        lambda listing: replace(listing, participants=(), size=None),
        lambda listing: replace(cut(listing, by=15), lacks_us=True),
        lambda listing: replace(listing, size=len(listing.participants) + 1, lacks_us=True),
    ],
    ids=["six are missing", "fifteen are missing", "another size", "empty", "cut, we too", "another size, without us"],
)
def test_a_list_that_cannot_be_trusted_books_nobody_and_is_waited_for(
    slow: Bench, monkeypatch: pytest.MonkeyPatch, fault: Change
) -> None:
    configure(slow.home, call_ms=0, calls={"1": "lost"})  # they are all still there
    lists = Lists(monkeypatch, fault, fault)
    waiting: list[str] = []
    job_id = slow.start()
    slow.on_wait = lambda: waiting.extend([str(said["reason"])] if (said := slow.job(job_id).waiting) else [])
    assert slow.run(job_id) == "completed", slow.job(job_id).error
    assert lists.left == []
    assert removed_ids(slow.home) == [*lids(range(6, 41)), *lids(range(1, 6))]
    assert sorted(slow.result(job_id)["removedWhatsappIds"]) == sorted(removed_ids(slow.home))
    assert len(waiting) == 2
    assert waiting[0].startswith("No answer came as to whether 5 people were removed, and the group's list does not")
    assert "next try " in waiting[0]


@pytest.mark.parametrize("since", ["heard", "whitelisted"])
def test_whoever_a_stale_list_still_showed_was_removed_whatever_was_said_since(
    slow: Bench, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    active = range(90, 110)

    def stale(listing: Listing) -> Listing:
        everybody = tuple(Participant(known, known, None, "member") for known in lids([*range(1, 41), *active]))
        return replace(listing, participants=everybody, size=len(everybody))

    def say_something() -> None:
        with slow.store.write() as tx:
            if since == "heard":
                ActivityRows(tx).saw(slow.group, slow.person(1), tx.now)
            else:
                WhitelistRows(tx).add(slow.group, slow.person(1))

    slow.members(*(MemberEntry(lid=lid(number), last_active_at=NOW) for number in active))
    Lists(monkeypatch, stale)
    job_id = slow.start(batchSize=5, delayMs=1000)
    slow.on_wait = say_something
    assert slow.run(job_id) == "completed"
    assert sorted(slow.result(job_id)["removedWhatsappIds"]) == sorted(removed_ids(slow.home))
    assert lid(1) in removed_ids(slow.home)


def test_a_list_that_would_not_show_our_number_does_not_say_that_we_are_gone(slow: Bench) -> None:
    slow.members(MemberEntry(pn=pn(7), is_me=True), *(MemberEntry(lid=known) for known in lids(range(50, 60))))
    people = tuple(Participant(known, known, None, "member") for known in lids([*range(1, 41), *range(50, 60)]))
    check_listing(Listing(None, len(people), people), slow.store, slow.group)
    with_numbers = tuple(replace(one, pn=f"3399000{number:04d}@s.whatsapp.net") for number, one in enumerate(people))
    with pytest.raises(WithoutUs):
        check_listing(Listing(None, len(people), with_numbers), slow.store, slow.group)


def test_a_few_who_left_by_themselves_do_not_hinder_it(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists(monkeypatch, without(20, 21, 22, 23, 24))
    result = slow.done()
    assert lists.left == []
    assert set(lids(range(1, 6))) <= set(result["removedWhatsappIds"])
    assert slow.time.passed == 5  # the call's own deadline, and no other wait


def test_where_there_is_no_size_two_lists_must_agree(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pair differs by one of those asked about."""
    configure(slow.home, call_ms=0, calls={"1": "lost"})
    cut_first: Change = lambda listing: sizeless(without(1)(listing))  # noqa: E731
    Lists(monkeypatch, cut_first, sizeless, sizeless, sizeless)
    result = slow.done()
    assert len(result["removedWhatsappIds"]) == len(set(removed_ids(slow.home))) == len(removed_ids(slow.home)) == 40
    assert slow.time.passed == 5 + 5 + 1 + 5  # deadline, between the two, until it is asked again, between the two


@pytest.mark.parametrize("error", [NotConnected("not connected"), AuthFailed("the key is wrong"), RateLimited("slow")])
def test_no_list_is_waited_for_however_long(slow: Bench, monkeypatch: pytest.MonkeyPatch, error: GatewayError) -> None:
    lists = Lists(monkeypatch, *[error] * 12)
    waiting: set[str] = set()
    job_id = slow.start()
    slow.on_wait = lambda: waiting.update([str(said["reason"])] if (said := slow.job(job_id).waiting) else [])
    assert slow.run(job_id) == "completed", slow.job(job_id).error
    assert lists.left == []
    assert sorted(removed_ids(slow.home)) == sorted(lids(range(1, 41)))
    assert all(str(error) in said for said in waiting)


def test_a_stop_ends_the_wait_and_leaves_it_open(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists(monkeypatch, *[NotConnected("not connected")] * 100)
    job_id = slow.start()
    slow.on_wait = lambda: slow.bell.ring() if slow.job(job_id).waiting else None
    assert slow.run(job_id) == "stopped"
    assert slow.open_ids(job_id) == lids(range(1, 6))
    slow.new_bell()
    slow.on_wait = lambda: None
    lists.left.clear()
    assert slow.run_again(job_id, "settle") == "settled"
    assert slow.open_ids(job_id) == []
    assert slow.result(job_id)["removedWhatsappIds"] == lids(range(1, 6))


GONE = GroupGone("we are not in the group any more")


def without_us(listing: Listing) -> Listing:
    return replace(listing, lacks_us=True)


@pytest.mark.parametrize("gone", [GONE, without_us], ids=["gone", "without us"])
@pytest.mark.parametrize("between", [lambda listing: cut(listing, by=15), NotConnected("not connected")])
def test_gone_once_is_not_believed(
    slow: Bench, monkeypatch: pytest.MonkeyPatch, between: Change | GatewayError, gone: Change | GatewayError
) -> None:
    """A session that has just begun knows of no group yet: who was removed is booked as removed all the same."""
    lists = Lists(monkeypatch, gone, between, gone)
    result = slow.done()
    assert lists.left == []
    assert set(lids(range(1, 6))) <= set(result["removedWhatsappIds"])
    assert "givenUp" not in result


def test_gone_twice_is_believed_after_a_wait_that_a_stop_ends(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists(monkeypatch, *[GONE] * 100)
    job_id = slow.start()
    said: list[str] = []

    def ring() -> None:
        if waiting := slow.job(job_id).waiting:
            said.append(str(waiting["reason"]))
            slow.bell.ring()

    slow.on_wait = ring
    assert slow.run(job_id) == "stopped"
    assert said[0].startswith("No answer came as to whether 5 people were removed")
    assert str(GONE) in said[0]
    assert slow.open_ids(job_id) == lids(range(1, 6))
    slow.new_bell()
    slow.on_wait = lambda: None
    began, asked = slow.time.passed, lists.asked
    assert slow.run_again(job_id, "settle") == "settled"
    assert (slow.time.passed - began, lists.asked - asked) == (30, 2)
    assert slow.open_ids(job_id) == []


@pytest.mark.parametrize("gone", [GONE, without_us], ids=["gone", "without us"])
@pytest.mark.parametrize("mode", ["run", "settle"])
def test_thrown_out_nobody_can_tell_and_the_lock_is_free(
    slow: Bench, monkeypatch: pytest.MonkeyPatch, mode: str, gone: Change | GatewayError
) -> None:
    lists = Lists(monkeypatch, *[gone] * 100)
    job_id = slow.start()
    if mode == "settle":
        slow.on_wait = slow.bell.ring
        assert slow.run(job_id) == "stopped"
        slow.new_bell()
        slow.on_wait = lambda: None
        assert slow.run_again(job_id, "settle") == "settled"
    else:
        assert slow.run(job_id) == "failed"
        assert "a group we are not in" in (error := str(slow.job(job_id).error)) or "we are not on it" in error
        assert slow.job(job_id).released_at is not None
    assert slow.open_ids(job_id) == []
    words = "no answer came, and we are no longer in the group: nobody can tell"
    assert [(one["id"], one["reason"]) for one in slow.result(job_id)["givenUp"]] == [
        (lid(number), words) for number in range(1, 6)
    ]
    assert [(one.outcome, one.reason) for one in slow.history()] == [("FAILURE", words)] * 5
    assert len(lists.left) == (98 if mode == "settle" else 96)  # twice to settle, twice before anybody else
    assert len(slow.queue()) == 35


def open_item(slow: Bench, number: int) -> LedgerItem:
    return LedgerItem("7", None, {"id": lid(number), "personId": slow.person(number), "reason": "silent"})


def test_whose_number_has_moved_to_somebody_listed_is_gone_all_the_same(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is another's now, who is in the group: that does not make them be there."""
    with slow.store.write() as tx:
        PersonRows(tx).resolve(lid(1), pn(1))
    moved: Change = lambda listing: replace(  # noqa: E731
        listing,
        participants=tuple(replace(one, pn=pn(1)) if one.id == lid(30) else one for one in listing.participants),
    )
    Lists(monkeypatch, moved)
    job_id = slow.start()
    assert slow.run(job_id) == "completed", slow.job(job_id).error
    assert lid(1) in slow.result(job_id)["removedWhatsappIds"]
    history = [one for one in slow.history() if one.lid == lid(1)]
    assert [one.outcome for one in history] == ["SUCCESS"]
    assert lid(1) not in slow.present()


def test_a_lid_decides_before_a_number(slow: Bench) -> None:
    with slow.store.write() as tx:
        PersonRows(tx).resolve(lid(1), pn(1))
        known = PersonRows(tx).find(lid(1))
    left = LeftOpen(open_item(slow, 1), known)
    theirs, anothers = Participant(lid(1), lid(1), pn(1), "member"), Participant(lid(9), lid(9), pn(1), "member")
    assert left.may_be_in(listed_of(Listing(None, 1, (theirs,))))
    assert not left.may_be_in(listed_of(Listing(None, 1, (anothers,))))


def test_a_removal_is_never_lost_though_its_person_is_known_no_more(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the answer is awaited, it is shown that two people are one; whoever is booked is that one."""
    true_list = SlowGateway.list_group
    gone = "777@lid"  # this gateway's list is made of our own members

    def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
        left = tuple(one for one in true_list(gateway, wa_id).participants if one.id != gone)
        return Listing("N", len(left), left)

    monkeypatch.setattr(SlowGateway, "list_group", list_group)
    slow.on_wait = lambda: joined(slow)

    def joined(bench: Bench) -> None:
        with bench.store.write() as tx:
            other = PersonRows(tx).resolve(gone, None)
            mine = PersonRows(tx).find(lid(1))
            if mine is not None:
                PersonRows(tx).merge(other, mine.id)

    result = slow.done()
    assert lid(1) in result["removedWhatsappIds"]
    assert len([one for one in slow.history() if one.outcome == "SUCCESS"]) == 40
