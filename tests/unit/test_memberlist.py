"""Member lists: what is understood, what is refused and how it is said, and that a refused list changes nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.groups.activity import ActivityRows, Watch
from runner.groups.imports import ImportRefused, import_members
from runner.groups.member import MemberEntry
from runner.groups.memberlist import ListError, read_members
from tests.unit.groupstore import DAY, NOW, WA_ID, GroupStore


def ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "members.csv"


def read(file: Path, text: str | bytes) -> list[MemberEntry]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_members(file, NOW, UTC)


def test_every_column_is_read(file: Path) -> None:
    assert read(
        file,
        "lid,phone,name,role,joined,lastActive\n"
        "100@lid,+55 11 98765-4321,Ana,admin,2024-01-31,2025-01-31T10:30:00Z\n"
        ',"5511987654322","Bo, the second",,,\n'
        "102:7@lid,,,,,2025-01-31T10:30:00+02:00\n",
    ) == [
        MemberEntry(
            "100@lid", "5511987654321@s.whatsapp.net", "Ana", "admin", ms(2024, 2, 1) - 1, ms(2025, 1, 31, 10, 30)
        ),
        MemberEntry(None, "5511987654322@s.whatsapp.net", "Bo, the second"),
        MemberEntry("102@lid", last_active_at=ms(2025, 1, 31, 8, 30)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\ufefflid;name\r\n100@lid;Ana\r\n",
        "LID\tName\n100@lid\tAna\n",
        "name,lid\nAna,100@lid\n\n,\n",
        'lid,name\n"100@lid","Ana"',
        "lid , name \n 100@lid , Ana \n",
        "Last Active,lid,NAME\n,100@lid,Ana\n",
    ],
)
def test_what_spreadsheets_make_of_it(file: Path, text: str) -> None:
    assert read(file, text) == [MemberEntry("100@lid", None, "Ana")]


FAULTS = [
    ("name\nAna\n", "line 1, header: there must be a column lid or phone"),
    ("", "line 1, header: there must be a column lid or phone"),
    ("lid,last_seen\n1@lid,\n", "line 1, header: unknown column 'last_seen'; known are lid, phone, name"),
    ("lid,lid\n1@lid,2@lid\n", "line 1, header: a column is there twice"),
    ("lid,name\n,Ana\n", "line 2, lid: the row has neither lid nor phone"),
    ("lid\n1@lid,2@lid\n", "line 2, row: has more than 1 cells"),
    ("lid\n5511987654321\n", "line 2, lid: '5511987654321' is not a lid (digits@lid)"),
    ("phone\n5.51199E+12\n", "line 2, phone: '5.51199E+12' is not a phone number"),
    ("phone\n12\n", "line 2, phone: '12' is not a phone number"),
    ("lid,role\n1@lid,\n2@lid,boss\n", "line 3, role: 'boss' is none of member, admin, superadmin"),
    ("lid,joined\n1@lid,31/01/2025\n", "line 2, joined: '31/01/2025' is not an ISO date"),
    ("lid,joined\n1@lid,1970-01-01\n", "line 2, joined: '1970-01-01' is not an ISO date"),
    ("lid,lastActive\n1@lid,2031-01-01\n", "line 2, lastActive: '2031-01-01' lies in the future"),
    ("lid\n1@lid\n1@lid\n", "line 3, lid: 1@lid is in line 2 already"),
    ("lid,phone\n1@lid,+331234567\n2@lid,00331234567\n3@lid,331234567\n", "line 4, phone: 331234567@s.whatsapp.net"),
    ('lid\n"1@lid\n', "row: "),
    (b"lid\n1@lid\n\xff\n", "line 3, file: is not UTF-8"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS, ids=[str(number) for number in range(len(FAULTS))])
def test_a_fault_is_told_by_line_and_column(file: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ListError) as raised:
        read(file, text)
    assert said in str(raised.value)


def test_all_faults_come_at_once_and_are_counted(file: Path) -> None:
    with pytest.raises(ListError) as raised:
        read(file, "lid\n" + "nobody\n" * 30)
    assert len(raised.value.faults) == 30
    assert str(raised.value).endswith("; and 10 more")


def test_a_file_has_a_limit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.groups.memberlist.MAX_BYTES", 3)
    with pytest.raises(ListError, match="is larger than"):
        read(file, "lid\n1@lid\n")


def test_a_list_with_a_fault_changes_nothing(kept: GroupStore, file: Path) -> None:
    file.write_text("lid,role\n1@lid,member\n2@lid,boss\n")
    with pytest.raises(ListError):
        import_members(kept.store, file, WA_ID)
    assert kept.members() == []


def test_a_list_makes_group_and_members(kept: GroupStore, file: Path) -> None:
    file.write_text("lid,role\n1@lid,member\n2@lid,admin\n")
    summary = import_members(kept.store, file, "777@g.us", name="New")
    assert (summary.rows, summary.added, summary.members, summary.kept_off) == (2, 2, 2, 0)
    assert import_members(kept.store, file, "777@g.us").added == 0
    with pytest.raises(ImportRefused, match="is not a group id"):
        import_members(kept.store, file, "777")


def test_a_list_observes_only_what_is_said(kept: GroupStore, file: Path) -> None:
    file.write_text("lid,lastActive\n1@lid,2024-01-01\n")
    os.utime(file, (NOW / 1000, NOW / 1000))  # a list tells until it was written
    import_members(kept.store, file, WA_ID)
    with kept.tx() as tx:
        assert ActivityRows(tx).watched_since(kept.group, NOW, 0) is None
    import_members(kept.store, file, WA_ID, NOW - 40 * DAY)
    with kept.tx() as tx:
        assert ActivityRows(tx).watched_since(kept.group, NOW, 0) == Watch(NOW - 40 * DAY, NOW)
    with pytest.raises(ImportRefused, match="future"):
        import_members(kept.store, file, WA_ID, NOW + 1)


def test_dates_without_an_offset_are_in_the_zone(file: Path) -> None:
    file.write_text("lid,lastActive\n1@lid,2024-10-27T02:30:00\n")
    zone = ZoneInfo("Europe/Berlin")  # put back at three: half past two comes twice, and the later one counts
    assert read_members(file, NOW, zone)[0].last_active_at == ms(2024, 10, 27, 1, 30)
