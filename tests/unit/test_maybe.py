"""Who may be somebody protected or heard, by another spelling of a number or by a name in a chat, stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.gateway import Listing, Participant
from runner.groups.authors import Authors
from runner.groups.hearing import Limits
from runner.groups.incoming import Incoming
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.groups.unmatched import MatchRows, UnmatchedAuthor
from runner.groups.whitelist import WhitelistRows
from runner.job import JsonDict
from runner.webhook import Heard, Notice, Sign, Someone
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import DAY, NOW, WA_ID, Bench

BRAZIL = ("5511987654321", "551187654321")
MEXICO = ("525512345678", "5215512345678")
ARGENTINA = ("5491123456789", "541123456789")
GERMANY = ("4901511234567", "491511234567")
PAIRS = pytest.mark.parametrize(("given", "listed"), [BRAZIL, BRAZIL[::-1], MEXICO, ARGENTINA, GERMANY])
OTHER = "447700900199"


def pn(digits: str) -> str:
    return f"{digits}@s.whatsapp.net"


@pytest.fixture
def roster(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.observed()
    yield made
    made.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.observed()
    yield made
    made.close()


def lists(monkeypatch: pytest.MonkeyPatch, *numbers: str) -> None:
    """The gateway's group: these, and five who spoke yesterday."""
    shown = tuple(Participant(pn(one), None, pn(one), "member") for one in (*numbers, *ACTIVE))

    def list_group(gateway: SlowGateway, _: str) -> Listing:
        left = tuple(one for one in shown if one.id not in removed_ids(gateway._home))
        return Listing("N", len(left), left)

    monkeypatch.setattr(SlowGateway, "list_group", list_group)


ACTIVE = tuple(f"33100000000{last}" for last in range(5))


def members(bench: Bench, *numbers: str) -> None:
    bench.members(*(MemberEntry(pn=pn(one), last_active_at=NOW - 60 * DAY) for one in numbers))
    bench.members(*(MemberEntry(pn=pn(one), last_active_at=NOW - DAY) for one in ACTIVE))


def whitelist(bench: Bench, digits: str) -> None:
    with bench.store.write() as tx:
        WhitelistRows(tx).add(bench.group, PersonRows(tx).resolve(None, pn(digits), "Ana"))


def writes(bench: Bench, author: str, at: int = NOW - DAY) -> None:
    with bench.store.write() as tx:
        Authors(tx, bench.group).book(UnmatchedAuthor(author, 3, at, at, "chat.txt"))


def by_hand(bench: Bench, *numbers: str) -> None:
    with bench.store.write() as tx:
        found = [MemberRows(tx).find(bench.group, pn(one)).person_id for one in numbers]
        QueueRows(tx).add(bench.group, found, "by hand")


def reasons(result: JsonDict) -> dict[str, str]:
    return {one["id"]: one["reason"] for one in result.get("skipped", ())}


@PAIRS
def test_who_is_whitelisted_by_another_spelling_stays(
    slow: Bench, monkeypatch: pytest.MonkeyPatch, given: str, listed: str
) -> None:
    lists(monkeypatch, listed, OTHER)
    members(slow, listed, OTHER)
    whitelist(slow, given)
    said = f"Ana (+{given}) is on the whitelist, and may be this person by another spelling of the number"
    rehearsed = slow.done(dryRun=True)
    assert [one["id"] for one in rehearsed["wouldRemove"]] == [pn(OTHER)]
    assert reasons(rehearsed) == {pn(listed): f"{said}; stays in the queue"}
    assert reasons(slow.done()) == {pn(listed): f"{said}; stays in the queue"}
    assert removed_ids(slow.home) == [pn(OTHER)]


@PAIRS
def test_who_is_whitelisted_by_another_spelling_stays_on_the_roster(roster: Bench, given: str, listed: str) -> None:
    members(roster, listed, OTHER)
    whitelist(roster, given)
    assert roster.done()["removedWhatsappIds"] == [pn(OTHER)]


