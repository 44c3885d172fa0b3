"""``runner import``: where it went, whose chat it was, and what is asked rather than guessed."""

from __future__ import annotations

import os
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from runner.clock import Clock
from runner.errors import UnmatchedAuthors
from runner.groups.group import GroupRows
from runner.settings import Settings
from runner.stores.database import SqlStore
from web.import_summary import shown_database
from web.imports import imports
from web.lock import ServerLock

GROUP, ELSEWHERE = "120363000000000009@g.us", "120363000000000010@g.us"
WHEN = ("--exported-at", "2026-01-16", "--time-zone", "UTC", "--date-order", "dmy")
NO_SERVER = "Warning: no server with the home"


def phone(number: int) -> str:
    return f"+55 11 98765-{number:04d}"


class Terminal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "home" / "runner.db"

    def take_members(self, *numbers: int, name: str | None = None) -> Result:
        path = self.folder / "members.csv"
        path.write_text("\n".join(["phone,role", *(f"{phone(number)},admin" for number in numbers)]))
        taken = CliRunner().invoke(imports, ["members", str(path), "--group", GROUP])
        if name is not None:
            store = SqlStore(f"sqlite:///{self.database}", Clock(), pooled=False)
            with store.write() as tx:
                GroupRows(tx).change(GroupRows(tx).get(GROUP).id, name=name)
            store.close()
        return taken

    def take_chat(
        self, *authors: str, more: tuple[str, ...] = (), group: str = GROUP, file: str = "chat.txt", answers: str = ""
    ) -> Result:
        path = self.folder / file
        path.write_text("\n".join(f"{day}/01/2026, 09:00 - {name}: hello" for day, name in enumerate(authors, 1)))
        return CliRunner().invoke(imports, ["chat", str(path), "--group", group, *WHEN, *more], input=answers)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    return Terminal(tmp_path)


def test_where_it_went_is_said(terminal: Terminal) -> None:
    listed = terminal.take_members(1, name="Book club")
    assert f"Taken into the group {GROUP} of the database sqlite:///{terminal.database}\n" in listed.stdout
    said = terminal.take_chat(phone(1))
    assert f"Taken into the group Book club ({GROUP}) of the database sqlite:///{terminal.database}\n" in said.stdout
    assert "Is it the right file?" not in said.stdout


def test_how_many_polls_it_has_is_said_and_what_they_ask_for(terminal: Terminal) -> None:
    terminal.take_members(1)
    assert "seen, and who voted" not in terminal.take_chat(phone(1)).stdout
    polls = [f"{phone(1)}: POLL:\nWhen?\nOPTION: now (1 vote)\n{day}/01/2026, 10:00 - {phone(1)}" for day in (1, 2)]
    said = terminal.take_chat(*polls).stdout
    assert "2 polls were seen, and who voted is in no export: a removal by silence" in said
    assert "asks for --ignore-votes" in said


def test_that_no_server_runs_there_is_said(terminal: Terminal) -> None:
    assert f"{NO_SERVER} {terminal.folder / 'home'} runs" in terminal.take_members(1).stdout
    ServerLock(Settings()).take()
    assert NO_SERVER not in terminal.take_members(1).stdout
    assert NO_SERVER not in terminal.take_chat(phone(1)).stdout


def test_a_server_of_another_home_may_hold_this_database(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_DATABASE_URL", f"sqlite:///{terminal.folder / 'shared.db'}")
    assert NO_SERVER in terminal.take_members(1).stdout
    ServerLock(Settings(home=terminal.folder / "another")).take()
    assert NO_SERVER not in terminal.take_members(1).stdout


def test_a_look_at_the_lock_leaves_it_free(terminal: Terminal) -> None:
    terminal.take_members(1)
    (terminal.folder / "home" / "run").mkdir(exist_ok=True)
    (terminal.folder / "home" / "run" / "server.lock").touch()
    assert NO_SERVER in terminal.take_members(1).stdout
    ServerLock(Settings()).take()


def test_the_password_of_a_database_is_not_shown() -> None:
    settings = Settings(database_url="postgresql+psycopg://me:secret@db.example/runner")
    assert shown_database(settings) == "postgresql+psycopg://me:***@db.example/runner"


def test_a_group_that_is_not_known_is_refused_with_what_to_do(terminal: Terminal) -> None:
    terminal.take_members(1)
    refused = terminal.take_chat(phone(1), group=ELSEWHERE)
    assert refused.exit_code == 1
    assert f"'runner ingest {ELSEWHERE}'" in refused.stderr
    assert f"The database is sqlite:///{terminal.database}" in refused.stderr


def test_another_groups_chat_is_refused_unless_it_is_said_to_be_right(terminal: Terminal) -> None:
    terminal.take_members(1, 2, 3, 4, name="Book club")
    others = [phone(number) for number in range(100, 111)]
    file = "WhatsApp Chat with Beach.txt"
    refused = terminal.take_chat(phone(1), *others, file=file)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "of 12 people who wrote in its last 60 days" in refused.stderr
    assert f"it calls the chat 'Beach'; the group here is 'Book club' ({GROUP})" in refused.stderr
    taken = terminal.take_chat(phone(1), *others, file=file, more=("--other-people",))
    assert taken.exit_code == 0, taken.output
    assert "  1 is a member\n  11 are not in the group any more\n" in taken.stdout
    assert "Warning: in the file the chat is called Beach, here Book club. Is it the right file?" in taken.stdout


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, False), ("n", 1, True)])
def test_answers_that_say_it_is_another_groups_are_asked_about(
    terminal: Terminal, answer: str, code: int, left: bool
) -> None:
    terminal.take_members(1)
    said = terminal.take_chat("Ana", "Bo", more=("--match-names", "ask"), answers=f"0\n0\n{answer}\n")
    assert (said.exit_code, "chat of another group" in said.stderr) == (code, True), said.output
    assert ("2 are confirmed to be no members" in said.stdout) is not left
    assert ("2 could not be matched" in terminal.take_chat("Ana", "Bo", more=("--other-people",)).stdout) is left


