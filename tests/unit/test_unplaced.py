"""Who is known here by one kind of id and listed by the other is not removed for want of knowing that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.gateway import Listing, Participant
from runner.groups.authors import Authors
from runner.groups.hearing import Limits
from runner.groups.incoming import Incoming
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedAuthor
from runner.groups.whitelist import WhitelistRows
from runner.webhook import Heard, Notice, Sign, Someone
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import DAY, NOW, WA_ID, Bench, lid, pn

ACTIVE = range(1, 8)
Shown = Callable[[int], Participant]


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A group that its gateway lists by lids alone: seven who spoke yesterday, and 99, of whom nothing was heard."""
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.members(*(MemberEntry(lid=lid(number), last_active_at=NOW - DAY) for number in ACTIVE))
    lists(monkeypatch, by_lid)
    yield made
    made.close()


def by_lid(number: int) -> Participant:
    return Participant(lid(number), lid(number), None, "member")


def by_number(number: int) -> Participant:
    return Participant(pn(number), None, pn(number), "member")


def by_both(number: int) -> Participant:
    return Participant(lid(number), lid(number), pn(number), "member")


def lists(monkeypatch: pytest.MonkeyPatch, shown: Shown) -> None:
    """The seven and 99, less whom the gateway removed."""

    def list_group(gateway: SlowGateway, _: str) -> Listing:
        gone = set(removed_ids(gateway._home))
        left = tuple(one for number in (*ACTIVE, 99) if (one := shown(number)).id not in gone)
        return Listing("N", len(left), left)

    monkeypatch.setattr(SlowGateway, "list_group", list_group)


def whitelist(bench: Bench, known: str, *, left: bool = False) -> None:
    with bench.store.write() as tx:
        is_lid = known.endswith("@lid")
        person = PersonRows(tx).resolve(known if is_lid else None, None if is_lid else known)
        WhitelistRows(tx).add(bench.group, person)
        if left:
            MemberRows(tx).leave(bench.group, [person], NOW - 300 * DAY)


def stays(bench: Bench, why: str) -> None:
    """Nobody was removed; 99 stays in the queue, and it is said why."""
    bench.observed()
    result = bench.done()
    assert removed_ids(bench.home) == []
    assert [one["reason"] for one in result["skipped"]] == [f"{why}, and may be this person; stays in the queue"]
    assert len(bench.queue()) == 1


def goes(bench: Bench) -> None:
    bench.observed()
    result = bench.done()
    assert result["removedWhatsappIds"] == removed_ids(bench.home)
    assert len(removed_ids(bench.home)) == 1


def by_number_alone(number: int) -> str:
    return f"somebody on the whitelist ({pn(number)}) is known by number alone"


HEARD = "somebody heard since is known by number alone"


@pytest.mark.parametrize("left", [False, True], ids=["member", "former member"])
def test_whoever_is_whitelisted_by_number_and_listed_by_lid(slow: Bench, left: bool) -> None:
    slow.members(MemberEntry(pn=pn(99), name="Grandma"), MemberEntry(lid=lid(99)))
    whitelist(slow, pn(99), left=left)
    stays(slow, by_number_alone(99))


def test_whoever_is_whitelisted_by_another_number_than_the_one_we_know(slow: Bench) -> None:
    slow.members(MemberEntry(lid=lid(99), pn=pn(99)))
    whitelist(slow, pn(500))
    stays(slow, by_number_alone(500))


