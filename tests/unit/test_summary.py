"""What a removal says of people, and of what makes its list doubtful, to whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from runner.gateway import Listing
from runner.groups.member import MemberEntry
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.groups.whitelist import WhitelistRows
from runner.job import JsonDict
from runner.stores.group_schema import observations
from tests.gateways.slow import SlowGateway, configure
from tests.unit.removals import DAY, NOW, Bench, lid, pn

SPOKE = NOW - 60 * DAY
REASON = "no activity for 30 days or longer"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Members with a lid and a number, as a gateway that lists by lid has them; the last has no number."""
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.members(*(MemberEntry(lid(n), pn(n), f"M{n}", last_active_at=SPOKE + n * 1000) for n in range(1, 6)))
    made.members(MemberEntry(lid(6), last_active_at=SPOKE + 6000))
    made.observed()
    yield made
    made.close()


def person(number: int, reason: str = REASON) -> JsonDict:
    spoke = f"2025-04-16T15:06:4{number}.000Z"
    return {"id": lid(number), "phoneNumber": pn(number), "name": f"M{number}", "lastActivity": spoke, "reason": reason}


def test_a_dry_run_names_people_by_their_number_too(bench: Bench) -> None:
    with bench.store.write() as tx:
        WhitelistRows(tx).add(bench.group, bench.person(5))
    would = bench.done(dryRun=True)["wouldRemove"]
    assert would[:4] == [person(number) for number in range(1, 5)]
    assert would[4] == {name: value for name, value in person(6).items() if name not in ("phoneNumber", "name")}


def test_a_real_run_names_everybody_by_their_number_too(bench: Bench) -> None:
    configure(bench.home, call_ms=0, refuse={lid(2): "403"}, calls={"2": "lost", "3": "lost"})
    result = bench.done(batchSize=3)
    assert result["removed"] == [person(1), person(3)]
    assert result["removedWhatsappIds"] == [lid(1), lid(3)]
    assert result["refused"] == [person(2, "the slow gateway would not") | {"code": "403"}]
    given_up = "asked twice without an answer, and still in the group"
    assert result["givenUp"][:2] == [person(number, given_up) for number in (4, 5)]


def test_who_was_skipped_or_is_gone_is_named_by_their_number_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = SlowGateway.list_group

    def without_the_first(gateway: SlowGateway, group: str) -> Listing:
        found = listing(gateway, group)
        shown = [one for one in found.participants if one.id != lid(1)]
        return Listing(None, None, tuple(replace(one, role="admin") if one.id == lid(2) else one for one in shown))

    monkeypatch.setattr(SlowGateway, "list_group", without_the_first)
    result = bench.done(dryRun=True)
    assert result["alreadyGone"] == [person(1, "not in the group any more")]
    assert result["skipped"] == [person(2, "an admin of the group")]


# -- doubts ------------------------------------------------------------------------------------------------------


def talkative(bench: Bench, count: int) -> None:
    bench.members(*(MemberEntry(lid(n), last_active_at=NOW) for n in range(100, 100 + count)))


def leave_open(bench: Bench, *names: str) -> None:
    with bench.store.write() as tx:
        for name in names:
            UnmatchedRows(tx).put(bench.group, UnmatchedAuthor(name, 3, NOW, NOW, "chat.txt"))


@pytest.mark.parametrize(
    ("names", "said"), [(["Ana"], "1 name in a chat is"), (["Ana", "Zoe"], "2 names in chats are")]
)
@pytest.mark.parametrize("type_name", ["removal_workflow", "removal_queue"])
def test_a_dry_run_warns_of_names_that_nobody_has_matched(
    bench: Bench, type_name: str, names: list[str], said: str
) -> None:
    talkative(bench, 6)
    leave_open(bench, *names)
    (warning,) = bench.done(type_name, dryRun=True)["warnings"]
    assert warning.startswith(f"{said} matched to no member")
    assert "runner import chat --match-names" in warning
    assert "ignoreUnmatched" in warning


def test_a_dry_run_warns_where_more_than_half_would_go(bench: Bench) -> None:
    talkative(bench, 5)
    (warning,) = bench.done(dryRun=True)["warnings"]
    assert warning.startswith("6 of 11 members would be removed, more than half: look at whether the export is of this")
    assert "warnings" not in bench.done()


def test_half_of_a_group_is_no_surprise(bench: Bench) -> None:
    talkative(bench, 6)
    assert "warnings" not in bench.done(dryRun=True)


def test_a_dry_run_that_goes_on_warns_once(bench: Bench) -> None:
    job_id = bench.start(dryRun=True, batchSize=4)
    leave_open(bench, "Ana")
    bench.ring_after_each_commit()
    ends = [bench.run(job_id)]
    while ends[-1] == "stopped":
        bench.new_bell()
        ends.append(bench.run_again(job_id))
    assert ends[-1] == "completed"
    assert [warning.split(":")[0] for warning in bench.result(job_id)["warnings"]] == [
        "1 name in a chat is matched to no member, and may be anybody's",
        "6 of 6 members would be removed, more than half",
    ]


# -- gaps --------------------------------------------------------------------------------------------------------


def interrupt(bench: Bench) -> None:
    """Somebody's export of a month, and events from five seconds after it on."""
    with bench.store.write() as tx:
        tx.connection.execute(delete(observations))
        for from_ms, to_ms, source in (
            (NOW - 90 * DAY, NOW - 65_000, "chat export"),
            (NOW - 60_000, NOW, "events of x"),
        ):
            row = {"group_id": bench.group.id, "from_ms": from_ms, "to_ms": to_ms, "source": source}
            tx.connection.execute(insert(observations).values(row))


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_run_says_between_which_moments_nobody_listened(bench: Bench, is_dry: bool) -> None:
    interrupt(bench)
    result = bench.done(dryRun=is_dry)
    assert result["watched"].startswith("activity known for 0 of 30 days, 6 people unknown")
    assert result["warnings"] == [
        "on 2025-06-15 (UTC), between the export (15:05:35) and the first event (15:05:40) nobody listened: an export "
        "made now closes that"
    ]


def test_so_does_one_that_is_pinned_to_a_dry_run_of_before(bench: Bench) -> None:
    job_id = bench.start(dryRun=True)
    assert bench.run(job_id) == "completed"
    interrupt(bench)
    (warning,) = bench.done(options={"reviewed": job_id})["warnings"]
    assert "nobody listened" in warning


def test_so_does_one_of_a_queue_that_was_filled_by_silence(bench: Bench) -> None:
    with bench.store.write() as tx:
        QueueRows(tx).sync(bench.group, 30 * DAY, NOW, DAY)
    interrupt(bench)
    warnings = bench.done("removal_queue", dryRun=True)["warnings"]
    assert [warning for warning in warnings if "nobody listened" in warning]
