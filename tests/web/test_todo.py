"""The to-do list of a roster as a file: who is on it, and that no spreadsheet takes a cell for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from runner.clock import Clock
from runner.gateways.roster import RosterGateway
from runner.groups.activity import ActivityRows
from runner.groups.group import GroupRows
from runner.groups.history import FAILURE, SUCCESS, HistoryRows, NewHistory
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.todolist import COLUMNS, safe_cell
from runner.stores.database import SqlStore
from runner.stores.migrate import migrate
from web.cli import app

GROUP, OTHER = "120363403645737238@g.us", "120363000000000009@g.us"
DAY, NOW = 86_400_000, 1_764_000_000_000
PN = "447700900103@s.whatsapp.net"
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u200e=1", "\uff1d1", "\uff201")


class Roster:
    """The database that the command works on, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.now = NOW
        url = f"sqlite:///{home / 'runner.db'}"
        migrate(url)
        self.store = SqlStore(url, Clock(lambda: self.now), pooled=False)
        self.people: dict[str, int] = {}

    def put(self, known: str, name: str | None = None, active: int | None = None, group: str = GROUP) -> None:
        lid, pn = (known, None) if known.endswith("@lid") else (None, known)
        with self.store.write() as tx:
            entry = MemberEntry(lid, pn, name, last_active_at=active)
            self.people[known] = MemberRows(tx).put(GroupRows(tx).create(group), entry, NOW - 400 * DAY)

    def remove(self, known: str, reason: str = "silent", group: str = GROUP) -> None:
        """As a job does: off the roster, then into the books."""
        RosterGateway(self.store, Clock(lambda: self.now)).remove(group, [known], lambda: 5.0)
        with self.store.write() as tx:
            found, person = GroupRows(tx).get(group), self.people[known]
            HistoryRows(tx).add(found, [NewHistory(person, "job_1", SUCCESS, reason, "roster")])
            MemberRows(tx).leave(found, [person], tx.now)

    def book(self, known: str, outcome: str, reason: str, via: str) -> None:
        with self.store.write() as tx:
            found = GroupRows(tx).get(GROUP)
            HistoryRows(tx).add(found, [NewHistory(self.people[known], "job_2", outcome, reason, via)])

    def hear(self, known: str, at: int) -> None:
        with self.store.write() as tx:
            ActivityRows(tx).saw(GroupRows(tx).get(GROUP), self.people[known], at)


@pytest.fixture
def roster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Roster]:
    monkeypatch.setenv("RUNNER_DATABASE_URL", f"sqlite:///{tmp_path / 'runner.db'}")
    made = Roster(tmp_path)
    yield made
    made.store.close()


def todo(group: str = GROUP) -> Result:
    return CliRunner().invoke(app, ["todo", group])


def rows() -> list[list[str]]:
    done = todo()
    assert done.exit_code == 0, done.output
    assert done.stdout_bytes.startswith(b"\xef\xbb\xbf")
    first, *others = csv.reader(io.StringIO(done.stdout_bytes.decode("utf-8-sig"), newline=""))
    assert tuple(first) == COLUMNS
    return others


def test_who_was_taken_off_is_on_it_with_the_reason(roster: Roster) -> None:
    roster.put(PN, "Ana \u00d6zt\u00fcrk", NOW - 40 * DAY)
    roster.put("5@lid")
    roster.put("6@lid", "Stays")
    roster.put("7@lid", "Elsewhere", group=OTHER)
    roster.remove("7@lid", group=OTHER)
    roster.remove(PN, "nothing heard for 30 days")
    roster.now += DAY
    roster.remove("5@lid", "by hand")
    assert rows() == [
        ["Ana \u00d6zt\u00fcrk", "'+447700900103", "2025-10-15 16:00", "nothing heard for 30 days", "2025-11-24 16:00"],
        ["", "5@lid", "", "by hand", "2025-11-25 16:00"],
    ]


def test_the_reason_is_that_of_the_last_removal_from_the_roster(roster: Roster) -> None:
    roster.put(PN)
    roster.remove(PN, "the first time")
    roster.hear(PN, NOW + DAY)
    assert rows() == []  # heard after it, so they are back
    roster.now = NOW + 2 * DAY
    roster.remove(PN, "the second time")
    roster.book(PN, FAILURE, "asked once more", "roster")
    roster.book(PN, SUCCESS, "through a gateway", "evolution")
    assert [row[3] for row in rows()] == ["the second time"]


def test_taken_off_and_not_yet_booked_is_on_it(roster: Roster) -> None:
    """As after a crash between the two: nobody is forgotten."""
    roster.put(PN, "Ana")
    RosterGateway(roster.store, Clock(lambda: NOW)).remove(GROUP, [PN], lambda: 5.0)
    assert [row[:4] for row in rows()] == [["Ana", "'+447700900103", "", ""]]


def test_a_name_does_not_become_a_formula_or_another_cell(roster: Roster) -> None:
    roster.put(PN, '=HYPERLINK("http://x","y");=2\r\n@z')
    roster.remove(PN)
    assert rows()[0][0] == '\'=HYPERLINK("http://x","y"),=2  @z'


def test_a_group_that_is_not_kept_is_refused(roster: Roster) -> None:
    done = todo(OTHER)
    assert (done.exit_code, done.stdout_bytes) == (1, b"")
    assert "Group not found: take it in first, with 'runner ingest GROUP'" in done.stderr


@pytest.mark.parametrize("text", FORMULAS)
def test_what_would_be_reckoned_has_an_apostrophe(text: str) -> None:
    assert safe_cell(text).startswith("'")


@pytest.mark.parametrize("text", ["", "Ana", "5@lid", "1+1", "a=b", "\U0001f600", "\u00d6zt\u00fcrk, Ana"])
def test_other_words_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


@given(st.text())
def test_no_cell_begins_a_formula_or_breaks(text: str) -> None:
    cell = safe_cell(text)
    assert cell.lstrip()[:1] not in tuple("=+-@")
    assert not set(cell) & set("\r\n\t;\0")
