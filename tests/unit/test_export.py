"""Chat exports: the samples' truth, shapes of headers, open date orders, hostile files, round trips."""

import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.groups.export import (
    AuthorActivity,
    DateOrder,
    DateOrderOpen,
    ExportError,
    ExportReading,
    read_export,
)
from runner.groups.export_dates import dates_of

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "data" / "chat-exports"
TRUTH: dict[str, dict[str, Any]] = json.loads((SAMPLES / "expected.json").read_text(encoding="utf-8"))
LRM, NNBSP = "\u200e", "\u202f"
Reader = Callable[..., ExportReading]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Write the lines to a file and read it."""

    def write_and_read(*lines: str, order: DateOrder | None = None, end: str = "\n") -> ExportReading:
        path = tmp_path / "chat.txt"
        path.write_bytes(end.join([*lines, ""]).encode())
        return read_export(path, date_order=order)

    return write_and_read


def at(written: str) -> datetime:
    return datetime.fromisoformat(written)


def counts(reading: ExportReading) -> dict[str, int]:
    return {author.name: author.messages for author in reading.authors}


def last(reading: ExportReading) -> dict[str, str]:
    return {author.name: author.last.isoformat() for author in reading.authors}


# --- the samples ---


def attempt(path: Path) -> ExportReading | ExportError:
    try:
        return read_export(path)
    except ExportError as error:
        return error


def truth_of(path: Path) -> tuple[DateOrder | None, dict[str, Any]]:
    """(the order that had to be asked for, if any, the truth); every other offered order must be wrong."""
    truth, question = TRUTH[path.stem], attempt(path)
    if not isinstance(question, DateOrderOpen):
        return None, truth
    right = [order for order in question.orders if last(read_export(path, date_order=order)) == truth["last"]]
    assert len(right) == 1
    return right[0], truth


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("own-*")), ids=lambda path: path.name)
def test_a_sample_reads_as_its_truth(path: Path) -> None:
    order, truth = truth_of(path)
    reading = read_export(path, date_order=order)
    assert counts(reading) == truth["authors"]
    assert last(reading) == truth["last"]
    assert reading.first_message == at(truth["first"])
    assert (reading.messages, reading.system, reading.unread_lines) == (truth["messages"], truth["system"], 0)


def test_only_the_sample_without_a_day_past_the_twelfth_is_asked_for() -> None:
    asked = {path.stem for path in SAMPLES.glob("own-*") if truth_of(path)[0]}
    assert asked == {"own-android-ptbr-group"}


def test_a_zip_reads_as_its_text() -> None:
    name = "own-ios-en-group-12h-nnbsp"
    assert read_export(SAMPLES / f"{name}.zip") == read_export(SAMPLES / f"{name}.txt")


@pytest.mark.parametrize(("messages", "status", "row"), [(2, 0, "1 of 1 right"), (3, 1, "DIFF  own-ios-fi.txt")])
def test_check_exports_compares_a_folder(tmp_path: Path, messages: int, status: int, row: str) -> None:
    truth = {"own-ios-fi": TRUTH["own-ios-fi"] | {"messages": messages}}
    (tmp_path / "own-ios-fi.txt").write_bytes((SAMPLES / "own-ios-fi.txt").read_bytes())
    (tmp_path / "expected.json").write_text(json.dumps(truth), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_exports", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (status, "")
    assert row in run.stdout


# --- shapes of headers ---


def arabic_digits(text: str) -> str:
    return text.translate({ord(str(digit)): chr(0x660 + digit) for digit in range(10)})


@pytest.mark.parametrize(
    ("stamp", "when"),
    [
        ("[1/20/19 11:23] ", "2019-01-20 11:23"),
        ("[13.3.2022 klo 14.08.18] ", "2022-03-13 14:08:18"),
        ("20/01/19, 11:23 - ", "2019-01-20 11:23"),
        ("01/20/2020, 00:08 a. m. - ", "2020-01-20 00:08"),
        ("01/20/2020, 12:08 p.\u202fm. - ", "2020-01-20 12:08"),
        ("20/1/20, 12:08 a.m. - ", "2020-01-20 00:08"),
        ("20/1/20 23:59 PM - ", "2020-01-20 23:59"),
        ("20.1.20, 9.05 - ", "2020-01-20 09:05"),
        ("2025/2/10 上午9:05 - ", "2025-02-10 09:05"),
        ("2025/2/10 下午12:05 - ", "2025-02-10 12:05"),
        ("2025. 2. 10. 오후 3:07 - ", "2025-02-10 15:07"),
        ("[2025-02-10, 9:05:01 p.m.] ", "2025-02-10 21:05:01"),
        ("20/1/2568 14:08 - ", "2025-01-20 14:08"),
        ("20/1/68 14:08 - ", "2025-01-20 14:08"),
        ("R7/2/10 14:08 - ", "2025-02-10 14:08"),
        ("[H31/4/30 14:08:01] ", "2019-04-30 14:08:01"),
        ("09:05, 20/1/2025 - ", "2025-01-20 09:05"),
        ("[9:05:07 PM, 1/20/2025] ", "2025-01-20 21:05:07"),
        (arabic_digits("20\u200f/1\u200f/2025، 9:05 م - "), "2025-01-20 21:05"),
        ("20.01.25 \u0433., 9:05 ч. - ", "2025-01-20 09:05"),
        ("24/1/25, 24:05 - ", "2025-01-24 00:05"),
        ("20/1/25, 9:05 \u2013 ", "2025-01-20 09:05"),
    ],
)
def test_a_stamp_is_read(read: Reader, stamp: str, when: str) -> None:
    reading = read(f"{stamp}Ana Lima: hello")
    expected = at(when)
    assert reading.authors == (AuthorActivity("Ana Lima", 1, expected, expected),)


@pytest.mark.parametrize(
    "line",
    [
        "45/67/89, 10:00 - Bo: no such day",
        "30/02/2025, 10:00 - Bo: no such day",
        "20/1/25, 10:61 - Bo: no such minute",
        "20/1/25, 25:00 - Bo: no such hour",
        "20/1/1403, 10:00 - Bo: another calendar",
        "20/1/125, 10:00 - Bo: no year",
        "20/1-25, 10:00 - Bo: mixed",
        "[20/1/25, 10:00:00] Bo: the other form",
        "[10:00, 20/1/2025] Bo: copied from a browser",
        "20/1/25, 10:00 meeting - Bo: at the school",
        "> 20/1/25, 10:00 - Bo: quoted",
        "20/1/25 - Bo: no time",
        "Bo: no stamp",
        "",
    ],
)
def test_a_line_that_is_no_header_continues_the_message(read: Reader, line: str) -> None:
    reading = read("20/1/25, 9:05 - Ana: hello", line, "21/1/25, 9:05 - Ana: bye")
    assert counts(reading) == {"Ana": 2}
    assert (reading.messages, reading.system) == (2, 0)


def test_a_dash_line_inside_a_bracket_file_is_text(read: Reader) -> None:
    reading = read("[20/1/25, 9:05:00] Ana: hello", "21/1/25, 10:00 - Bo: pasted", end="\r\n")
    assert counts(reading) == {"Ana": 1}


def test_marks_in_the_middle_of_a_file_are_stripped(read: Reader) -> None:
    reading = read("20/1/25, 9:05 - Ana: a", "\ufeff21/1/25, 9:05 - \u202a+1\u00a0(555)\u00a0010\u202c: b")
    assert counts(reading) == {"Ana": 1, "+1 (555) 010": 1}


def test_lines_before_the_first_header_are_counted(read: Reader) -> None:
    assert read("Saved by Ana", "", "20/1/25, 9:05 - Ana: a").unread_lines == 2


def test_an_unknown_word_beside_the_time_is_never_skipped_in_a_12_hour_file(read: Reader) -> None:
    with pytest.raises(ExportError, match=r'Line 2, .* unknown word "soir"'):
        read("20/1/25, 9:05 am - Ana: a", "20/1/25, 9:05 soir - Bo: b")
    with pytest.raises(ExportError, match=r"Line 1, .*24 hours"):
        read("20/1/25, 9:05 soir - Bo: b")


# --- authors ---


@pytest.mark.parametrize(
    ("rest", "author"),
    [
        ("Ana: hello", "Ana"),
        ("Ana: ", "Ana"),
        ("Ana:", "Ana"),
        ("Ana: see: this", "Ana"),
        ('Ana: she said "see: this"', "Ana"),
        ("Dr:Bo: hello", "Dr:Bo"),
        ("~\u202fBo: hello", "~ Bo"),
        ('Juan "El Loco" Paz: hello', 'Juan "El Loco" Paz'),
        ('Tom 5\'11": he said "yes"', "Tom 5'11\""),
        ("🤓: hello", "🤓"),
        ("Ana left", None),
        (": nobody", None),
        ("Meeting at 10:30 - be there", None),
        ('Ana created group "Team: alpha"', None),
        ('Ana changed the subject from "Team: alpha" to "Team: beta"', None),
        ("小明建立了群組「Team: alpha」", None),
        ("Ana hat die Gruppe „Team: alpha“ erstellt", None),
        ("x" * 600 + ": hello", None),
        ("", None),
    ],
)
def test_who_wrote_a_line(read: Reader, rest: str, author: str | None) -> None:
    reading = read(f"20/1/25, 9:05 - {rest}")
    assert counts(reading) == ({author: 1} if author else {})
    assert reading.system == (author is None)


def test_a_quoted_name_that_also_speaks_is_a_person(read: Reader) -> None:
    reading = read('20/1/25, 9:05 - Bo "x: hi', '21/1/25, 9:05 - Bo "x: he said "y"')
    assert counts(reading) == {'Bo "x': 2}
    assert last(reading) == {'Bo "x': "2025-01-21T09:05:00"}


def test_first_and_last_are_the_earliest_and_latest_times(read: Reader) -> None:
    reading = read("20/1/25, 9:05 - Ana: a", "20/1/25, 9:02 - Ana: late", "21/1/25, 7:00 - Bo left")
    assert reading.authors[0].first == reading.first_message == at("2025-01-20 09:02")
    assert reading.authors[0].last == reading.last_message == at("2025-01-20 09:05")
    assert reading.last_line == at("2025-01-21 07:00")


def test_a_file_of_system_lines_has_no_message(read: Reader) -> None:
    reading = read("20/1/25, 9:05 - Ana added you")
    assert (reading.authors, reading.first_message, reading.last_message) == ((), None, None)
    assert reading.first_line == at("2025-01-20 09:05")


NOTICE = f"{LRM}Messages and calls are end-to-end encrypted."


@pytest.mark.parametrize("group", ["Neighbours", "Team: alpha", 'The "a: b" club', "\u202a+1\u00a0555\u202c"])
def test_the_group_itself_is_no_author(read: Reader, group: str) -> None:
    reading = read(
        f"[20/1/25, 9:05:00] {group}: {NOTICE}",
        "[20/1/25, 9:06:00] Dee: \u200ePOLL:",
        f"[20/1/25, 9:07:00] {group}: {LRM}Bo left",
    )
    assert counts(reading) == {"Dee": 1}
    assert reading.system == 2
    assert reading.group is not None
    assert reading.group.messages == 2


@pytest.mark.parametrize(
    "text",
    [
        f"{LRM}image omitted",
        f"{LRM}<attached: 00000001-PHOTO-2025-01-20-09-05-00.jpg>",
        f"{LRM}Location: https://maps.example/?q=-23.55,-46.63",
        f"A very long name of a report.pdf • {LRM}12 pages {LRM}document omitted",
        f"{LRM}A very long name of a report.pdf • {LRM}12 pages",
        "a greeting that is typed and long enough",
    ],
)
def test_the_first_author_is_kept_if_the_line_may_be_a_persons(read: Reader, text: str) -> None:
    assert counts(read(f"[20/1/25, 9:05:00] Dee: {text}")) == {"Dee": 1}


def test_a_group_that_types_was_a_person_all_along(read: Reader) -> None:
    reading = read(f"[20/1/25, 9:05:00] Ana: {NOTICE}", "[21/1/25, 9:05:00] Ana: hello")
    assert counts(reading) == {"Ana": 2}
    assert (reading.group, reading.system) == (None, 0)


def test_on_android_nobody_is_left_out(read: Reader) -> None:
    assert counts(read(f"20/1/25, 9:05 - Dee: {NOTICE}")) == {"Dee": 1}


# --- date orders ---


def line(date: str, form: Literal["bracket", "dash"] = "dash") -> str:
    return f"[{date}, 9:05:00] Ana: a" if form == "bracket" else f"{date}, 9:05 - Ana: a"


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["13/01/25"], "dmy"),
        (["01/13/25"], "mdy"),
        (["2025/01/02"], "ymd"),
        (["12/01/25", "01/02/25"], "dmy"),
        (["01/12/25", "02/01/25"], "mdy"),
        (["11/01/25", "01/02/25", "11/02/25", "01/03/25", "11/03/25"], "dmy"),
        (["31/12/25", "01/01/26"], "dmy"),
        (["25/02/10", "25/02/11", "25/03/01"], "ymd"),
    ],
)
def test_the_file_decides_the_order(read: Reader, dates: list[str], order: DateOrder) -> None:
    assert read(*map(line, dates)).date_order == order


@pytest.mark.parametrize(
    ("dates", "orders"),
    [
        (["02/01/25"], ("dmy", "mdy")),
        (["01/02/25", "02/02/25", "12/02/25"], ("dmy", "mdy")),
        # One fall made good again may be a pasted old line, so it proves nothing.
        (["06/02/25", "07/01/25", "08/02/25"], ("dmy", "mdy")),
        # Four messages in four days of 2025, or one a year from 2010 on: only a person knows.
        (["25/02/10", "25/02/11", "25/02/12"], ("dmy", "ymd")),
    ],
)
def test_an_open_order_is_asked(read: Reader, dates: list[str], orders: tuple[DateOrder, ...]) -> None:
    with pytest.raises(DateOrderOpen, match=r'Line 1, "\S+, 9:05", could be .*--date-order') as caught:
        read(*map(line, dates))
    assert caught.value.orders == orders
    assert caught.value.line == 1
    assert [read(*map(line, dates), order=order).date_order for order in orders] == list(orders)


def test_the_example_shows_what_each_order_would_make_of_it(read: Reader) -> None:
    with pytest.raises(DateOrderOpen) as caught:
        read("01/01/2025 9:05 - Ana: private", "02/01/2025 9:06 - Ana: private")
    assert caught.value.example == "02/01/2025 9:06"
    assert "2025-01-02 (dmy) or 2025-02-01 (mdy)" in str(caught.value)
    assert "private" not in str(caught.value)


def test_an_order_that_changes_nothing_is_not_asked(read: Reader) -> None:
    assert read(line("01/01/25"), line("02/02/25")).authors[0].last == at("2025-02-02 09:05")


@pytest.mark.parametrize(
    ("dates", "order", "number"),
    [
        (["12/01/25", "13/01/25"], "mdy", 2),
        (["2025/01/02"], "dmy", 1),
        (["12/01/25", "01/02/25"], "mdy", 2),
    ],
)
def test_an_asked_order_must_fit(read: Reader, dates: list[str], order: DateOrder, number: int) -> None:
    with pytest.raises(ExportError, match=rf"^Line {number}\b.*--date-order"):
        read(*map(line, dates), order=order)


def test_an_asked_order_stands_if_time_runs_back_in_every_order(read: Reader) -> None:
    dates = [line("03/04/25"), line("02/03/25")]
    assert read(*dates, order="mdy").date_order == "mdy"
    with pytest.raises(DateOrderOpen):
        read(*dates)


def test_a_date_in_no_order_left_is_refused(read: Reader) -> None:
    with pytest.raises(ExportError, match=r'^Line 2, "01/13/25, 9:05", is no date in the order .*dmy'):
        read(line("13/01/25"), line("01/13/25"))


def test_a_wrong_clock_does_not_hide_a_certain_order(read: Reader) -> None:
    reading = read(line("2025/01/20"), line("2021/01/01"), line("2025/01/21"))
    assert reading.first_line == at("2021-01-01 09:05")


@pytest.mark.parametrize("parts", [("1", "2", "3"), ("1403", "1", "2"), ("2025", "1", "2025"), ("1", "1", "08")])
def test_what_is_no_date_in_any_order(parts: tuple[str, str, str]) -> None:
    assert dates_of(parts) == {}


# --- files that are not what they should be ---


CHAT = b"20/1/25, 9:05 - Ana: hello\n21/1/25, 9:05 - Bo: bye\n"


def packed(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "entries",
    [
        {"_chat.txt": CHAT},
        {"deep/er/Chat with Ana.TXT": CHAT, "photo.jpg": b"1"},
        {"_chat.txt": CHAT, "__MACOSX/._chat.txt": b"\0", ".hidden.txt": b"x", "a/.b/c.txt": b"y"},
        {"_chat.txt": CHAT, "00000001-notes.txt": b"milk, eggs\n", "empty.txt": b""},
    ],
)
def test_the_one_chat_of_a_zip_is_found(tmp_path: Path, entries: dict[str, bytes]) -> None:
    (tmp_path / "chat.txt").write_bytes(CHAT)
    expected = read_export(tmp_path / "chat.txt")
    assert read_export(packed(tmp_path / "a.zip", entries)) == expected
    assert read_export(packed(tmp_path / "zip-by-another-name", entries)) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "chat.txt", "zip-by-another-name"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"photo.jpg": b"1"}, "holds no chat"),
        ({}, "holds no chat"),
        ({"a.txt": CHAT, "b.txt": CHAT}, "holds 2 chats"),
        ({"a.txt": b"milk", "b.txt": b"eggs"}, "holds no chat"),
        ({"../a.txt": CHAT}, "forged path"),
        ({"/etc/a.txt": CHAT}, "forged path"),
        ({"C:/a.txt": CHAT}, "forged path"),
        ({"..\\a.txt": CHAT}, "forged path"),
        ({"_chat.txt": CHAT, "../../photo.jpg": b"1"}, "forged path"),
        ({"_chat.txt": b"milk, eggs\n"}, "not a WhatsApp chat export"),
        ({"_chat.txt": CHAT + b"\xff"}, "not UTF-8"),
    ],
)
def test_a_zip_that_is_not_one_chat_is_refused(tmp_path: Path, entries: dict[str, bytes], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        read_export(packed(tmp_path / "a.zip", entries))


def test_a_zip_packed_in_another_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Unpack it"):
        read_export(packed(tmp_path / "a.zip", {"_chat.txt": CHAT}, zipfile.ZIP_LZMA))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"_chat.txt": CHAT})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flags of the entry in the directory
    path.write_bytes(data)
    with pytest.raises(ExportError, match="encrypted"):
        read_export(path)


def test_a_zip_bomb_is_refused_by_what_it_declares_and_by_what_comes_out(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"_chat.txt": CHAT + b"x" * 3_000_000})
    with pytest.raises(ExportError, match=r"bigger than 1,000,000 bytes"):
        read_export(path, max_bytes=1_000_000)
    data = bytearray(path.read_bytes())
    sizes = data.index(b"PK\x01\x02") + 24
    data[sizes : sizes + 4] = (100).to_bytes(4, "little")  # lies about the size
    path.write_bytes(data)
    with pytest.raises(ExportError, match="damaged"):
        read_export(path, max_bytes=1_000_000)


@pytest.mark.parametrize("text", [CHAT * 30_000, CHAT + b"x" * 2_000_000, b"x" * 2_000_000])
def test_a_text_that_is_too_big_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "chat.txt").write_bytes(text)
    with pytest.raises(ExportError, match=r"bigger than 1,000,000 bytes"):
        read_export(tmp_path / "chat.txt", max_bytes=1_000_000)


def test_exactly_the_allowed_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_bytes(CHAT)
    assert read_export(tmp_path / "chat.txt", max_bytes=len(CHAT)).messages == 2
    with pytest.raises(ExportError, match="bigger"):
        read_export(tmp_path / "chat.txt", max_bytes=len(CHAT) - 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a WhatsApp chat export"),
        (b"name,number\nAna,1\n", "not a WhatsApp chat export"),
        (b"\0" * 5000, "not a WhatsApp chat export"),
        (CHAT.decode().encode("utf-16"), "not UTF-8"),
        (CHAT + b"caf\xe9\n", "not UTF-8"),
        (CHAT + b"x" * 20_000 + b"\xe9\n", "not UTF-8"),
        (CHAT + b"x" * 20_000 + b"\xc3", "not UTF-8"),
        (b"PK\x03\x04 and nothing more", "damaged zip"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "chat.txt").write_bytes(content)
    with pytest.raises(ExportError, match=message):
        read_export(tmp_path / "chat.txt")


def test_a_text_called_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat.zip").write_bytes(CHAT)
    with pytest.raises(ExportError, match="damaged zip"):
        read_export(tmp_path / "chat.zip")


def test_a_damaged_zip_is_refused_wherever_it_is_cut_or_changed(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.zip", {"_chat.txt": CHAT * 20}).read_bytes()
    expected = read_export(tmp_path / "a.zip")
    path = tmp_path / "b.zip"
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            found = attempt(path)
            assert found == expected or (isinstance(found, ExportError) and "b.zip" in str(found))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ExportError, match="not a file"):
            read_export(tmp_path / name)
    with pytest.raises(ExportError, match=r"gone\.txt cannot be read: No such file"):
        read_export(tmp_path / "gone.txt")


def test_more_names_than_any_group_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.groups.export.MAX_NAMES", 10)
    path = tmp_path / "chat.txt"
    path.write_text("".join(f"20/1/25, 9:05 - Person {n}: hi\n" for n in range(10)), encoding="utf-8")
    assert read_export(path).messages == 10
    path.write_text("".join(f"20/1/25, 9:05 - Person {n}: hi\n" for n in range(11)), encoding="utf-8")
    with pytest.raises(ExportError, match="more than 10 different names"):
        read_export(path)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("chat.txt", "chat.zip"):
            path = Path(folder) / name
            path.write_bytes(CHAT + content if name == "chat.txt" else content)
            found = attempt(path)
            assert isinstance(found, ExportError) or found.messages >= 1


# --- round trips ---


class Message(NamedTuple):
    name: str
    text: str
    when: datetime


class Shape(NamedTuple):
    """One way to write a chat; `stamp` gives all in front of the name."""

    label: str
    order: DateOrder
    seconds: bool
    stamp: Callable[[datetime], str]
    end: str = "\n"


def twelve(when: datetime, am: str = "AM", pm: str = "PM", seconds: bool = False) -> str:
    rest = f"{when:%M:%S}" if seconds else f"{when:%M}"
    return f"{when.hour % 12 or 12}:{rest} {pm if when.hour >= 12 else am}"


def chinese(when: datetime) -> str:
    half = "下午" if when.hour >= 12 else "上午"
    return f"{when.year}/{when.month}/{when.day} {half}{when.hour % 12 or 12}:{when:%M} - "


def arabic(when: datetime) -> str:
    return arabic_digits(f"{when.day}\u200f/{when.month}\u200f/{when.year}، {twelve(when, 'ص', 'م')} - ")


SHAPES = [
    Shape(
        "iphone-us",
        "mdy",
        True,
        lambda w: f"{LRM}[{w.month}/{w.day}/{w:%y}, {twelve(w, seconds=True).replace(' ', NNBSP)}] ",
        "\r\n",
    ),
    Shape("iphone-de", "dmy", True, lambda w: f"[{w:%d.%m.%y}, {w:%H:%M:%S}] ", "\r\n"),
    Shape("iphone-fi", "dmy", True, lambda w: f"[{w.day}.{w.month}.{w.year} klo {w.hour}.{w:%M.%S}] "),
    Shape("android-gb", "dmy", False, lambda w: f"{w:%d/%m/%Y}, {w:%H:%M} - "),
    Shape("android-us", "mdy", False, lambda w: f"{w.month}/{w.day}/{w:%y}, {twelve(w)} - "),
    Shape("android-es", "dmy", False, lambda w: f"{w.day}/{w.month}/{w:%y}, {twelve(w, 'a. m.', 'p. m.')} - "),
    Shape("android-pm-24", "dmy", False, lambda w: f"{w:%d/%m/%y}, {w:%H:%M} {'PM' if w.hour > 11 else 'AM'} - "),
    Shape("android-iso", "ymd", False, lambda w: f"{w:%Y-%m-%d}, {twelve(w, 'a.m.', 'p.m.')} - "),
    Shape("android-zh", "ymd", False, chinese),
    Shape("android-ar", "dmy", False, arabic),
    Shape("android-th", "dmy", False, lambda w: f"{w.day}/{w.month}/{w.year + 543} {w:%H:%M} - "),
    Shape("android-ja-era", "ymd", False, lambda w: f"R{w.year - 2018}/{w.month}/{w.day} {w.hour}:{w:%M} - "),
    Shape("android-vi", "dmy", False, lambda w: f"{w:%H:%M}, {w:%d/%m/%Y} - "),
]

NAMES = (
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters=':"“„«「『'), max_size=30)
    .map(lambda name: name.replace("\u00a0", " ").replace("\u202f", " ").strip())
    .filter(bool)
)
LINES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=40),
    st.sampled_from(["", "see: this", '"a: b"', f"{LRM}<attached: a.jpg>", f"{LRM}This message was deleted."]),
)
# A line in the form of the file's own headers cannot be told from one, so further lines start with a word.
TEXTS = st.lists(LINES, min_size=1, max_size=3).map(lambda lines: "\nand ".join(lines))
MINUTES = st.integers(0, 5 * 366 * 24 * 60)


@st.composite
def chats(draw: st.DrawFn) -> list[Message]:
    people = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    minutes = sorted(draw(st.lists(MINUTES, min_size=1, max_size=12)))
    times = [at("2019-05-01") + timedelta(minutes=minute) for minute in minutes]
    return [Message(draw(st.sampled_from(people)), draw(TEXTS), when) for when in times]


def told(chat: list[Message]) -> tuple[AuthorActivity, ...]:
    """What a reader must find in a chat."""
    by_name: dict[str, list[datetime]] = {}
    for message in chat:
        by_name.setdefault(message.name, []).append(message.when)
    return tuple(AuthorActivity(name, len(w), min(w), max(w)) for name, w in sorted(by_name.items()))


def rendered(chat: list[Message], shape: Shape) -> bytes:
    lines = [f"{shape.stamp(message.when)}{message.name}: {message.text}" for message in chat]
    return shape.end.join([*lines, ""]).encode()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
@settings(deadline=None, max_examples=40)
@given(chat=chats(), zipped=st.booleans())
def test_what_is_written_is_read_back(shape: Shape, chat: list[Message], zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat"
        path.write_bytes(rendered(chat, shape))
        if zipped:
            path = packed(Path(folder) / "chat.zip", {"_chat.txt": path.read_bytes()})
        reading = read_export(path, date_order=shape.order)
        assert reading.authors == told(chat)
        assert (reading.messages, reading.system, reading.unread_lines) == (len(chat), 0, 0)
        assert (reading.first_line, reading.last_line) == (chat[0].when, chat[-1].when)
        unasked = attempt(path)
        if isinstance(unasked, DateOrderOpen):
            assert shape.order in unasked.orders
        else:
            assert isinstance(unasked, ExportReading)
            assert unasked.authors == reading.authors


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.order != "ymd"], ids=lambda shape: shape.label)
@settings(deadline=None, max_examples=40)
@given(chat=chats())
def test_days_up_to_the_twelfth_are_never_decided_wrongly(shape: Shape, chat: list[Message]) -> None:
    early = [message._replace(when=message.when.replace(day=1 + message.when.day % 12)) for message in chat]
    early.sort(key=lambda message: message.when)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.txt"
        path.write_bytes(rendered(early, shape))
        found = attempt(path)
        if isinstance(found, DateOrderOpen):
            assert shape.order in found.orders
        else:
            assert isinstance(found, ExportReading)
            assert found.authors == told(early)


# --- memory ---


def many_messages(size: int) -> Iterator[bytes]:
    day, written = at("2025-01-13"), 0
    while written < size:
        message = f"{day:%d/%m/%Y, %H:%M} - Person {written % 50}: {'word ' * 800}\nmore\n".encode()
        day += timedelta(minutes=1)
        written += len(message)
        yield message


def one_long_line(size: int) -> Iterator[bytes]:
    yield CHAT
    for _ in range(size // 100_000):
        yield "é".encode() * 50_000


def peak(path: Path) -> int:
    """The most memory in bytes that reading held at once."""
    tracemalloc.start()
    try:
        read_export(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("chat", [many_messages, one_long_line])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, chat: Callable[[int], Iterator[bytes]], zipped: bool
) -> None:
    peaks = []
    for size in (2_000_000, 40_000_000):
        path = tmp_path / f"{size}.txt"
        with path.open("wb") as file:
            file.writelines(chat(size))
        if zipped:
            with zipfile.ZipFile(tmp_path / f"{size}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(path, "_chat.txt")
            path = tmp_path / f"{size}.zip"
        read_export(path)  # fills the caches of regular expressions and codecs
        peaks.append(peak(path))
    assert peaks[1] <= peaks[0] * 1.1
    assert peaks[1] < 1_000_000