def test_one_is_said_as_one(terminal: Terminal) -> None:
    terminal.take_members(1)
    said = terminal.take_chat("Ana")
    assert said.stdout.startswith("1 message of 1 author, dates read as dmy\n  1 could not be matched to a member\n")
    assert "Nobody is removed while this is open" in said.stdout
    assert "  Ana: 1 message, the last 2026-01-01" in said.stdout
    listed = terminal.take_members(1)
    assert listed.stdout.startswith("1 person on the list, 0 of them new; 1 in the group now\n")
    assert "1 author of chat exports is still matched to nobody" in listed.stdout


def test_a_number_is_asked_for_only_where_some_are_offered(terminal: Terminal) -> None:
    terminal.take_members(1)
    asked = terminal.take_chat("Zoe", more=("--match-names", "ask"), answers="\n")
    assert "For each name: a member's name, phone number or id; 0 for no member; Enter" in asked.stdout
    assert "Perhaps one of these" not in asked.stdout
    (terminal.folder / "members.csv").write_text(f"phone,name\n{phone(1)},Zoe Lima\n")
    CliRunner().invoke(imports, ["members", str(terminal.folder / "members.csv"), "--group", GROUP])
    offered = terminal.take_chat("Zoe", more=("--match-names", "ask"), answers="1\n")
    assert "Perhaps one of these; the number before the name will do:\n  1  Zoe Lima" in offered.stdout
    assert "  1 is a member\n" in offered.stdout


def test_those_taken_for_former_members_are_listed(terminal: Terminal) -> None:
    terminal.take_members(1, 2)
    said = terminal.take_chat(phone(1), phone(7)).stdout
    assert "Taken for people who are not in the group any more. Whoever still is goes on the member list" in said
    assert f"  {phone(7)}: 1 message, the last 2026-01-02" in said
    assert f"  {phone(1)}:" not in said


def test_who_may_be_on_a_list_twice_is_told(terminal: Terminal) -> None:
    (terminal.folder / "twice.csv").write_text("phone,name\n+55 11 98765-0001,Ana\n+55 11 8765-0001,Ana Lima\n")
    said = CliRunner().invoke(imports, ["members", str(terminal.folder / "twice.csv"), "--group", GROUP])
    pair = "Ana (+5511987650001) and Ana Lima (+551187650001)"
    assert f"Warning: {pair} may be one person, by two spellings of one number" in said.stdout


@pytest.mark.parametrize("code", ["49", "+49", "0049"])
def test_numbers_without_a_country_code_are_read_with_one(terminal: Terminal, code: str) -> None:
    path = terminal.folder / "within.csv"
    path.write_text("phone\n0151 30000002\n")
    refused = CliRunner().invoke(imports, ["members", str(path), "--group", GROUP])
    assert refused.exit_code == 1
    assert "line 2, phone: '0151 30000002' begins with 0" in refused.stderr
    assert "or say --country with that code" in refused.stderr
    taken = CliRunner().invoke(imports, ["members", str(path), "--group", GROUP, "--country", code])
    assert taken.exit_code == 0, taken.output
    assert "  1 is a member" in terminal.take_chat("+49 151 30000002").stdout


@pytest.mark.parametrize("code", ["DE", "0", "495", ""])
def test_what_is_no_country_code_is_wrong_usage(terminal: Terminal, code: str) -> None:
    path = terminal.folder / "within.csv"
    path.write_text("phone\n0151 30000002\n")
    said = CliRunner().invoke(imports, ["members", str(path), "--group", GROUP, "--country", code])
    assert said.exit_code == 2, said.output


def test_an_answer_that_may_be_somebody_is_asked_again(terminal: Terminal) -> None:
    terminal.take_members(1)
    said = terminal.take_chat(
        "Zoe", more=("--match-names", "ask", "--country", "55"), answers="+55 11 8765-0001\n011 98765-0001\n"
    )
    assert "Nobody in this group; it may be +5511987650001; again, or Enter to leave it open" in said.stdout
    assert "  1 is a member\n" in said.stdout


