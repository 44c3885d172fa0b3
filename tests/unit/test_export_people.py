"""An export of another group is refused with nothing changed; and one of this group is not, however old that is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.groups.activity import ActivityRows
from runner.groups.export import DateOrder, read_export
from runner.groups.export_name import name_in, other_name
from runner.groups.export_people import PeopleFound
from runner.groups.group import Group, GroupRows
from runner.groups.imports import ChatSummary, GroupUnknown, OtherPeople, import_chat, import_members
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedRows
from tests.unit.groupstore import DAY, NOW, WA_ID, GroupStore

EXPORTS = Path(__file__).resolve().parent.parent / "data" / "chat-exports"
ELSEWHERE = "120363999999999999@g.us"


def phone(number: int) -> str:
    return f"+33 1 23 45 {number:04d}"


class Village:
    """A group that was listed ten days ago, with members 1 to 20; and exports of any chat."""

    def __init__(self, kept: GroupStore, folder: Path) -> None:
        self.kept = kept
        self.folder = folder
        self.path = folder / "chat.txt"
        list_of_members = folder / "members.csv"
        rows = [f"{phone(number)},Person {number},2020-01-01" for number in range(1, 21)]
        list_of_members.write_text("\n".join(["phone,name,joined", *rows]))
        kept.now = NOW - 10 * DAY
        import_members(kept.store, list_of_members, WA_ID, zone=UTC)
        kept.now = NOW
        with kept.tx() as tx:
            GroupRows(tx).change(kept.group.id, name="Book club")

    def take_in(self, *said: tuple[int, str], other_people: bool = False, matches: str = "") -> ChatSummary:
        """Each line: days ago, and the author."""
        lines = [
            f"{wall(200)} - a notice.",
            *(f"{wall(days)} - {author}: hello" for days, author in sorted(said)[::-1]),
        ]
        self.path.write_text("\n".join(lines))
        answers = self.folder / "matches.csv"
        answers.write_text(f"author,member\n{matches}")
        return import_chat(
            self.kept.store, self.path, WA_ID, date_order="dmy", zone=ZoneInfo("UTC"), exported_at=NOW,
            matches=answers if matches else None, other_people=other_people,
        )  # fmt: skip

    def inactive(self) -> int:
        with self.kept.tx() as tx:
            QueueRows(tx).sync(self.kept.group, 30 * DAY, NOW, DAY)
            return len(QueueRows(tx).list(self.kept.group))

    def is_untouched(self) -> bool:
        with self.kept.tx() as tx:
            watch = ActivityRows(tx).watched_since(self.kept.group, NOW, DAY)
            return watch is None and UnmatchedRows(tx).count(self.kept.group) == 0 and len(self.kept.members()) == 20


def wall(days: int) -> str:
    return datetime.fromtimestamp((NOW - days * DAY) / 1000, UTC).strftime("%d/%m/%Y, %H:%M")


@pytest.fixture
def village(kept: GroupStore, tmp_path: Path) -> Village:
    return Village(kept, tmp_path)


OTHERS = tuple((15, phone(number)) for number in range(101, 112))


@pytest.mark.parametrize("days", [15, 1])  # before the list was given: they left; after it: they are new
def test_an_export_of_another_group_is_refused(village: Village, days: int) -> None:
    others = [(days, author) for _, author in OTHERS]
    with pytest.raises(
        OtherPeople, match=r"of 12 people .*, 1 is or was a member of this one.*--other-people"
    ) as refused:
        village.take_in((15, phone(1)), *others)
    assert "the group here is 'Book club'" in str(refused.value)
    assert "it does not say what the chat is called" in str(refused.value)
    assert village.is_untouched()
    assert village.inactive() == 0


def test_it_is_taken_where_somebody_says_it_is_right(village: Village) -> None:
    summary = village.take_in((150, phone(1)), (15, phone(1)), *OTHERS, other_people=True)
    assert (summary.matched, summary.former) == (1, 11)
    assert village.inactive() == 19


def test_two_who_are_both_strangers_are_enough_and_one_is_not(village: Village) -> None:
    assert village.take_in(OTHERS[0]).former == 1
    with pytest.raises(OtherPeople, match="nobody is or was a member"):
        village.take_in(*OTHERS[:2])


@pytest.mark.parametrize(("known", "others", "refused"), [(2, 2, False), (1, 2, False), (1, 3, True), (4, 5, True)])
def test_half_are_enough(known: int, others: int, refused: bool) -> None:
    assert PeopleFound.of([True] * known + [False] * others + [None] * 50, 0).are_others is refused


def test_who_left_long_ago_does_not_count(village: Village) -> None:
    """An old group: of hundreds who ever wrote few are left, and they left before anything was listed here."""
    long_gone = [(90, phone(number)) for number in range(200, 300)]
    assert village.take_in(*long_gone, (5, phone(1)), (6, phone(2))).former == 100


def test_who_was_a_member_here_counts_as_known(village: Village) -> None:
    with village.kept.tx() as tx:
        people = [
            MemberRows(tx).find(village.kept.group, f"3312345{number:04d}@c.us").person_id for number in (1, 2, 3)
        ]
        MemberRows(tx).leave(village.kept.group, people, NOW - 2 * DAY)
    assert village.take_in(*((15, phone(number)) for number in (1, 2, 3)), OTHERS[0]).matched == 3


def test_names_without_an_answer_count_neither_way(village: Village) -> None:
    assert village.take_in(*((5, f"Name {number}") for number in range(30)), (5, phone(1))).left_unmatched == 30


def test_names_said_to_be_nobodys_count(village: Village) -> None:
    names = [f"Name {number}" for number in range(5)]
    with pytest.raises(OtherPeople, match="of 6 people"):
        village.take_in(*((5, name) for name in names), (5, phone(1)), matches="".join(f"{name},\n" for name in names))


def test_numbers_that_may_be_a_members_count_neither_way(village: Village) -> None:
    """As many as there are members whose number nobody knows, and no more."""
    village.kept.put(MemberEntry(lid="1@lid"))
    with pytest.raises(OtherPeople, match=r"of 10 people .* nobody is or was"):
        village.take_in(*OTHERS)
    for number in range(2, 11):
        village.kept.put(MemberEntry(lid=f"{number}@lid"))
    assert village.take_in(*OTHERS).left_unmatched == len(OTHERS)


def test_a_group_that_was_never_listed_has_nothing_to_compare_with(kept: GroupStore, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("\n".join(f"{wall(days)} - {author}: hello" for days, author in OTHERS))
    assert import_chat(kept.store, path, WA_ID, date_order="dmy", zone=UTC, exported_at=NOW).matched == len(OTHERS)


def test_a_group_that_is_not_here_is_not_made(village: Village) -> None:
    village.take_in((5, phone(1)))
    with pytest.raises(GroupUnknown, match=f"'runner ingest {ELSEWHERE}'.*'runner import members FILE --group"):
        import_chat(village.kept.store, village.path, ELSEWHERE, date_order="dmy", zone=UTC)
    with village.kept.tx() as tx:
        assert [group.wa_id for group in GroupRows(tx).list()] == [WA_ID]


# -- the name ----------------------------------------------------------------------------------------------------


def _order(file: str) -> DateOrder:
    return "ymd" if "zhtw" in file else "mdy" if "-en-" in file else "dmy"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("own-android-en-group-12h-nnbsp.txt", "Team: beta"),
        ("own-android-es-group.txt", "Vecinos"),
        ("own-android-ptbr-group.txt", "Prédio"),
        ("own-ios-en-group-12h-nnbsp.txt", "Neighbours"),
        ("own-ios-en-group-12h-nnbsp.zip", "Neighbours"),
        ("own-ios-fi.txt", "Talo"),
        ("own-android-zhtw.txt", None),
    ],
)
def test_what_the_chat_is_called_in_the_file(file: str, name: str | None) -> None:
    path = EXPORTS / file
    assert name_in(read_export(path, _order(file)), path) == name


@pytest.mark.parametrize(
    ("file", "ours", "told"),
    [
        ("WhatsApp Chat with Vecinos.txt", "Vecinos", None),
        ("WhatsApp Chat with Vecinos (1).txt", "Vecinos", None),
        ("WhatsApp Chat - Block (2).txt", "Block (2)", None),
        ("Chat de WhatsApp con Los_Vecinos_.txt", "¡Los: Vecinos!", None),
        ("Chat de WhatsApp con Playa.txt", "Vecinos", "Playa"),
        ("chat.txt", "Vecinos", "Later"),
        ("chat.txt", "early", None),  # it was called so once
        ("chat.txt", "🎉", None),
        ("chat.txt", None, None),
    ],
)
def test_another_name_is_told(tmp_path: Path, file: str, ours: str | None, told: str | None) -> None:
    path = tmp_path / file
    lines = ["13/01/2026, 09:00 - Ana: hello"]
    if file == "chat.txt":
        lines += ['14/01/2026, 09:00 - Ana created group "Early"', "14/01/2026, 10:00 - Ana: “no name”"]
        lines += ["15/01/2026, 09:00 - Ana changed the group name from “Early” to “Later”"]
    path.write_text("\n".join(lines), "utf-8")
    assert other_name(read_export(path), path, Group(1, WA_ID, ours, 1, 1)) == told


def test_a_name_alone_refuses_nothing(village: Village) -> None:
    village.path = village.folder / "WhatsApp Chat with Beach.txt"
    assert village.take_in((5, phone(1))).chat_name == "Beach"
