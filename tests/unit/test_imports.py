"""Chat exports: whose activity it is, what was observed, and that nothing is guessed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.clock import iso
from runner.groups.activity import ActivityRows, Watch
from runner.groups.imports import ChatSummary, ImportRefused, import_chat, import_members
from runner.groups.member import MemberEntry
from runner.groups.memberlist import ListError, to_ms
from runner.groups.unmatched import MatchRows, UnmatchedRows
from tests.unit.groupstore import DAY, NOW, WA_ID, GroupStore

PHONE, PN = "+33 1 23 45 67 89", "33123456789@s.whatsapp.net"


class Chat:
    """An export that is written line by line, and taken in as often as one likes."""

    def __init__(self, kept: GroupStore, folder: Path) -> None:
        self.kept = kept
        self.path = folder / "chat.txt"
        self.lines: list[str] = []
        self.says(NOW - 90 * DAY, "Messages are end-to-end encrypted.")

    def says(self, at: int, line: str) -> None:
        when = datetime.fromtimestamp(at / 1000, UTC).strftime("%d/%m/%Y, %H:%M")
        self.lines.append(f"{when} - {line}")

    def take_in(self, matches: str | None = None, exported_at: int | None = NOW, zone: str = "UTC") -> ChatSummary:
        self.path.write_text("\n".join(self.lines) + "\n")
        file = self.path.with_name("matches.csv")
        if matches is not None:
            file.write_text("author,member\n" + matches)
        return import_chat(
            self.kept.store,
            self.path,
            WA_ID,
            date_order="dmy",
            zone=ZoneInfo(zone),
            matches=None if matches is None else file,
            exported_at=exported_at,
        )

    def unmatched(self) -> list[str]:
        with self.kept.tx() as tx:
            return [author.name for author in UnmatchedRows(tx).list(self.kept.group)]

    def watch(self, now: int = NOW) -> Watch | None:
        with self.kept.tx() as tx:
            return ActivityRows(tx).watched_since(self.kept.group, now, 400 * DAY)


@pytest.fixture
def chat(kept: GroupStore, tmp_path: Path) -> Chat:
    return Chat(kept, tmp_path)


def minute(at: int) -> int:
    return at // 60_000 * 60_000


def test_a_number_is_its_member(chat: Chat) -> None:
    chat.kept.put(MemberEntry(lid="1@lid", pn=PN))
    chat.says(NOW - 50 * DAY, f"{PHONE}: first")
    chat.says(NOW - 40 * DAY, f"{PHONE}: last")
    summary = chat.take_in()
    assert (summary.messages, summary.authors, summary.matched, summary.unmatched) == (2, 1, 1, ())
    member = chat.kept.member("1@lid")
    assert member.first_active_at == minute(NOW - 50 * DAY)
    assert member.last_active_at == minute(NOW - 40 * DAY)


def test_a_number_that_may_be_anybodys_is_not_guessed(chat: Chat) -> None:
    """A member known by lid alone may have written it, and would else be silent."""
    chat.kept.put(MemberEntry(lid="1@lid"))
    chat.says(NOW - 5 * DAY, f"{PHONE}: hello")
    assert chat.take_in().left_unmatched == 1
    assert chat.unmatched() == [PHONE]
    assert [member.lid for member in chat.kept.members()] == ["1@lid"]
    chat.kept.put(MemberEntry(lid="1@lid", pn=PN))  # a list shows the pair
    assert chat.take_in().unmatched == ()
    assert chat.kept.member("1@lid").last_active_at == minute(NOW - 5 * DAY)


def test_without_a_list_numbers_are_members(chat: Chat) -> None:
    chat.says(NOW - 5 * DAY, f"{PHONE}: hello")
    chat.take_in()
    assert [member.pn for member in chat.kept.members()] == [PN]


def test_with_a_list_of_numbers_others_have_left_or_are_new(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("phone\n+331000000001\n")
    chat.kept.now = NOW - 20 * DAY
    import_members(chat.kept.store, tmp_path / "members.csv", WA_ID)
    chat.kept.now = NOW
    chat.says(NOW - 50 * DAY, f"{PHONE}: has left since")
    chat.says(NOW - 5 * DAY, "+33 1 11 11 11 11: has come since")
    chat.says(NOW - 5 * DAY, "+33 10 00 00 00 01: was always there")
    summary = chat.take_in()
    assert (summary.matched, summary.former, summary.left_unmatched) == (2, 1, 0)
    assert sorted(str(member.pn) for member in chat.kept.members()) == [
        "331000000001@s.whatsapp.net",
        "33111111111@s.whatsapp.net",
    ]


def test_a_name_is_nobodys_until_it_is_confirmed(chat: Chat) -> None:
    chat.kept.put(MemberEntry(lid="1@lid", name="Ana"))
    chat.says(NOW - 5 * DAY, "Ana: hello")
    summary = chat.take_in()
    assert [author.name for author in summary.unmatched] == ["Ana"]
    assert chat.kept.member("1@lid").last_active_at is None


@pytest.mark.parametrize("said", ["1@lid", "+33 123 456 789", PN, "Ana Lista"])
def test_a_confirmed_name_resolves_what_was_unmatched_and_is_kept(chat: Chat, said: str) -> None:
    chat.kept.put(MemberEntry(lid="1@lid", pn=PN, name="Ana Lista"))
    chat.says(NOW - 50 * DAY, "Ana: hello")
    chat.take_in()
    chat.lines = chat.lines[:1]
    assert chat.take_in(f"Ana,{said}\n").unmatched == ()
    assert chat.kept.member("1@lid").last_active_at == minute(NOW - 50 * DAY)
    chat.says(NOW - 5 * DAY, "Ana: again")
    assert chat.take_in().matched == 1
    assert chat.kept.member("1@lid").last_active_at == minute(NOW - 5 * DAY)


def test_a_name_may_be_confirmed_to_be_nobody(chat: Chat) -> None:
    chat.says(NOW - 5 * DAY, "Old neighbour: hello")
    summary = chat.take_in("Old neighbour,\n")
    assert (summary.no_member, summary.unmatched) == (1, ())
    with chat.kept.tx() as tx:
        assert MatchRows(tx).all(chat.kept.group) == {"Old neighbour": None}


@pytest.mark.parametrize(("answer", "theirs"), [("", None), ("2@lid", NOW - 40 * DAY)])
def test_a_corrected_answer_brings_back_all_that_was_heard(chat: Chat, answer: str, theirs: int | None) -> None:
    """Said to be nobody, or somebody else; the export that is taken in with the right answer has nothing of theirs."""
    for number in (1, 2):
        chat.kept.put(MemberEntry(lid=f"{number}@lid"))
    chat.says(NOW - 40 * DAY, "Ana: hello")
    assert chat.take_in(f"Ana,{answer}\n").unmatched == ()
    assert chat.unmatched() == []
    with chat.kept.tx() as tx:
        assert UnmatchedRows(tx).count(chat.kept.group) == 0
    chat.lines = chat.lines[:1]
    chat.take_in("Ana,1@lid\n")
    assert chat.kept.member("1@lid").last_active_at == minute(NOW - 40 * DAY)
    assert chat.kept.member("2@lid").last_active_at == (None if theirs is None else minute(theirs))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Ana,9@lid\n", "line 2, member: '9@lid' is nobody in this group"),
        ("Ana,Bo\n", "line 2, member: 'Bo' is nobody in this group"),
        ("x,1@lid\nAna,Twin\n", "line 3, member: 2 members are called 'Twin'; give the lid or the phone number"),
    ],
)
def test_a_match_with_nobody_changes_nothing(chat: Chat, line: str, said: str) -> None:
    chat.kept.put(MemberEntry(lid="1@lid", name="Twin"))
    chat.kept.put(MemberEntry(lid="2@lid", name="Twin"))
    chat.says(NOW - 5 * DAY, "Ana: hello")
    with pytest.raises(ListError) as raised:
        chat.take_in(line)
    assert said in str(raised.value)
    assert chat.unmatched() == []
    assert chat.watch() is None


def test_the_same_export_again_changes_nothing(chat: Chat) -> None:
    chat.kept.put(MemberEntry(lid="1@lid", pn=PN))
    for days, author in ((50, PHONE), (30, "Ana"), (20, "Bo"), (5, PHONE)):
        chat.says(NOW - days * DAY, f"{author}: hello")
    first, members, watch = chat.take_in("Bo,1@lid\n"), chat.kept.members(), chat.watch()
    assert chat.take_in() == first
    assert (chat.kept.members(), chat.watch()) == (members, watch)


def test_an_older_export_takes_nothing_back(chat: Chat) -> None:
    chat.kept.put(MemberEntry(lid="1@lid", pn=PN))
    chat.says(NOW - 80 * DAY, "Bo: hello")
    chat.says(NOW - 5 * DAY, f"{PHONE}: hello")
    chat.take_in()
    chat.lines = [chat.lines[0]]
    chat.says(NOW - 60 * DAY, f"{PHONE}: earlier")
    chat.take_in(exported_at=NOW - 59 * DAY)
    member = chat.kept.member("1@lid")
    assert (member.first_active_at, member.last_active_at) == (minute(NOW - 60 * DAY), minute(NOW - 5 * DAY))
    assert chat.watch() == Watch(minute(NOW - 80 * DAY), NOW)


def test_what_an_export_observes(chat: Chat) -> None:
    chat.says(NOW - 80 * DAY, "Bo: hello")
    chat.says(NOW - 5 * DAY, "Ana: hello")
    summary = chat.take_in(exported_at=NOW - 4 * DAY)
    assert (summary.observed_from, summary.observed_to) == (minute(NOW - 80 * DAY), NOW - 4 * DAY)
    assert chat.watch() == Watch(minute(NOW - 80 * DAY), NOW - 4 * DAY)


def test_where_messages_disappear_what_nobody_wrote_observes_nothing(chat: Chat) -> None:
    """Notices stay in the chat for ever, and the messages around them are gone."""
    chat.says(NOW - 80 * DAY, "Ana turned on disappearing messages. New messages will disappear after 7 days.")
    chat.take_in()
    assert chat.watch() is None
    chat.says(NOW - 6 * DAY, "Ana: hello")
    chat.take_in()
    assert chat.watch() == Watch(minute(NOW - 6 * DAY), NOW)


def test_an_export_in_which_nobody_wrote_ends_nothing_that_was_observed(chat: Chat) -> None:
    """Of a chat that was cleared, say; the one of yesterday reaches to now still."""
    chat.says(NOW - 80 * DAY, "Ana: hello")
    chat.take_in(exported_at=NOW - DAY // 2)
    before = chat.watch()
    assert before is not None
    chat.lines.pop()
    chat.take_in()
    assert chat.watch() == before


def test_who_was_nobody_and_writes_again_is_asked_for_again(chat: Chat) -> None:
    chat.says(NOW - 80 * DAY, "Ana: goodbye")
    chat.take_in("Ana,\n", exported_at=NOW - 70 * DAY)
    chat.take_in()
    assert chat.unmatched() == []
    chat.says(NOW - 2 * DAY, "Ana: here again")
    assert chat.take_in().left_unmatched == 1
    assert chat.unmatched() == ["Ana"]
    assert chat.take_in("Ana,\n").no_member == 1
    assert chat.take_in().no_member == 1
    assert chat.unmatched() == []


@pytest.mark.parametrize(
    ("exported_at", "until"),
    [
        (NOW + 60_000, NOW),  # never in the future
        (NOW - 60 * DAY, minute(NOW - 5 * DAY)),  # at least to its last line
    ],
)
def test_an_observation_ends_between_the_last_line_and_now(chat: Chat, exported_at: int, until: int) -> None:
    chat.says(NOW - 5 * DAY, "Ana: hello")
    assert chat.take_in(exported_at=exported_at).observed_to == until


def test_without_a_word_the_files_own_time_counts(chat: Chat) -> None:
    chat.says(NOW - 5 * DAY, "Ana: hello")
    chat.take_in()
    made = (NOW - 3 * DAY) / 1000
    os.utime(chat.path, (made, made))
    summary = import_chat(chat.kept.store, chat.path, WA_ID, date_order="dmy", zone=UTC)
    assert (summary.observed_to, summary.exported_at_given) == (NOW - 3 * DAY, False)


def test_a_chat_from_the_future_is_read_in_the_wrong_zone(chat: Chat) -> None:
    chat.says(NOW - DAY // 24, "Ana: hello")
    assert chat.take_in(zone="Asia/Tokyo").authors == 1
    with pytest.raises(ImportRefused, match="lies in the future"):
        chat.take_in(zone="America/Los_Angeles")


@pytest.mark.parametrize(
    ("wall", "latest", "earliest"),
    [
        ("2024-10-27T02:30", "2024-10-27T01:30", "2024-10-27T00:30"),  # comes twice
        ("2024-03-31T02:30", "2024-03-31T01:30", "2024-03-31T00:30"),  # never comes
        ("2024-07-01T12:00", "2024-07-01T10:00", "2024-07-01T10:00"),
        ("2024-01-01T12:00", "2024-01-01T11:00", "2024-01-01T11:00"),
    ],
)  # fmt: skip
def test_summer_time(wall: str, latest: str, earliest: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert iso(to_ms(datetime.fromisoformat(wall), zone, latest=True)) == f"{latest}:00.000Z"
    assert iso(to_ms(datetime.fromisoformat(wall), zone, latest=False)) == f"{earliest}:00.000Z"


def test_the_groups_own_voice_may_be_a_member_of_that_name(chat: Chat, tmp_path: Path) -> None:
    """On iPhones the group's name writes the notices; a member of that very name is taken to be active."""
    chat.kept.put(MemberEntry(lid="1@lid", name="Neighbours"))
    chat.lines = [
        "[01/05/2025, 10:00:00] Neighbours: \u200eMessages and calls are end-to-end encrypted. Only people in it.",
        "[02/05/2025, 10:00:00] Ana: hello",
    ]
    chat.take_in()
    assert chat.kept.member("1@lid").last_active_at == int(datetime(2025, 5, 1, 10, tzinfo=UTC).timestamp() * 1000)
