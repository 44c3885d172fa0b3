"""What a review found: ways in which the wrong person was removed, or a removal was told wrongly."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.gateway import Listing, Outcome, OutcomeKind, Participant
from runner.groups.imports import ChatSummary, ImportRefused, import_chat, import_members
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.job import StopReason
from runner.store import Store
from runner.stores.batches import BatchRows
from runner.stores.runs import RunRows
from tests.gateways.slow import SlowGateway, configure, effects, removed_ids
from tests.unit.groupstore import GroupStore
from tests.unit.removals import DAY, NOW, WA_ID, Bench, lid, lids, pn

SLOW = "tests.gateways.slow:open_slow"
PHONE, PHONE_PN = "+33 1 00 00 00 02", "33100000002@s.whatsapp.net"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three people who have been silent for 60 days, and one who has not; with a gateway of its own."""
    made = Bench(tmp_path, gateway=SLOW)
    configure(tmp_path, call_ms=0)
    made.silent(3)
    made.members(MemberEntry(lid=lid(9), last_active_at=NOW))
    made.observed()
    yield made
    made.close()


def take_in(store: Store, folder: Path, *said: tuple[int, str], exported_at: int | None = NOW) -> ChatSummary:
    """An export with these lines; without ``exported_at`` its file is from ten days ahead."""
    lines = [f"{datetime.fromtimestamp(at / 1000, UTC):%d/%m/%Y, %H:%M} - {line}\n" for at, line in said]
    path = folder / "chat.txt"
    path.write_text("".join(lines))
    os.utime(path, ((NOW + 10 * DAY) / 1000,) * 2)
    return import_chat(store, path, WA_ID, date_order="dmy", zone=UTC, exported_at=exported_at)


def inactive(kept: GroupStore, window: int = 30 * DAY) -> list[str]:
    with kept.tx() as tx:
        QueueRows(tx).sync(kept.group, window, NOW, 0)
        return [entry.shown_id for entry in QueueRows(tx).list(kept.group)]


# -- silence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "removed"), [({}, []), ({"ignoreUnmatched": True}, lids([1, 2, 3]))])
def test_a_name_left_open_by_an_import_meanwhile_stops_the_removals(
    bench: Bench, tmp_path: Path, options: dict[str, bool], removed: list[str]
) -> None:
    """The import came after the start, which is refused while a name is open."""
    job_id = bench.start(options=options)
    take_in(bench.store, tmp_path, (NOW - 90 * DAY, "a notice."), (NOW - DAY, "Ana: hello"))
    bench.run(job_id)
    assert removed_ids(bench.home) == bench.result(job_id)["removedWhatsappIds"] == removed
    assert len(bench.queue()) == 3 - len(removed)


def test_a_line_pasted_from_long_ago_is_no_observation(kept: GroupStore, tmp_path: Path) -> None:
    days = ((10, "Ben: look"), (300, "Ana: pasted"), (9, "Ben: so"), (8, "Ben: well"))
    summary = take_in(kept.store, tmp_path, *((NOW - ago * DAY, line) for ago, line in days))
    assert summary.observed_from == (NOW - 10 * DAY) // 60_000 * 60_000


def test_an_export_is_not_made_in_the_future(kept: GroupStore, tmp_path: Path) -> None:
    said = ((NOW - 40 * DAY, "Ben: a"), (NOW - 8 * DAY, "Ben: b"))
    with pytest.raises(ImportRefused, match="exported-at lies in the future"):
        take_in(kept.store, tmp_path, *said, exported_at=NOW + 20 * DAY)
    summary = take_in(kept.store, tmp_path, *said, exported_at=None)
    assert summary.observed_to == (NOW - 8 * DAY) // 60_000 * 60_000


def test_who_was_on_no_list_was_not_heard_before_it(kept: GroupStore, tmp_path: Path) -> None:
    """What they said was taken for a former member's, and let go."""
    file = tmp_path / "members.csv"
    file.write_text("phone,joined\n+33 1 00 00 00 01,2020-01-01\n")
    import_members(kept.store, file, WA_ID, zone=UTC)
    assert take_in(kept.store, tmp_path, (NOW - 90 * DAY, "a notice."), (NOW - DAY, f"{PHONE}: hello")).former == 1
    file.write_text(f"phone,joined\n{PHONE},2020-01-01\n")
    import_members(kept.store, file, WA_ID, zone=UTC)
    assert kept.member(PHONE_PN).joined_at == NOW
    assert PHONE_PN not in inactive(kept)


# -- one person, two rows ----------------------------------------------------------------------------------------


def test_of_two_joins_the_later_counts(kept: GroupStore) -> None:
    kept.put(MemberEntry(lid=lid(1), joined_at=NOW - 5 * DAY, last_active_at=NOW - 100 * DAY))
    kept.put(MemberEntry(pn=pn(1), joined_at=NOW - 300 * DAY))
    kept.put(MemberEntry(lid=lid(1), pn=pn(1)))
    kept.observed(NOW - 200 * DAY, NOW)
    assert inactive(kept) == []


