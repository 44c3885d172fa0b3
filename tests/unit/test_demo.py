"""The demo's group: whatever the day, the same people are inactive, unknown, and left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from runner.clock import Clock
from runner.demo.chat import DAY_MS, chat_text
from runner.demo.people import GROUP, NAME, PEOPLE
from runner.demo.seed import seed_demo, write_demo_files
from runner.groups.export import read_export
from runner.groups.group import GroupRows
from runner.groups.imports import import_chat, import_members
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.silence import unknown
from runner.groups.summary import summary_of
from runner.groups.walk import Preview
from runner.groups.whitelist import WhitelistRows
from runner.stores.database import SqlStore
from runner.stores.group_schema import groups, memberships, people
from runner.stores.migrate import migrate

WINDOW = 30 * DAY_MS
SLACK = DAY_MS
NOON = int(datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp() * 1000)

INACTIVE = [
    "Ines Costa",
    "Hugo Martin",
    "Grace Mbeki",
    "Kirsi Aalto",
    "Luca Greco",
    "Jonas Weber",
    "Mei Tanaka",
    "Noor Haddad",
]
"""In the order of their removal: whoever was silent for longest comes first."""

UNKNOWN = ["Esra Demir", "Finn Berg"]

MOMENTS = [
    ("UTC", "2026-06-15T12:00:00+00:00"),
    ("UTC", "2026-12-31T23:59:59+00:00"),
    ("UTC", "2027-01-01T00:00:00+00:00"),
    ("UTC", "2028-02-29T06:00:00+00:00"),
    ("Europe/Berlin", "2026-03-29T01:59:00+01:00"),  # one minute before the clocks go forward
    ("Europe/Berlin", "2026-03-29T03:01:00+02:00"),
    ("Europe/Berlin", "2026-10-25T02:30:00+02:00"),  # the first time it is half past two …
    ("Europe/Berlin", "2026-10-25T02:30:00+01:00"),  # … and the second
    ("Europe/Berlin", "2026-04-28T02:30:00+02:00"),  # the change lies at the edge of the window
    ("America/New_York", "2026-11-01T01:10:00-05:00"),
    ("America/New_York", "2026-12-31T23:30:00-05:00"),
    ("Australia/Lord_Howe", "2027-04-04T01:45:00+10:30"),
    ("Asia/Kathmandu", "2027-01-01T00:05:00+05:45"),
    ("Pacific/Kiritimati", "2027-01-01T00:05:00+14:00"),
]


@dataclass
class Place:
    """A database, and a clock that shows what it is told."""

    store: SqlStore
    now: int = NOON

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now)

    def seed(self) -> None:
        seed_demo(self.store, self.clock)

    def inactive(self) -> list[str]:
        with self.store.read() as tx:
            found = Preview(GroupRows(tx).get(GROUP), WINDOW, self.now, SLACK).after(tx, None, 100)
        return [str(entry.name) for entry in found]

    def unknown(self) -> list[str]:
        began = self.now - 46 * DAY_MS
        query = select(people.c.name).join_from(people, memberships).where(unknown(began, self.now - WINDOW))
        with self.store.read() as tx:
            return sorted(tx.connection.execute(query).scalars())

    def watched(self) -> str:
        with self.store.read() as tx:
            return str(summary_of(tx, GroupRows(tx).get(GROUP), WINDOW, self.now, SLACK)["watched"])

    def dump(self) -> dict[str, Sequence[Any]]:
        """Every row; an observation may be written anew with the same content."""
        tables = [table for table in groups.metadata.sorted_tables if table.name != "alembic_version"]
        columns = {
            table: [column for column in table.c if (table.name, column.name) != ("observations", "id")]
            for table in tables
        }
        with self.store.read() as tx:
            return {table.name: tx.connection.execute(select(*columns[table])).all() for table in tables}

    def leave(self, name: str) -> None:
        with self.store.write() as tx:
            group = GroupRows(tx).get(GROUP)
            MemberRows(tx).leave(group, [MemberRows(tx).named(group, name)[0].person_id], self.now)

    def present(self) -> set[str]:
        with self.store.read() as tx:
            return {str(member.name) for member in MemberRows(tx).list(GroupRows(tx).get(GROUP))}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    migrate(url)
    made = Place(SqlStore(url, Clock(lambda: made.now), pooled=False))
    yield made
    made.store.close()


@pytest.fixture
def lives_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts this machine into another time zone."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("zone", "moment"), MOMENTS)
def test_the_dry_run_finds_the_same_people_on_any_day(
    place: Place, lives_in: Callable[[str], None], zone: str, moment: str
) -> None:
    lives_in(zone)
    place.now = int(datetime.fromisoformat(moment).timestamp() * 1000)
    place.seed()
    assert place.inactive() == INACTIVE
    assert place.unknown() == UNKNOWN
    assert place.watched().startswith("activity known for 30 of 30 days, 2 people unknown, of whom nobody is ")


def test_the_export_is_read_on_every_day_of_two_years(tmp_path: Path) -> None:
    """Above all its dates are never open: in some weeks every day might be a month as well."""
    path = tmp_path / "chat.txt"
    authors = {person.author.strip("\u202a\u202c") for person in PEOPLE if person.spoke}
    for days in range(731):
        now = NOON + days * DAY_MS
        path.write_text(chat_text(now, now, zone=UTC), encoding="utf-8")
        reading = read_export(path)
        assert {author.name for author in reading.authors} == authors
        assert (reading.date_order, reading.system, reading.unread_lines) == ("dmy", 1, 0)
        assert reading.group is not None
        assert reading.group.name == NAME
        last = datetime.fromtimestamp(now / 1000, UTC).replace(tzinfo=None)
        assert last - timedelta(hours=1) < reading.last_line < last
        assert last - reading.first_line > timedelta(days=31)


def test_the_files_do_what_seeding_does(place: Place, tmp_path: Path) -> None:
    """``scripts/demo`` imports the files by hand, without the whitelist."""
    files = write_demo_files(tmp_path, place.clock)
    summary = import_members(place.store, files.members, GROUP)
    assert (summary.rows, summary.added, summary.unmatched) == (len(PEOPLE), len(PEOPLE), 0)
    chat = import_chat(place.store, files.chat, GROUP, matches=files.matches)
    assert (chat.matched, chat.authors, chat.unmatched) == (11, 11, ())
    assert chat.observed_to == place.now
    assert sorted(place.inactive()) == sorted([*INACTIVE, "Clara Nowak"])


def test_seeding_twice_changes_nothing(place: Place) -> None:
    place.seed()
    before = place.dump()
    assert len(before["memberships"]) == len(PEOPLE)
    place.seed()
    assert place.dump() == before


def test_a_later_start_goes_on_with_the_chat_and_leaves_what_a_user_did(place: Place) -> None:
    place.seed()
    place.leave("Hugo Martin")
    place.leave("David Osei")  # who would have spoken again
    with place.store.write() as tx:
        group = GroupRows(tx).get(GROUP)
        members, whitelist = MemberRows(tx), WhitelistRows(tx)
        whitelist.add(group, members.named(group, "Mei Tanaka")[0].person_id)
        whitelist.remove(group, members.named(group, "Clara Nowak")[0].person_id)
        members.set_role(group, members.named(group, "Noor Haddad")[0].person_id, "admin")
        GroupRows(tx).change(group.id, name="Our street")
    place.now += 60 * DAY_MS
    place.seed()
    still = {"Ines Costa", "Grace Mbeki", "Kirsi Aalto", "Luca Greco", "Jonas Weber", "Clara Nowak"}
    assert set(place.inactive()) == still | set(UNKNOWN)  # who have been watched for long enough by now
    assert place.watched() == "activity known for 30 of 30 days, 0 people unknown"
    assert place.present().isdisjoint({"Hugo Martin", "David Osei"})
    with place.store.read() as tx:
        assert GroupRows(tx).get(GROUP).name == "Our street"


@pytest.mark.parametrize("step", ["_whitelist", "import_chat"])
def test_what_was_cut_short_is_completed_at_the_next_start(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as broken:
        broken.setattr(f"runner.demo.seed.{step}", fail)
        with pytest.raises(InterruptedError):
            place.seed()
    place.seed()
    assert place.inactive() == INACTIVE


def test_a_group_of_somebody_else_with_that_id_is_left_alone(place: Place) -> None:
    with place.store.write() as tx:
        group = GroupRows(tx).create(GROUP, "Real people")
        MemberRows(tx).put(group, MemberEntry(pn="4915112345678@s.whatsapp.net"), place.now)
    before = place.dump()
    place.seed()
    assert place.dump() == before


def test_every_number_is_of_the_range_kept_free_for_fiction() -> None:
    numbers = [person.phone for person in PEOPLE]
    assert len(set(numbers)) == len(numbers)
    assert all(number.startswith("+44 7700 900") for number in numbers)