def test_who_is_whitelisted_with_a_lid_and_another_spelling_stays(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway shows both ids, and the whitelist knows the number alone."""
    shown = (Participant("77@lid", "77@lid", pn(BRAZIL[1]), "member"), Participant("1@lid", "1@lid", None, "member"))
    monkeypatch.setattr(SlowGateway, "list_group", lambda *_: Listing("N", 2, shown))
    slow.members(
        MemberEntry(lid="77@lid", pn=pn(BRAZIL[1]), last_active_at=NOW - 60 * DAY),
        MemberEntry(lid="1@lid", last_active_at=NOW - DAY),
    )
    whitelist(slow, BRAZIL[0])
    assert "Ana (+5511987654321) is on the whitelist" in reasons(slow.done())["77@lid"]
    assert removed_ids(slow.home) == []


def test_whom_the_gateway_lists_beside_them_is_somebody_else(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nobody twice, so a number that is on its list is nobody else's."""
    lists(monkeypatch, *BRAZIL)
    members(slow, *BRAZIL)
    whitelist(slow, BRAZIL[0])
    assert slow.done()["removedWhatsappIds"] == [pn(BRAZIL[1])]


def test_who_stands_on_a_list_twice_and_was_heard_once_stays(roster: Bench) -> None:
    """A list by hand may have somebody twice."""
    members(roster, BRAZIL[0], OTHER)
    roster.members(MemberEntry(pn=pn(BRAZIL[1]), last_active_at=NOW - 2 * DAY))
    result = roster.done()
    assert result["removedWhatsappIds"] == [pn(OTHER)]
    assert "+551187654321 was active on 2025-06-13" in reasons(result)[pn(BRAZIL[0])]


def test_who_is_an_admin_by_another_spelling_stays(roster: Bench) -> None:
    members(roster, BRAZIL[0])
    roster.members(MemberEntry(pn=pn(BRAZIL[1]), role="admin", last_active_at=NOW - 60 * DAY))
    result = roster.done()
    assert result["removedWhatsappIds"] == []
    assert "is an admin of the group, and may be this person" in reasons(result)[pn(BRAZIL[0])]


def test_who_is_heard_by_an_event_under_another_spelling_stays(roster: Bench) -> None:
    members(roster, BRAZIL[0], OTHER)
    heard = Heard(WA_ID, Someone(None, pn(BRAZIL[1])), NOW - 1000, "k1")
    with roster.store.write() as tx:
        notice = Notice("evolution/p2", "messages-upsert", Sign.TRAFFIC, (heard,), is_news=True)
        Incoming(tx, Limits.of(roster.settings)).take([notice])
    roster.observed()
    assert roster.done()["removedWhatsappIds"] == [pn(OTHER)]


def test_who_was_put_there_by_hand_is_kept_for_the_whitelist_alone(roster: Bench) -> None:
    """Somebody named that very number; that another spelling was heard is no word against it."""
    members(roster, BRAZIL[0], MEXICO[0])
    roster.members(MemberEntry(pn=pn(BRAZIL[1]), last_active_at=NOW - DAY))
    whitelist(roster, MEXICO[1])
    by_hand(roster, BRAZIL[0], MEXICO[0])
    assert roster.done("removal_queue")["removedWhatsappIds"] == [pn(BRAZIL[0])]


def test_nobody_is_said_to_be_gone_who_is_listed_by_another_spelling(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists(monkeypatch, BRAZIL[1])
    members(slow, BRAZIL[0])
    said = {pn(BRAZIL[0]): f"not in the group by this number, but +{BRAZIL[1]} is, and may be the same; left alone"}
    rehearsed = slow.done(dryRun=True)
    assert (rehearsed.get("alreadyGone"), reasons(rehearsed)) == (None, said)
    by_hand(slow, BRAZIL[0])
    result = slow.done("removal_queue")
    assert (result.get("alreadyGone"), reasons(result)) == (None, said)


@PAIRS
@pytest.mark.parametrize("options", [{}, {"ignoreUnmatched": True}], ids=["asked", "ignored"])
def test_who_may_have_written_by_another_spelling_is_unknown(
    roster: Bench, given: str, listed: str, options: JsonDict
) -> None:
    members(roster, listed, OTHER)
    writes(roster, f"+{given}")
    rehearsed = roster.done(dryRun=True)
    assert [one["id"] for one in rehearsed["wouldRemove"]] == [pn(OTHER)]
    assert (rehearsed["sync"]["found"], rehearsed["sync"]["unknown"]) == (1, 1)
    if options:
        assert roster.done(options=options)["removedWhatsappIds"] == [pn(OTHER)]


NAMES = {
    "the very name": ("Clara Nowak", "Clara Nowak"),
    "another case": ("CLARA nowak ", "Clara Nowak"),
    "composed and decomposed": ("Jose\u0301 Lima", "José Lima"),
    "an emoji of another kind": ("Clara \u2764\ufe0f", "Clara \u2764"),
    "a mark that nobody sees": ("\u200eClara\u2060 Nowak", "Clara Nowak"),
    "what they call themselves": ("~\u202fClara Nowak", "Clara Nowak"),
    "near": ("Klara Novak", "Clara Nowak"),
    "a word of it": ("Clara", "Clara Nowak"),
    "a word of it, with a colon": ("Vecino", "Vecino: Ana"),
}


@pytest.mark.parametrize(("author", "name"), NAMES.values(), ids=NAMES)
def test_who_may_have_written_under_a_name_is_unknown_also_if_names_are_ignored(
    roster: Bench, author: str, name: str
) -> None:
    members(roster, OTHER)
    roster.members(MemberEntry(lid="9@lid", name=name, last_active_at=NOW - 60 * DAY))
    writes(roster, author)
    rehearsed = roster.done(dryRun=True)
    assert [one["id"] for one in rehearsed["wouldRemove"]] == [pn(OTHER)]
    assert (rehearsed["sync"]["found"], rehearsed["sync"]["unknown"]) == (1, 1)
    assert "1 person unknown" in rehearsed["watched"]
    assert (
        f"{author} wrote on 2025-06-14T15:06:40.000Z and may be {name} (9@lid), whose silence is therefore unknown"
        in rehearsed["warnings"]
    )
    assert roster.done(options={"ignoreUnmatched": True})["removedWhatsappIds"] == [pn(OTHER)]


def test_who_was_queued_before_the_name_was_open_stays_as_well(roster: Bench) -> None:
    roster.members(MemberEntry(lid="9@lid", name="Clara", last_active_at=NOW - 60 * DAY))
    with roster.store.write() as tx:
        QueueRows(tx).sync(roster.group, 30 * DAY, NOW, 48 * 3_600_000)
    assert len(roster.queue()) == 1
    writes(roster, "Clara")
    result = roster.done("removal_queue", options={"ignoreUnmatched": True})
    assert result["removedWhatsappIds"] == []
    assert reasons(result) == {
        "9@lid": "Clara in a chat wrote on 2025-06-14T15:06:40.000Z, is matched to nobody yet, and may be this person; "
        "stays in the queue"
    }
    assert len(roster.queue()) == 1


def test_an_answer_ends_the_doubt(roster: Bench) -> None:
    members(roster)
    roster.members(MemberEntry(lid="9@lid", name="Clara", last_active_at=NOW - 60 * DAY))
    writes(roster, "Clara")
    with roster.store.write() as tx:
        MatchRows(tx).put(roster.group, "Clara", None)
    assert roster.done()["removedWhatsappIds"] == ["9@lid"]


@pytest.mark.parametrize(
    ("author", "at"),
    [("Dora Klein", NOW - DAY), ("Clara", NOW - 40 * DAY)],
    ids=["another name", "before the window"],
)
def test_an_author_who_is_nobody_near_or_wrote_long_ago_keeps_nobody(roster: Bench, author: str, at: int) -> None:
    members(roster)
    roster.members(MemberEntry(lid="9@lid", name="Clara", last_active_at=NOW - 60 * DAY))
    writes(roster, author, at)
    assert roster.done(options={"ignoreUnmatched": True})["removedWhatsappIds"] == ["9@lid"]


def test_no_two_rows_become_one_by_a_spelling(roster: Bench) -> None:
    members(roster, *BRAZIL)
    whitelist(roster, MEXICO[0])
    with roster.store.write() as tx:
        MemberRows(tx).put(roster.group, MemberEntry(pn=pn(MEXICO[1])), NOW)
    assert {pn(BRAZIL[0]), pn(BRAZIL[1]), pn(MEXICO[1])} <= roster.present()


def test_a_dry_run_tells_who_on_the_whitelist_is_not_in_the_group(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the list of its own gateway, which nobody has taken over yet."""
    lists(monkeypatch, OTHER, BRAZIL[1])
    members(slow, OTHER, BRAZIL[1])
    slow.members(MemberEntry(pn=pn(MEXICO[0]), name="Ben"))
    for digits in (ACTIVE[0], BRAZIL[0], MEXICO[0], "4477009001"):
        whitelist(slow, digits)
    assert sorted(slow.done(dryRun=True)["warnings"]) == [
        "Ana (+4477009001) is on the whitelist, but nobody in this group has this number: kept for the day they join",
        f"Ana (+{MEXICO[0]}) is on the whitelist, and not in the group any more, or there with another number, which "
        "no gateway tells: whitelist that one if they have",
        f"Ana (+{BRAZIL[0]}) is on the whitelist, but nobody in this group has just this number; it may be that of "
        f"+{BRAZIL[1]}, who stays for it",
    ]


def test_a_dry_run_on_the_roster_tells_it_by_the_roster(roster: Bench) -> None:
    members(roster, OTHER)
    whitelist(roster, OTHER)
    whitelist(roster, MEXICO[0])
    assert roster.done(dryRun=True)["warnings"] == [
        f"Ana (+{MEXICO[0]}) is on the whitelist, but nobody in this group has this number: kept for the day they join"
    ]