def test_whoever_is_whitelisted_by_lid_and_listed_by_number(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists(monkeypatch, by_number)
    slow.members(*(MemberEntry(pn=pn(number), last_active_at=NOW - DAY) for number in ACTIVE), MemberEntry(pn=pn(99)))
    whitelist(slow, lid(500))
    stays(slow, f"somebody on the whitelist ({lid(500)}) is known by lid alone")


def test_whom_the_list_shows_by_both_is_nobody_else(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists(monkeypatch, by_both)
    slow.members(MemberEntry(lid=lid(99)))
    whitelist(slow, pn(500))
    goes(slow)


def test_who_on_the_whitelist_is_found_on_the_list_is_nobody_else(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it shows other people by their lids alone."""
    lists(monkeypatch, lambda number: by_both(number) if number == 1 else by_lid(number))
    slow.members(MemberEntry(lid=lid(99)))
    whitelist(slow, pn(1))
    goes(slow)


def test_whoever_is_heard_by_number_and_listed_by_lid(slow: Bench) -> None:
    slow.members(MemberEntry(lid=lid(99)))
    heard = Heard(WA_ID, Someone(None, pn(99)), NOW - 1000, "k1")
    with slow.store.write() as tx:
        notice = Notice("evolution/p2", "messages-upsert", Sign.TRAFFIC, (heard,), is_news=True)
        Incoming(tx, Limits.of(slow.settings)).take([notice])
    stays(slow, HEARD)


def test_whoever_is_on_a_list_of_numbers_and_writes_in_an_export(slow: Bench) -> None:
    slow.members(MemberEntry(pn=pn(99)), MemberEntry(lid=lid(99)))
    with slow.store.write() as tx:
        said = "+" + pn(99).partition("@")[0]
        Authors(tx, slow.group).book(UnmatchedAuthor(said, 3, NOW - 5 * DAY, NOW - DAY, "chat.txt"))
    stays(slow, HEARD)


def test_who_was_heard_before_the_window_alone_holds_nobody_back(slow: Bench) -> None:
    """Whoever of them it is, they were silent for the whole of it."""
    slow.members(MemberEntry(pn=pn(99), last_active_at=NOW - 40 * DAY), MemberEntry(lid=lid(99)))
    goes(slow)


@pytest.mark.parametrize("whitelisted", [False, True])
def test_we_ourselves_hold_nobody_back(slow: Bench, whitelisted: bool) -> None:
    """Whoever removes people is an admin, and shown as one."""
    slow.members(MemberEntry(pn=pn(98), last_active_at=NOW - DAY, is_me=True), MemberEntry(lid=lid(99)))
    if whitelisted:
        whitelist(slow, pn(98))
    goes(slow)


def _whitelisted_by_number(bench: Bench) -> None:
    whitelist(bench, pn(99))


def _heard_by_number(bench: Bench) -> None:
    bench.members(MemberEntry(pn=pn(99), last_active_at=NOW - DAY))


def _admin_by_number(bench: Bench) -> None:
    bench.members(MemberEntry(pn=pn(99), role="admin"))


@pytest.mark.parametrize("known", [_whitelisted_by_number, _heard_by_number, _admin_by_number])
def test_a_dry_run_knows_who_is_whom_as_a_real_run_does(
    slow: Bench, monkeypatch: pytest.MonkeyPatch, known: Callable[[Bench], None]
) -> None:
    """The list shows that a lid and a number are one person: a real run makes them one, a dry run changes nothing."""
    lists(monkeypatch, by_both)
    slow.members(MemberEntry(lid=lid(99)))
    known(slow)
    slow.observed()
    assert slow.done(dryRun=True)["wouldRemove"] == []
    slow.done()
    assert removed_ids(slow.home) == []


def test_whose_number_was_somebody_elses_is_not_them(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists(monkeypatch, by_both)
    slow.members(MemberEntry(lid=lid(99)), MemberEntry(lid=lid(98), pn=pn(99)))
    whitelist(slow, lid(98))
    slow.observed()
    assert [one["id"] for one in slow.done(dryRun=True)["wouldRemove"]] == [lid(99)]


def test_who_was_put_in_the_queue_by_hand_goes_whoever_was_heard(slow: Bench) -> None:
    slow.members(MemberEntry(pn=pn(99), last_active_at=NOW - DAY), MemberEntry(lid=lid(99)))
    with slow.store.write() as tx:
        QueueRows(tx).add(slow.group, [slow.person(99)], "by hand")
    result = slow.done("removal_queue")
    assert result["removedWhatsappIds"] == removed_ids(slow.home) == [lid(99)]


def test_on_the_roster_every_member_is_shown(tmp_path: Path) -> None:
    """It is the list, so that two of its rows are two people."""
    bench = Bench(tmp_path)
    bench.members(MemberEntry(pn=pn(98), last_active_at=NOW - DAY), MemberEntry(lid=lid(99)))
    whitelist(bench, pn(98))
    bench.observed()
    assert bench.done()["removedWhatsappIds"] == [lid(99)]
    bench.close()


@pytest.mark.parametrize("is_whitelisted", [False, True])
def test_on_the_roster_whoever_is_heard_by_events_may_stand_there_twice(tmp_path: Path, is_whitelisted: bool) -> None:
    bench = Bench(tmp_path)
    bench.members(MemberEntry(pn=pn(98)))
    said = Heard(WA_ID, Someone(lid(98), None), NOW - (90 if is_whitelisted else 1) * DAY, "1")
    with bench.store.write() as tx:
        Incoming(tx, Limits(DAY, DAY)).take([Notice("waha/default", "message", Sign.TRAFFIC, (said,), is_news=True)])
    if is_whitelisted:
        whitelist(bench, lid(98))
    bench.observed()
    assert bench.done()["removedWhatsappIds"] == []
    assert len(bench.queue()) == 1
    bench.close()


def test_who_is_on_a_list_of_numbers_alone_does_not_keep_a_call_from_being_settled(slow: Bench) -> None:
    """Of them a list of lids says nothing, neither that they are there nor that they are missing."""
    configure(slow.home, call_ms=0, calls={"1": "timeout"})
    slow.members(*(MemberEntry(pn=pn(number), last_active_at=NOW - 90 * DAY) for number in range(200, 207)))
    slow.members(MemberEntry(lid=lid(99), last_active_at=NOW - 90 * DAY))
    slow.observed()
    job_id = slow.start()
    assert slow.run(job_id) == "completed", slow.job(job_id).error
    assert removed_ids(slow.home) == slow.result(job_id)["removedWhatsappIds"] == [lid(99)]