@pytest.mark.parametrize("left_by_phone", [False, True])
def test_who_left_by_one_id_is_back_by_the_other(kept: GroupStore, left_by_phone: bool) -> None:
    one, other = MemberEntry(lid=lid(1)), MemberEntry(pn=pn(1))
    gone, back = (other, one) if left_by_phone else (one, other)
    person = kept.put(gone)
    with kept.tx() as tx:
        MemberRows(tx).leave(kept.group, [person], NOW - 50 * DAY)
    kept.put(back, NOW - 5 * DAY)
    kept.put(MemberEntry(lid=lid(1), pn=pn(1)))
    kept.observed(NOW - 200 * DAY, NOW)
    assert kept.member(lid(1)).joined_at == NOW - 5 * DAY
    assert inactive(kept) == []


def test_an_import_that_joins_two_rows_during_the_call(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = SlowGateway.remove
    bench.members(MemberEntry(pn=pn(2), last_active_at=NOW))

    def and_join(
        gateway: SlowGateway, group: str, ids: Sequence[str], seconds_left: Callable[[], float]
    ) -> dict[str, Outcome]:
        outcomes = remove(gateway, group, ids, seconds_left)
        with bench.store.write() as tx:
            found = [PersonRows(tx).find(known) for known in (pn(2), lid(2))]
            kept, dropped = (one.id for one in found if one)
            PersonRows(tx).merge(kept, dropped)
        return outcomes

    monkeypatch.setattr(SlowGateway, "remove", and_join)
    assert bench.done()["removedWhatsappIds"] == removed_ids(bench.home) == lids([1, 2, 3])
    assert [entry.shown_id for entry in bench.history()] == lids([1, 2, 3])
    assert bench.queue() == []


# -- what the group's list shows ---------------------------------------------------------------------------------


def test_a_list_by_other_ids_settles_nobody_as_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call was lost; the list asked for then shows numbers where it showed lids before."""
    listing = SlowGateway.list_group
    configure(bench.home, call_ms=0, calls={"1": "lost"})
    bench.members(*(MemberEntry(pn=pn(number), last_active_at=NOW) for number in range(50, 55)))

    def by_number(gateway: SlowGateway, group: str) -> Listing:
        found = listing(gateway, group)
        if not effects(bench.home):
            return found
        shown = (pn(50 + place) for place in range(len(found.participants)))
        return Listing(None, None, tuple(Participant(one, None, one, "member") for one in shown))

    monkeypatch.setattr(SlowGateway, "list_group", by_number)
    assert bench.done()["removedWhatsappIds"] == removed_ids(bench.home) == []
    assert bench.history() == []
    assert len(bench.queue()) == 3


def test_a_number_that_has_moved_names_nobody_else_in_a_dry_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.members(MemberEntry(lid=lid(1), pn=pn(1)))
    shown = (
        Participant(lid(5), lid(5), pn(1), "member"),
        *(Participant(lid(n), lid(n), None, "member") for n in (2, 9)),
    )
    monkeypatch.setattr(SlowGateway, "list_group", lambda *_: Listing(None, None, shown))
    result = bench.done(dryRun=True)
    assert [one["id"] for one in result["wouldRemove"]] == [lid(2)]
    assert [one["id"] for one in result["alreadyGone"]] == [lid(1), lid(3)]


def test_who_is_made_an_admin_while_a_call_waits_for_another_try(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway would remove an admin, too."""
    listing = SlowGateway.list_group
    configure(bench.home, call_ms=0, calls={"1": "rate_limited"})

    def promoted(gateway: SlowGateway, group: str) -> Listing:
        found = listing(gateway, group)
        shown = (replace(one, role="admin") if one.id == lid(2) else one for one in found.participants)
        return Listing(None, None, tuple(shown)) if effects(bench.home) else found

    def remove_all(_gateway: SlowGateway, _config: object, _group: str, ids: Sequence[str]) -> dict[str, Outcome]:
        return {known: Outcome(OutcomeKind.REMOVED) for known in ids}

    monkeypatch.setattr(SlowGateway, "list_group", promoted)
    monkeypatch.setattr(SlowGateway, "_outcomes", remove_all)
    assert bench.done()["removedWhatsappIds"] == removed_ids(bench.home) == lids([1, 3])


# -- a stop ------------------------------------------------------------------------------------------------------


def test_a_stop_between_intent_and_call_leaves_nothing_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent: nobody is unknown, and nobody has used up a try."""
    intend = BatchRows.intend

    def and_stop(rows: BatchRows, *given: Any) -> None:
        intend(rows, *given)
        RunRows(rows._tx).request_stop(rows._job_id, StopReason.CANCEL)

    monkeypatch.setattr(BatchRows, "intend", and_stop)
    job_id = bench.start()
    assert bench.run(job_id) == "stopped"
    assert removed_ids(bench.home) == bench.open_ids(job_id) == []
    assert [entry.tries for entry in bench.queue()] == [0, 0, 0]


def test_a_list_without_activity_cannot_vouch_for_anybodys_silence(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("phone,joined\n+447700900101,2020-01-01\n")
    with pytest.raises(ImportRefused, match="lastActive"):
        import_members(bench.store, path, WA_ID, observed_since=0)
