"""The removal workflows, run in this process on a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, insert

from runner.clock import iso
from runner.errors import GroupNotFound, InvalidFields, UnmatchedAuthors
from runner.gateway import Listing, Participant
from runner.gateways.roster import RosterGateway
from runner.groups.group import GroupRows
from runner.groups.imports import import_chat, import_members
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.groups.whitelist import WhitelistRows
from runner.stores.group_schema import memberships, people, removal_queue
from tests.gateways.slow import SlowGateway, configure, effects, removed_ids
from tests.unit.removals import DAY, NOW, WA_ID, Bench, lid, lids, pn

SLOW = "tests.gateways.slow:open_slow"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    """With a gateway whose faults can be chosen, and twelve people who have been silent."""
    made = Bench(tmp_path, gateway=SLOW)
    configure(tmp_path, call_ms=0)
    made.silent(12)
    made.observed()
    yield made
    made.close()


# -- the case of the issue ---------------------------------------------------------------------------------------


def wall(at: int) -> str:
    """A time as an Android phone in UTC exports it, day first."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%d/%m/%Y, %H:%M")


@pytest.fixture
def village(bench: Bench, tmp_path: Path) -> Bench:
    """200 members by a list and an export: 60 silent for 30 days, of them 3 whitelisted, 2 admins, 10 new since."""
    numbers = range(1, 201)
    rows = ["phone,name,role,joined"]
    for number in numbers:
        role = "admin" if number in (4, 5) else "member"
        joined = "2025-06-01" if 6 <= number <= 15 else "2024-01-01"
        rows.append(f"+3312345{number:04d},Person {number},{role},{joined}")
    (tmp_path / "members.csv").write_text("\n".join(rows))
    import_members(bench.store, tmp_path / "members.csv", WA_ID, zone=UTC)
    spoke = dict.fromkeys(range(16, 61), NOW - 40 * DAY) | dict.fromkeys(range(61, 201), NOW - 5 * DAY)
    lines = [f"{wall(NOW - 90 * DAY)} - Messages are end-to-end encrypted."]
    by_time = sorted(spoke.items(), key=lambda pair: pair[1])
    lines += [f"{wall(at)} - +33 1 23 45 {number:04d}: hello" for number, at in by_time]
    (tmp_path / "chat.txt").write_text("\n".join(lines))
    chat = import_chat(bench.store, tmp_path / "chat.txt", WA_ID, zone=ZoneInfo("UTC"), exported_at=NOW - DAY // 4)
    assert (chat.matched, chat.left_unmatched) == (185, 0)
    with bench.store.write() as tx:
        for number in (1, 2, 3):
            member = MemberRows(tx).find(bench.group, f"3312345{number:04d}@c.us")
            WhitelistRows(tx).add(bench.group, member.person_id)
    return bench


SILENT_45 = {f"3312345{number:04d}@s.whatsapp.net" for number in range(16, 61)}


def test_a_dry_run_lists_exactly_the_45_and_changes_nothing(village: Bench) -> None:
    before = village.dump()
    result = village.done(dryRun=True, delayMs=10_000)
    assert {person["id"] for person in result["wouldRemove"]} == SILENT_45
    assert len(result["wouldRemove"]) == 45
    assert result["removedWhatsappIds"] == []
    assert result["watched"].startswith("activity known for 30 of 30 days, 10 people unknown, of whom nobody is ")
    assert result["watched"].endswith(" UTC, nothing known of the last 6 hours")
    assert village.dump() == before
    assert village.time.passed == 8 * 10  # the delay of the real run, and none after the last batch


def test_a_real_run_removes_exactly_the_45_each_once(village: Bench) -> None:
    result = village.done()
    assert len(result["removedWhatsappIds"]) == 45
    assert set(result["removedWhatsappIds"]) == SILENT_45
    history = village.history()
    assert [(one.outcome, one.via) for one in history] == [("SUCCESS", "roster")] * 45
    assert {one.pn for one in history} == SILENT_45
    assert len(village.present()) == 155
    assert not village.present() & SILENT_45
    assert village.queue() == []
    assert "nothing was sent to WhatsApp" in result["note"]


def test_a_second_run_finds_nobody(village: Bench) -> None:
    village.done()
    assert village.done()["removedWhatsappIds"] == []
    assert len(village.history()) == 45


def test_oldest_activity_goes_first(bench: Bench) -> None:
    bench.members(*(MemberEntry(lid=lid(n), last_active_at=NOW - (40 + n) * DAY) for n in range(1, 8)))
    bench.observed()
    assert bench.done(batchSize=2)["removedWhatsappIds"] == lids(range(7, 0, -1))


# -- what is not watched -----------------------------------------------------------------------------------------


def test_nobody_is_removed_for_silence_that_was_not_watched(bench: Bench) -> None:
    bench.silent(41)
    bench.observed(NOW - 3 * DAY, NOW)
    result = bench.done()
    assert result["removedWhatsappIds"] == []
    first = "41 people unknown, of whom nobody is inactive before 2025-07-12 15:06 UTC"
    assert result["watched"] == f"activity known for 3 of 30 days, {first}"
    assert result["sync"]["earliestAt"] == iso(NOW + 27 * DAY)
    assert result["sync"]["queued"] == 0


def test_whoever_is_not_watched_any_more_stays_in_the_queue(bench: Bench) -> None:
    bench.silent(3)
    bench.observed()
    with bench.store.write() as tx:
        assert QueueRows(tx).sync(bench.group, 30 * DAY, tx.now, DAY) == 3
    bench.time.passed += 2 * 86_400
    result = bench.done("removal_queue")
    assert result["removedWhatsappIds"] == []
    assert {one["reason"] for one in result["skipped"]} == {
        "activity is not known for the whole window; stays in the queue"
    }
    assert len(bench.queue()) == 3
    assert len(bench.present()) == 3


def test_a_wider_window_measures_those_queued_before(bench: Bench) -> None:
    bench.members(MemberEntry(lid=lid(1), last_active_at=NOW - 40 * DAY))
    bench.observed()
    with bench.store.write() as tx:
        assert QueueRows(tx).sync(bench.group, 30 * DAY, tx.now, DAY) == 1
    assert bench.done(inactivityWindowMs=60 * DAY, dryRun=True)["wouldRemove"] == []
    result = bench.done(inactivityWindowMs=60 * DAY)
    assert result["removedWhatsappIds"] == []
    assert result["skipped"][0]["reason"].startswith("active again on 2025-")
    assert bench.queue() == []


# -- looked at again ---------------------------------------------------------------------------------------------


def whitelisted(bench: Bench, number: int) -> None:
    person = bench.person(number)
    with bench.store.write() as tx:
        WhitelistRows(tx).add(bench.group, person)


def promoted(bench: Bench, number: int) -> None:
    person = bench.person(number)
    with bench.store.write() as tx:
        MemberRows(tx).set_role(bench.group, person, "admin")


def spoke(bench: Bench, number: int) -> None:
    bench.members(MemberEntry(lid=lid(number), last_active_at=NOW - DAY))


def turned_out_to_be_us(bench: Bench, number: int) -> None:
    bench.members(MemberEntry(lid=lid(number), is_me=True))


def left(bench: Bench, number: int) -> None:
    person = bench.person(number)
    with bench.store.write() as tx:
        MemberRows(tx).leave(bench.group, [person], tx.now)


CHANGES: list[tuple[Callable[[Bench, int], None], str, str]] = [
    (whitelisted, "skipped", "on the whitelist"),
    (promoted, "skipped", "an admin of the group"),
    (spoke, "skipped", "active again on 2025-06-14T15:06:40.000Z"),
    (turned_out_to_be_us, "skipped", "this is ourselves"),
    (left, "alreadyGone", "not in the group any more"),
]


@pytest.mark.parametrize("type_name", ["removal_queue", "removal_workflow"])
@pytest.mark.parametrize(("change", "where", "reason"), CHANGES, ids=[change[0].__name__ for change in CHANGES])
def test_a_change_after_queueing_is_seen(
    bench: Bench, change: Callable[[Bench, int], None], where: str, reason: str, type_name: str
) -> None:
    bench.silent(3)
    bench.observed()
    with bench.store.write() as tx:
        assert QueueRows(tx).sync(bench.group, 30 * DAY, tx.now, DAY) == 3
    change(bench, 2)
    result = bench.done(type_name)
    assert result["removedWhatsappIds"] == [lid(1), lid(3)]
    assert [one["id"] for one in result[where]] == [lid(2)]
    assert result[where][0].get("reason", "") == reason
    assert bench.queue() == []
    assert [one.lid for one in bench.history()] == [lid(1), lid(3)]


def test_whoever_was_queued_by_hand_is_spared_if_they_spoke_since(bench: Bench) -> None:
    bench.silent(2)
    people_ids = [bench.person(1), bench.person(2)]
    with bench.store.write() as tx:
        assert len(QueueRows(tx).add(bench.group, people_ids, "asked to leave")) == 2
    bench.time.passed += 10
    bench.members(MemberEntry(lid=lid(1), last_active_at=NOW + 5_000))
    result = bench.done("removal_queue")  # nothing was ever observed: that matters for silence only
    assert result["removedWhatsappIds"] == [lid(2)]
    assert bench.history()[0].reason == "asked to leave"


def test_a_change_between_the_look_and_the_call_is_seen(slow: Bench) -> None:
    """The first call finds no connection; while the job waits, somebody is put on the whitelist."""
    configure(slow.home, call_ms=0, calls={"1": "not_connected"})
    slow.on_wait = lambda: whitelisted(slow, 2)
    result = slow.done(batchSize=3)
    assert slow.time.passed > 0
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == lids((1, *range(3, 13)))
    assert [one["reason"] for one in result["skipped"]] == ["on the whitelist"]


def test_a_number_on_the_whitelist_may_be_anybody_whose_number_is_not_shown(slow: Bench) -> None:
    """The group lists one with a number, the others by lid alone: only that one is surely somebody else."""
    slow.members(MemberEntry(lid=lid(1), pn=pn(1)))
    with slow.store.write() as tx:
        WhitelistRows(tx).add(slow.group, PersonRows(tx).resolve(None, pn(99)))
    result = slow.done()
    assert removed_ids(slow.home) == result["removedWhatsappIds"] == [lid(1)]
    assert {one["reason"].partition(",")[0] for one in result["skipped"]} == {
        f"somebody on the whitelist ({pn(99)}) is known by number alone"
    }
    assert len(slow.queue()) == 11, "they stay for another time"


def test_an_admin_by_the_fresh_listing_alone_is_spared(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made one before the job, who is not even queued; and made one in the middle of it."""
    listed_as(monkeypatch, lambda one: replace(one, role="admin") if one.id == lid(3) else one)
    listed_as(monkeypatch, lambda one: replace(one, role="admin") if one.id == lid(12) else one, after=2)
    result = slow.done(delayMs=10_000)
    assert {lid(3), lid(12)}.isdisjoint(result["removedWhatsappIds"])
    assert len(result["removedWhatsappIds"]) == 10
    assert [(one["id"], one["reason"]) for one in result["skipped"]] == [(lid(12), "an admin of the group")]
    with slow.store.read() as tx:
        assert [MemberRows(tx).find(slow.group, lid(number)).role for number in (3, 12)] == ["admin"] * 2


def test_an_admin_made_while_the_store_held_the_batch_up_is_spared(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list was fresh when it came; by the call it was not."""
    listed_as(monkeypatch, lambda one: replace(one, role="admin") if one.id == lid(3) else one, after=1)

    def hold_up(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO batches"):
            slow.time.passed += 11

    event.listen(slow.store.engine, "before_cursor_execute", hold_up)
    result = slow.done()
    assert lid(3) not in removed_ids(slow.home)
    assert [one["reason"] for one in result["skipped"]] == ["an admin of the group"]
    assert len(result["removedWhatsappIds"]) == 11


def listed_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[Participant], Participant], *, after: int = 0) -> None:
    """From now on, or ``after`` so many lists, the slow gateway shows everybody as ``change`` makes them."""
    listing = SlowGateway.list_group
    lists: list[str] = []

    def changed(self: SlowGateway, wa_id: str) -> Listing:
        found = listing(self, wa_id)
        lists.append(wa_id)
        if len(lists) <= after:
            return found
        return replace(found, participants=tuple(change(one) for one in found.participants))

    monkeypatch.setattr(SlowGateway, "list_group", changed)


def test_what_is_known_of_a_number_counts_for_the_lid_it_belongs_to(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export knew the numbers of 1 and 2, one active, one whitelisted; only the fresh list shows whose they are."""
    slow.members(MemberEntry(pn=pn(1), last_active_at=NOW - DAY), MemberEntry(pn=pn(2)), MemberEntry(pn=pn(3)))
    with slow.store.write() as tx:
        WhitelistRows(tx).add(slow.group, MemberRows(tx).find(slow.group, pn(2)).person_id)
    numbers = {lid(n): pn(n) for n in (1, 2, 3)}
    listed_as(monkeypatch, lambda one: replace(one, pn=numbers.get(one.id, one.pn)))
    result = slow.done(batchSize=20)
    assert removed_ids(slow.home) == lids(range(3, 13))
    assert "skipped" not in result  # it was known before anybody was queued
    assert len(slow.history()) == 10


def test_what_a_later_list_shows_of_a_number_counts_too(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, but the list shows it only in the middle of the job."""
    slow.members(MemberEntry(pn=pn(11), last_active_at=NOW - DAY), MemberEntry(pn=pn(12)))
    with slow.store.write() as tx:
        WhitelistRows(tx).add(slow.group, MemberRows(tx).find(slow.group, pn(12)).person_id)
    numbers = {lid(n): pn(n) for n in (11, 12)}
    listed_as(monkeypatch, lambda one: replace(one, pn=numbers.get(one.id, one.pn)), after=2)
    result = slow.done(delayMs=10_000)
    assert removed_ids(slow.home) == lids(range(1, 11))
    assert sorted(one["reason"] for one in result["skipped"]) == [
        "active again on 2025-06-14T15:06:40.000Z",
        "on the whitelist",
    ]


def test_whoever_the_list_cannot_show_is_not_called_gone(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by number alone, in a group that lists lids alone."""
    slow.members(MemberEntry(pn=pn(50), last_active_at=NOW - 90 * DAY))
    listed_as(monkeypatch, lambda one: replace(one, id="77@lid", lid="77@lid", pn=None) if one.pn == pn(50) else one)
    result = slow.done()
    assert pn(50) in slow.present()
    assert [entry.shown_id for entry in slow.queue()] == [pn(50)]
    assert result["skipped"][0]["reason"].startswith("the group's list does not show the id")


# -- what the gateway says ---------------------------------------------------------------------------------------


def test_the_gateways_word_is_booked_for_each(slow: Bench) -> None:
    configure(slow.home, call_ms=0, refuse={lid(2): "403"})
    result = slow.done()
    assert result["removedWhatsappIds"] == [lid(n) for n in range(1, 13) if n != 2]
    (refused,) = result["refused"]
    assert (refused["id"], refused["code"], refused["reason"]) == (lid(2), "403", "the slow gateway would not")
    failures = [one for one in slow.history() if one.outcome == "FAILURE"]
    assert [(one.lid, one.code) for one in failures] == [(lid(2), "403")]
    assert slow.queue() == []
    assert lid(2) in slow.present()


def test_no_answer_after_the_effect_is_settled_by_a_listing(slow: Bench) -> None:
    configure(slow.home, call_ms=0, calls={"1": "timeout"})
    job_id = slow.start()
    assert slow.run(job_id) == "completed"
    assert sorted(removed_ids(slow.home)) == sorted(lids(range(1, 13)))
    assert sorted(slow.result(job_id)["removedWhatsappIds"]) == sorted(lids(range(1, 13)))
    assert len(slow.history()) == 12
    assert slow.time.passed == 5  # the call's own deadline was waited for
    assert slow.job(job_id).progress.processed == 12


@pytest.mark.parametrize("fault", ["lost", "empty"])
def test_no_answer_and_still_there_comes_again_once(slow: Bench, fault: str) -> None:
    configure(slow.home, call_ms=0, calls={"1": fault})
    job_id = slow.start()
    assert slow.run(job_id) == "completed"
    assert removed_ids(slow.home) == [*lids(range(6, 13)), *lids(range(1, 6))]
    job = slow.job(job_id)
    assert (job.progress.processed, job.progress.total) == (12, 12)
    assert len(slow.history()) == 12


def test_a_second_time_without_an_answer_is_given_up(slow: Bench) -> None:
    configure(slow.home, call_ms=0, calls={"1": "empty", "3": "lost"})
    result = slow.done()
    assert removed_ids(slow.home) == lids((*range(6, 11), 4, 5, 11, 12))
    assert [one["id"] for one in result["givenUp"]] == lids((1, 2, 3))
    failures = [one for one in slow.history() if one.outcome == "FAILURE"]
    assert [(one.lid, one.reason) for one in failures] == [
        (lid(n), "asked twice without an answer, and still in the group") for n in (1, 2, 3)
    ]
    assert slow.queue() == []
    assert set(lids((1, 2, 3))) <= slow.present()


def test_left_open_by_a_stop_and_settled_later(slow: Bench) -> None:
    """The answer is lost and the job is stopped: at most this batch is unknown, until it is settled."""
    configure(slow.home, call_ms=0, calls={"1": "timeout"})
    with slow.store.write() as tx:
        QueueRows(tx).sync(slow.group, 30 * DAY, tx.now, DAY)
    job_id = slow.start("removal_queue")
    slow.ring_after_each_commit()
    assert slow.run(job_id) == "stopped"  # after the list was taken over, before the first batch
    slow.new_bell()
    assert slow.run_again(job_id) == "stopped"
    assert slow.result(job_id)["unknownWhatsappIds"] == lids(range(1, 6))
    assert slow.result(job_id)["removedWhatsappIds"] == []
    slow.new_bell()
    assert slow.run_again(job_id, "settle") == "settled"
    assert slow.result(job_id)["removedWhatsappIds"] == lids(range(1, 6))
    assert [line["event"] for line in effects(slow.home)].count("begin") == 1
    assert slow.open_ids(job_id) == []


def test_a_call_that_was_not_sent_is_tried_again(slow: Bench) -> None:
    configure(slow.home, call_ms=0, calls={"1": "not_connected", "2": "rate_limited"})
    assert len(slow.done()["removedWhatsappIds"]) == 12
    assert slow.time.passed == 2


def test_not_being_an_admin_fails_the_job_in_plain_words(slow: Bench) -> None:
    configure(slow.home, call_ms=0, calls={"2": "not_admin"})
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert slow.job(job_id).error == (
        "we are not an admin of the group. Make the gateway's number an admin of the group; then retry the job: "
        "it goes on where it stopped"
    )
    assert slow.result(job_id)["removedWhatsappIds"] == lids(range(1, 6))
    assert slow.open_ids(job_id) == []
    assert len(slow.queue()) == 7


def test_a_listing_that_cannot_be_true_stops_the_job(slow: Bench) -> None:
    with slow.store.write() as tx:
        extra = [{"lid": f"9{number:05d}@lid"} for number in range(20)]
        tx.connection.execute(insert(people), extra)
    slow.members(*(MemberEntry(lid=f"9{number:05d}@lid", last_active_at=NOW) for number in range(20)))
    (slow.home / "gateway-effects.jsonl").write_text(
        "".join(f'{{"event": "effect", "ids": ["9{number:05d}@lid"]}}\n' for number in range(20))
    )
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert "it has 12 people where we know of 32" in str(slow.job(job_id).error)
    assert slow.history() == []


# -- reviewed ----------------------------------------------------------------------------------------------------


def test_reviewed_removes_only_whom_the_dry_run_listed(bench: Bench) -> None:
    bench.silent(4)
    bench.observed()
    dry = bench.start(dryRun=True)
    assert bench.run(dry) == "completed"
    bench.silent(3, first=5)
    whitelisted(bench, 1)
    with bench.store.write() as tx:  # a merge must not lose a person who was reviewed
        MemberRows(tx).put(bench.group, MemberEntry(lid=lid(2), pn="33100000002@s.whatsapp.net"), NOW)
    result = bench.done(options={"reviewed": dry})
    assert result["removedWhatsappIds"] == lids((2, 3, 4))
    assert bench.present() == set(lids((1, 5, 6, 7)))
    assert {entry.shown_id for entry in bench.queue()} == set(lids((5, 6, 7)))


def test_reviewed_must_be_a_completed_dry_run_of_this_group(bench: Bench) -> None:
    bench.silent(1)
    bench.observed()
    running = bench.start(dryRun=True)
    with pytest.raises(InvalidFields, match="completed dry run"):
        bench.start("removal_queue", {"reviewed": running})
    assert bench.run(running) == "completed"
    with bench.store.write() as tx:
        GroupRows(tx).create("1@g.us", "another")
    with pytest.raises(InvalidFields, match="same group"):
        bench.start(options={"reviewed": running}, groupWaId="1@g.us")
    with pytest.raises(InvalidFields, match="does not exist"):
        bench.start(options={"reviewed": "job_0"})
    real = bench.start()
    assert bench.run(real) == "completed"
    with pytest.raises(InvalidFields, match="was a real one"):
        bench.start(options={"reviewed": real})


def test_a_real_run_has_the_window_of_the_dry_run_that_was_read(bench: Bench) -> None:
    """By a longer or shorter one others are inactive."""
    bench.silent(1)
    bench.observed()
    dry = bench.start(dryRun=True)
    assert bench.run(dry) == "completed"
    queue = bench.start("removal_queue", dryRun=True)
    assert bench.run(queue) == "completed"
    with pytest.raises(InvalidFields) as raised:
        bench.start(options={"reviewed": dry}, inactivityWindowMs=7 * DAY)
    why = "that dry run was of 30 days; give the same window, or make a new dry run"
    (fault,) = raised.value.faults
    assert (fault.field, fault.message) == ("inactivityWindowMs", f"inactivityWindowMs must be {30 * DAY}: {why}")
    bench.done(options={"reviewed": dry}, inactivityWindowMs=7 * DAY, dryRun=True)
    for type_name in ("removal_workflow", "removal_queue"):
        bench.done(type_name, {"reviewed": queue})
        bench.done(type_name, {"reviewed": dry})


def test_a_dry_run_of_a_review_lists_the_same_people(bench: Bench) -> None:
    bench.silent(4)
    bench.observed()
    dry = bench.start(dryRun=True)
    assert bench.run(dry) == "completed"
    bench.silent(2, first=5)
    assert [one["id"] for one in bench.done(options={"reviewed": dry}, dryRun=True)["wouldRemove"]] == lids(range(1, 5))


# -- the start ---------------------------------------------------------------------------------------------------


def test_an_unknown_group_is_not_accepted(bench: Bench) -> None:
    with pytest.raises(GroupNotFound):
        bench.start(groupWaId="5@g.us")


def test_unmatched_authors_stop_a_real_run_alone(bench: Bench) -> None:
    with bench.store.write() as tx:
        UnmatchedRows(tx).put(bench.group, UnmatchedAuthor("Ana", 3, NOW, NOW, "chat.txt"))
    with pytest.raises(UnmatchedAuthors, match=r"1 author .* is not matched to a member \(Ana\)"):
        bench.start()
    bench.done(dryRun=True)
    bench.done(options={"ignoreUnmatched": True})


# -- resume ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
def test_going_on_skips_and_doubles_nobody(slow: Bench, dry_run: bool) -> None:
    """Stopped after each batch, and each time going on in another run."""
    job_id = slow.start(dryRun=dry_run, batchSize=2)
    slow.ring_after_each_commit()
    ends = [slow.run(job_id)]
    while ends[-1] == "stopped":
        slow.new_bell()
        ends.append(slow.run_again(job_id))
    assert ends[-1] == "completed"
    assert len(ends) > 6
    result = slow.result(job_id)
    found = [one["id"] for one in result["wouldRemove"]] if dry_run else result["removedWhatsappIds"]
    assert found == lids(range(1, 13))
    assert removed_ids(slow.home) == ([] if dry_run else lids(range(1, 13)))
    job = slow.job(job_id)
    assert (job.progress.processed, job.progress.total) == (12, 12)


def test_the_seeds_three_checkpoints(bench: Bench) -> None:
    bench.silent(2)
    bench.observed()
    job_id = bench.start()
    bench.bell.ring()
    assert bench.run(job_id) == "stopped"
    assert bench.queue() == []  # before the sync
    bench.new_bell()
    bench.ring_after_each_commit()
    assert bench.run_again(job_id) == "stopped"
    assert len(bench.queue()) == 2  # after it, before the first batch
    assert bench.history() == []


# -- cost --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", ["roster", SLOW])
def test_a_batch_costs_the_same_with_100_and_with_100_000_in_the_queue(tmp_path: Path, gateway: str) -> None:
    counts = []
    for size in (100, 100_000 if gateway == "roster" else 1_000):
        home = tmp_path / str(size)
        bench = Bench(home, gateway=gateway)
        configure(home, call_ms=0)
        fill(bench, size)
        job_id = bench.start("removal_queue")
        statements: list[str] = []
        bench.ring_after_each_commit()
        if gateway == SLOW:
            assert bench.run(job_id) == "stopped"  # the list was taken over
            bench.new_bell()
        bench.count_statements(statements)
        assert bench.run_again(job_id) == "stopped"
        assert len(bench.result(job_id)["removedWhatsappIds"]) == 5
        counts.append(len([one for one in statements if not one.startswith(("BEGIN", "PRAGMA"))]))
        bench.close()
    listing_chunks = 0 if gateway == "roster" else 1
    assert counts[1] - counts[0] <= listing_chunks * 2
    assert counts[0] < 60


def fill(bench: Bench, size: int) -> None:
    with bench.store.write() as tx:
        run = tx.connection.execute
        run(insert(people), [{"id": n, "lid": lid(n)} for n in range(1, size + 1)])
        shared = {"group_id": bench.group.id, "role": "member", "is_me": False, "first_seen_at": NOW - 90 * DAY}
        run(insert(memberships), [shared | {"person_id": n} for n in range(1, size + 1)])
        queued = {"group_id": bench.group.id, "created_at": NOW, "reason": "by hand", "tries": 0}
        run(insert(removal_queue), [queued | {"person_id": n} for n in range(1, size + 1)])


def test_100_000_members_are_synced_in_one_statement(bench: Bench) -> None:
    fill(bench, 100_000)
    bench.observed()
    with bench.store.write() as tx:
        QueueRows(tx).clear(bench.group)
    statements: list[str] = []
    bench.count_statements(statements)
    with bench.store.write() as tx:
        assert QueueRows(tx).sync(bench.group, 30 * DAY, tx.now, DAY) == 100_000
    assert len([one for one in statements if one.startswith("INSERT")]) == 1


def test_the_roster_takes_everybody_off_or_nobody(bench: Bench) -> None:
    bench.silent(2)
    gateway = RosterGateway(bench.store, bench.clock)
    assert {one.id for one in gateway.list_people(WA_ID, [lid(1), "7@lid"])} == {lid(1)}