def test_whose_number_it_may_be_is_offered_first(terminal: Terminal) -> None:
    terminal.take_members(1)
    said = terminal.take_chat("+55 11 8765-0001", more=("--match-names", "ask"), answers="1\n")
    assert "  1  None (+5511987650001)" not in said.stdout
    assert "  1  +5511987650001\n" in said.stdout
    assert "  1 is a member\n" in said.stdout


def test_who_is_not_matched_is_named() -> None:
    assert str(UnmatchedAuthors(1, ["Ana"])) == (
        "1 author of imported messages is not matched to a member (Ana), so active people could be removed; answer "
        "with 'runner import chat --match-names ask', or start with ignoreUnmatched=true (in JSON: "
        '"ignoreUnmatched": true)'
    )
    many = str(UnmatchedAuthors(7, ["A", "B", "C", "D", "E" * 300, "F"]))
    assert many.startswith(f"7 authors of imported messages are not matched to members (A, B, C, D, {'E' * 60}, …), so")


# -- when it was made --------------------------------------------------------------------------------------------


def lively(terminal: Terminal, *, ended_days_ago: float, written_days_ago: float = 0, text: str = "hello") -> Path:
    """A chat of a month with a message every ten hours."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    last = now - timedelta(days=ended_days_ago)
    times = [last - timedelta(hours=10 * n) for n in range(72, -1, -1)]
    path = terminal.folder / "lively.txt"
    path.write_text("\n".join(f"{at:%Y-%m-%d, %H:%M} - {phone(1)}: {text}" for at in times))
    os.utime(path, ((now - timedelta(days=written_days_ago)).timestamp(),) * 2)
    return path


def take(path: Path, *more: str, answers: str = "") -> Result:
    told = ("--group", GROUP, "--time-zone", "UTC", "--date-order", "ymd", *more)
    return CliRunner().invoke(imports, ["chat", str(path), *told], input=answers)


def test_a_downloaded_export_is_asked_about(terminal: Terminal) -> None:
    terminal.take_members(1)
    asked = take(lively(terminal, ended_days_ago=10))
    assert (asked.exit_code, asked.stdout) == (2, "")
    assert "before the file's own time" in asked.stderr
    assert "Say when the export was made, by --exported-at" in asked.stderr
    made = f"{datetime.now(UTC) - timedelta(days=9):%Y-%m-%dT%H:%M}"
    answered = take(lively(terminal, ended_days_ago=10), "--exported-at", made)
    assert answered.exit_code == 0, answered.output
    assert f" to {made}:00.000Z" in answered.stdout
    assert "Warning: the export ends 9 days ago, and an export is good for 1 day (RUNNER_OBSERVATION_SLACK_HOURS)" in (
        answered.stdout
    )
    assert "Export the chat again, and import that" in answered.stdout


def test_an_export_of_three_days_ago_says_so(terminal: Terminal) -> None:
    terminal.take_members(1)
    taken = take(lively(terminal, ended_days_ago=3.1, written_days_ago=3))
    assert "Warning: the export ends 3 days ago" in taken.stdout
    assert "Warning: the export ends" not in take(lively(terminal, ended_days_ago=0.1)).stdout


def test_what_was_cut_or_is_out_of_order_is_said(terminal: Terminal) -> None:
    terminal.take_members(1)
    path = lively(terminal, ended_days_ago=0.1)
    path.write_text(f"{path.read_text()}\n{'x' * 10_000}\n2025-01-02, 10:00 - {phone(1)}: old")
    said = take(path, "--exported-at", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}").stdout
    assert "Warning: 1 line of more than 8,192 characters was cut there" in said
    assert "Warning: 1 message stands behind later ones: whoever wrote them counts as active" in said


# -- time zones --------------------------------------------------------------------------------------------------


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a time zone database."""
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=[])
    yield
    zoneinfo.reset_tzpath()


def test_without_a_time_zone_database_it_is_said_what_to_install(terminal: Terminal, no_zones: None) -> None:
    path = lively(terminal, ended_days_ago=0.1)
    refused = CliRunner().invoke(imports, ["chat", str(path), "--group", GROUP, "--time-zone", "Europe/Lisbon"])
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.replace("│", " ").split())
    assert "this machine has no time zone database. Install it ('pip install tzdata'" in said
    terminal.take_members(1)
    assert take(path).exit_code == 0  # UTC needs none


def test_a_machine_whose_own_zone_is_not_known_is_not_read_as_utc(
    terminal: Terminal, no_zones: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    refused = CliRunner().invoke(imports, ["chat", str(lively(terminal, ended_days_ago=0.1)), "--group", GROUP])
    assert refused.exit_code == 2
    assert "America/Sao_Paulo cannot be looked up" in " ".join(refused.stderr.replace("│", " ").split())


def test_a_name_of_no_zone_is_told_apart(terminal: Terminal) -> None:
    path = lively(terminal, ended_days_ago=0.1)
    refused = CliRunner().invoke(imports, ["chat", str(path), "--group", GROUP, "--time-zone", "Lisbon"])
    assert "Lisbon is no time zone, such as Europe/Lisbon" in " ".join(refused.stderr.replace("│", " ").split())
