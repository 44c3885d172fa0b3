"""Imports where a number or a name is written in two ways: matched only for certain, else shown and asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.groups.imports import ChatSummary, MembersSummary, import_chat, import_members
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.memberlist import ListError
from runner.groups.unmatched import UnmatchedRows
from tests.unit.groupstore import DAY, NOW, WA_ID, GroupStore

BRAZIL = ("5511987654321", "551187654321")
PAIRS = [BRAZIL, BRAZIL[::-1], ("525512345678", "5215512345678"), ("5491123456789", "541123456789")]


def pn(digits: str) -> str:
    return f"{digits}@s.whatsapp.net"


class Files:
    """A member list and a chat, as a test writes them."""

    def __init__(self, kept: GroupStore, folder: Path) -> None:
        self.kept, self.folder = kept, folder

    def members(self, *rows: str, country: str | None = None, header: str = "phone,name") -> MembersSummary:
        return self.members_bytes("\n".join([header, *rows]).encode(), country)

    def members_bytes(self, said: bytes, country: str | None = None) -> MembersSummary:
        path = self.folder / "members.csv"
        path.write_bytes(said)
        return import_members(self.kept.store, path, WA_ID, country=country)

    def chat(self, *authors: str, days: int = 5, matches: str | None = None, country: str | None = None) -> ChatSummary:
        path, answers = self.folder / "chat.txt", self.folder / "matches.csv"
        when = datetime.fromtimestamp((NOW - days * DAY) / 1000, UTC).strftime("%d/%m/%Y, %H:%M")
        path.write_text("\n".join(f"{when} - {author}: hello" for author in authors), encoding="utf-8")
        if matches is not None:
            answers.write_text("author,member\n" + matches, encoding="utf-8")
        return import_chat(
            self.kept.store,
            path,
            WA_ID,
            date_order="dmy",
            zone=UTC,
            matches=answers if matches is not None else None,
            exported_at=NOW,
            country=country,
            other_people=True,
        )

    def open_names(self) -> list[str]:
        with self.kept.tx() as tx:
            return [author.name for author in UnmatchedRows(tx).list(self.kept.group)]

    def active(self, known: str) -> bool:
        return self.kept.member(known).last_active_at is not None


@pytest.fixture
def files(kept: GroupStore, tmp_path: Path) -> Files:
    return Files(kept, tmp_path)


@pytest.mark.parametrize(("listed", "written"), PAIRS)
def test_an_author_who_may_be_a_member_is_shown_by_number(files: Files, listed: str, written: str) -> None:
    files.members(f"+{listed},Ana")
    summary = files.chat(f"+{written}")
    assert (summary.matched, summary.former, summary.left_unmatched) == (0, 0, 1)
    assert [author.name for author in summary.unmatched] == [f"+{written}"]
    assert not files.active(pn(listed))
    assert files.chat(f"+{written}", matches=f"+{written},+{listed}\n").unmatched == ()
    assert files.active(pn(listed))


def test_an_author_who_may_be_another_spelling_of_who_has_left_is_asked_for(files: Files) -> None:
    files.members(f"+{BRAZIL[0]},Ana", "+447700900101,Bo")
    with files.kept.tx() as tx:
        MemberRows(tx).leave(files.kept.group, [files.kept.member(pn(BRAZIL[0])).person_id], NOW)
    assert files.chat(f"+{BRAZIL[1]}").left_unmatched == 1


def test_an_author_who_has_left_and_may_be_back_by_another_spelling_is_asked_for(files: Files) -> None:
    files.members(f"+{BRAZIL[0]},Ana", f"+{BRAZIL[1]},Ana")
    with files.kept.tx() as tx:
        MemberRows(tx).leave(files.kept.group, [files.kept.member(pn(BRAZIL[0])).person_id], NOW)
    assert files.chat(f"+{BRAZIL[0]}").left_unmatched == 1


def test_those_taken_for_former_members_are_listed_by_name_and_number(files: Files) -> None:
    files.members("+447700900101,Ana", "+447700900102,Bo")
    with files.kept.tx() as tx:
        MemberRows(tx).leave(files.kept.group, [files.kept.member(pn("447700900102")).person_id], NOW)
    summary = files.chat("+44 7700 900101", "+44 7700 900102", "+44 7700 900103")
    assert [author.words for author in summary.former_people] == ["Bo (+447700900102)", "+44 7700 900103"]


def test_one_person_twice_on_a_list_is_told(files: Files) -> None:
    summary = files.members(f"+{BRAZIL[0]},Ana", f"+{BRAZIL[1]},Ana Lima", "+447700900101,Bo")
    assert summary.may_be_same == ((f"Ana (+{BRAZIL[0]})", f"Ana Lima (+{BRAZIL[1]})"),)
    assert summary.members == 3


FAULTS = {
    "a 0": ("0151 30000002", "line 3, phone: '0151 30000002' begins with 0: write it with its country code"),
    "a 0 behind the plus": ("+0151 30000002", "begins with 0"),
    "shortened": ("4.47E+11", "line 3, phone: '4.47E+11' is not a phone number: a spreadsheet has shortened it"),
    "a decimal": ("447700900103.0", "a spreadsheet has made a decimal of it"),
    "too short": ("123456", "it has 6 digits"),
    "too long": ("1234567890123456", "it has 16 digits"),
    "letters": ("+44 7700 9001o3", "it has more than digits in it"),
    "an extension": ("+44 7700 900103 x5", "it has more than digits in it"),
    "a lid": ("100000000000001@lid", "is a lid, and no phone number"),
    "the digits of a lid": ("100000000000001", "those of the country code 1 have 11"),
}


@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_what_may_be_somebody_elses_number_is_refused_with_its_row(files: Files, text: str, said: str) -> None:
    with pytest.raises(ListError) as raised:
        files.members("+447700900101,Ana", f"{text},Bo")
    assert said in str(raised.value)
    assert files.kept.members() == []


def test_numbers_of_a_country_are_read_with_its_code(files: Files) -> None:
    files.members("0151 30000002,Ana", "+44 7700 900101,Bo", "0049 151 30000003,Cleo", country="49")
    assert [member.pn for member in files.kept.members()] == [
        pn("4915130000002"),
        pn("447700900101"),
        pn("4915130000003"),
    ]
    answered = files.chat("Mum", matches="Mum,0151 30000002\n", country="49")
    assert (answered.matched, files.active(pn("4915130000002"))) == (1, True)


def test_what_spreadsheets_write_is_read(files: Files) -> None:
    rows = "\r\n".join(["phone;name", "'+447700900101;José", "٤٤٧٧٠٠٩٠٠١٠٢;Bo"])
    files.members_bytes(("sep=;\r\n" + rows).encode("utf-16"))
    files.members_bytes(("\ufeff" + rows.replace("900101", "900103")).encode())
    assert [(member.pn, member.name) for member in files.kept.members()] == [
        (pn("447700900101"), "José"),
        (pn("447700900102"), "Bo"),
        (pn("447700900103"), "José"),
    ]


ANSWERS = {
    "a 0": ("Mum,0151 30000002", "line 2, member: '0151 30000002' begins with 0"),
    "another spelling": (
        f"Mum,+{BRAZIL[1]}",
        f"line 2, member: '+{BRAZIL[1]}' is nobody in this group; it may be Ana (+{BRAZIL[0]}): give that number",
    ),
    "no author": (
        "Mumm,",
        "line 2, author: 'Mumm' has written nothing in this chat, nor in an earlier one: copy the name from there",
    ),
    "two answers": ("Mum,\nMum,Ana", "line 3, author: 'Mum' is in line 2 already"),
}


@pytest.mark.parametrize(("line", "said"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_cannot_be_right_is_a_fault(files: Files, line: str, said: str) -> None:
    files.members(f"+{BRAZIL[0]},Ana")
    with pytest.raises(ListError) as raised:
        files.chat("Mum", matches=line + "\n")
    assert said in str(raised.value)
    assert files.open_names() == []


def test_an_answer_for_an_author_of_an_earlier_export_is_none(files: Files) -> None:
    files.members("+447700900101,Ana")
    files.chat("Mum")
    assert files.chat("Dad", matches="Mum,Ana\n").matched == 0
    assert files.open_names() == ["Dad"]
    assert files.active(pn("447700900101"))


@pytest.mark.parametrize(
    ("author", "said", "name"),
    [("Jose\u0301", "José", "Jose\u0301 Lima"), ("Mum \u2764\ufe0f", "mum \u2764", "JOSÉ  LIMA")],
)
def test_an_answer_may_spell_names_otherwise(files: Files, author: str, said: str, name: str) -> None:
    files.kept.put(MemberEntry(lid="1@lid", name=name))
    assert files.chat(author, matches=f"{said},José Lima\n").matched == 1
    assert files.active("1@lid")


def test_a_line_is_of_the_longest_name_that_it_begins_with(files: Files) -> None:
    for number, name in enumerate(("Vecino: Ana", "Vecino: Bo", "Vecino: Bo: casa"), 1):
        files.kept.put(MemberEntry(lid=f"{number}@lid", name=name))
    summary = files.chat("Vecino: Ana", "Vecino: Bo", "Vecino: Bo: casa", "Vecino", "Vecino:\u00a0Bo")
    assert [(author.name, author.messages) for author in summary.unmatched] == [
        ("Vecino", 1),
        ("Vecino: Ana", 1),
        ("Vecino: Bo", 2),
        ("Vecino: Bo: casa", 1),
    ]


def test_contacts_with_a_colon_whom_nobody_knows_are_as_many_as_they_seem(files: Files) -> None:
    """An answer for what they have in common would make one of them look silent."""
    files.members("+447700900101,Ana", "+447700900102,Bo")
    written = ("Vecino: Ana", "Vecino: Bo", "Vecino: Ana")
    assert [author.name for author in files.chat(*written).unmatched] == ["Vecino: Ana", "Vecino: Bo"]
    with pytest.raises(ListError, match="'Vecino' has written nothing in this chat"):
        files.chat(*written, matches="Vecino,Ana\n")


@pytest.mark.parametrize(
    ("member", "written"),
    [("Zoe", ("Zoe: one", "Zoe: two")), ("Bo", ("Zoe: one", "Zoe: two", "Zoe")), ("Bo", ("Zoe: one", "Zoe: one"))],
    ids=["a member of that name", "a line of another kind", "always the same"],
)
def test_whoever_writes_colons_is_one(files: Files, member: str, written: tuple[str, ...]) -> None:
    files.members(f"+447700900101,{member}")
    assert [(one.name, one.messages) for one in files.chat(*written).unmatched] == [("Zoe", len(written))]


def test_a_contact_with_a_colon_is_known_by_an_answer(files: Files) -> None:
    files.members("+447700900101,Ana", "+447700900102,Bo")
    answers = "Vecino: Ana,Ana\nVecino: Bo,Bo\n"
    assert files.chat("Vecino: Ana", matches="Vecino: Ana,Ana\n").matched == 1
    assert files.chat("Vecino: Ana", "Vecino: Bo", matches=answers).matched == 2
    assert files.chat("Vecino: Ana", "Vecino: Bo").unmatched == ()
