"""Chat exports of other phones, languages, calendars and editors: read right, or refused with what to do."""

# ruff: noqa: RUF001 - digits and letters of other scripts

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from runner.groups.export import DateOrder, ExportError, ExportReading, read_export
from runner.groups.export_words import fold, half_of

Reader = Callable[..., ExportReading]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Write a text to a file, as it is, and read it."""

    def write_and_read(text: str, order: DateOrder | None = None) -> ExportReading:
        path = tmp_path / "chat.txt"
        path.write_bytes(text.encode())
        return read_export(path, date_order=order)

    return write_and_read


def is_whole(read: Reader, text: str, messages: int) -> bool:
    """Whether all of its messages are read; else that is not done in silence."""
    try:
        return sum(counts(read(text, "dmy")).values()) == messages
    except ExportError as error:
        return "stand behind another end of line" in str(error)


def counts(reading: ExportReading) -> dict[str, int]:
    return {author.name: author.messages for author in reading.authors}


def last(reading: ExportReading, name: str) -> str:
    return next(author.last.isoformat() for author in reading.authors if author.name == name)


# -- line ends ---------------------------------------------------------------------------------------------------

THREE = ("20/1/25, 9:05 - Ana: hello", "21/1/25, 9:05 - Bo: hi", "22/1/25, 9:05 - Cy: bye")


@pytest.mark.parametrize(
    "end", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\n\n", "\r\r", "\u2028\n"], ids=ascii
)
@pytest.mark.parametrize("is_closed", [True, False])
def test_a_file_is_read_whichever_way_its_lines_end(read: Reader, end: str, is_closed: bool) -> None:
    reading = read(end.join(THREE) + (end if is_closed else ""))
    assert counts(reading) == {"Ana": 1, "Bo": 1, "Cy": 1}


@pytest.mark.parametrize("size", [8 * 1024, 16 * 1024 - 1, 16 * 1024, 40_000])
@pytest.mark.parametrize("end", ["\r\n", "\r", "\u2028"], ids=ascii)
def test_an_end_is_found_wherever_a_piece_of_the_file_ends(read: Reader, end: str, size: int) -> None:
    for shift in range(-30, 4):
        text = THREE[0] + "x" * (size + shift) + end + end.join(THREE[1:])
        assert counts(read(text)) == {"Ana": 1, "Bo": 1, "Cy": 1}


def test_a_line_that_was_cut_for_its_length_is_counted(read: Reader) -> None:
    reading = read("\n".join([THREE[0] + "x" * 9000, THREE[1], "y" * 100_000, THREE[2]]))
    assert (counts(reading), reading.cut_lines) == ({"Ana": 1, "Bo": 1, "Cy": 1}, 2)
    assert read("\n".join(THREE)).cut_lines == 0


def test_lines_are_numbered_as_an_editor_does(read: Reader) -> None:
    with pytest.raises(ExportError, match=r"^Line 3, "):
        read("20/1/25, 9:05 am - Ana: a\u2028b\nc\r\n20/1/25, 9:05 soir - Bo: b")
    with pytest.raises(ExportError, match=r"^Line 2, "):
        read("20/1/25, 9:05 am - Ana: a\u202820/1/25, 9:05 soir - Bo: b")


@pytest.mark.parametrize(
    "mark", ["\ufeff", "\0", "\0\0\x01", "\u202b", "\u2067\u200e", "\u061c", "\u200b", "\x7f"], ids=ascii
)
def test_what_is_not_seen_before_a_stamp_hides_no_message(read: Reader, mark: str) -> None:
    assert counts(read(f"{THREE[0]}\n{mark}{THREE[1]}\n{THREE[2]}")) == {"Ana": 1, "Bo": 1, "Cy": 1}


def test_a_part_that_is_lost_is_no_silence(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_bytes(THREE[0].encode() + b"\n" + b"\0" * 4096 + THREE[2].encode())
    with pytest.raises(ExportError, match=r"a part of it is lost .* export the chat again"):
        read_export(tmp_path / "chat.txt")


# -- lines that look like headers --------------------------------------------------------------------------------


def iphone(day: int, name: str, text: str = "hello", year: int = 25) -> str:
    return f"[{day}/1/{year}, 9:05:00] {name}: {text}"


@pytest.mark.parametrize("pasted", [iphone(1, "Zoe", year=27), iphone(1, "Zoe", year=24), iphone(20, "Zoe")])
@pytest.mark.parametrize("is_last", [False, True])
def test_behind_a_bare_lf_in_a_crlf_file_is_text(read: Reader, pasted: str, is_last: bool) -> None:
    lines = [iphone(13, "Ana"), iphone(20, "Ana", f"look\n{pasted}\nand"), *([] if is_last else [iphone(21, "Ana")])]
    reading = read("\r\n".join([*lines, ""]))
    assert counts(reading) == {"Ana": len(lines)}
    assert reading.last_line.year == 2025


def test_even_where_the_file_has_no_other_message(read: Reader) -> None:
    assert counts(read(f"{iphone(20, 'Ana')}\n{iphone(1, 'Zoe', year=27)}\r\n")) == {"Ana": 1}


def test_a_long_talk_that_was_pasted_is_text(read: Reader) -> None:
    talk = "\n".join(iphone(1 + n % 12, "Zoe", year=24) for n in range(40))
    reading = read("\r\n".join([iphone(13, "Ana"), iphone(20, "Ana", f"look\n{talk}"), iphone(21, "Bo"), ""]))
    assert counts(reading) == {"Ana": 2, "Bo": 1}


def test_whoever_may_have_spoken_there_is_not_silent_since_longer(read: Reader) -> None:
    """By its place it may be Bo's message, of a file that an editor has changed here."""
    lines = [
        iphone(13, "Bo"),
        *(iphone(day, "Ana") for day in range(14, 20)),
        f"{iphone(20, 'Ana')}\n{iphone(20, 'Bo')}",
    ]
    reading = read("\r\n".join([*lines, iphone(22, "Ana"), ""]))
    assert (counts(reading), last(reading, "Bo")) == ({"Ana": 8, "Bo": 1}, "2025-01-20T09:05:00")


MANY = [iphone(day, name) for day in range(13, 29) for name in ("Ana", "Bo", "Cy", "Dee")]


@pytest.mark.parametrize("half", [10, 32, 50, 60])
def test_two_exports_with_different_ends_in_one_file_are_refused_or_read(read: Reader, half: int) -> None:
    crlf, lf = "\r\n".join([*MANY[:half], ""]), "\n".join([*MANY[half:], ""])
    for text in (crlf + lf, lf + crlf):
        assert is_whole(read, text, len(MANY))


@pytest.mark.parametrize("every", [2, 3, 5, 9])
def test_ends_that_change_to_and_fro_hide_nobody(read: Reader, every: int) -> None:
    text = "".join(line + ("\n" if at % every else "\r\n") for at, line in enumerate(MANY))
    other = "".join(line + ("\r\n" if at % every else "\n") for at, line in enumerate(MANY))
    for mixed in (text, other):
        assert is_whole(read, mixed, len(MANY))


@pytest.mark.parametrize("size", [2, 5, 64])
def test_an_iphones_and_an_androids_export_in_one_file_are_refused(read: Reader, size: int) -> None:
    android = [f"{day}/1/25, 9:05 - Eve: hello" for day in range(13, 20)]
    with pytest.raises(ExportError, match=r"another form .* joined .* Give each by itself"):
        read("\n".join([*android, *MANY[:size]]))
    with pytest.raises(ExportError, match="another form"):
        read("\n".join([*MANY, *android]))
    with pytest.raises(ExportError, match="another form"):
        read("\n".join([*android, *MANY, *android]))


def test_whoever_stands_behind_later_lines_is_not_silent_since_longer(read: Reader) -> None:
    """A phone whose clock was a year late, or an older export behind a newer one."""
    reading = read("\n".join([*THREE, "22/1/24, 9:06 - Dee: hello", "23/1/25, 9:05 - Ana: a"]))
    assert (last(reading, "Dee"), reading.fallen_lines) == ("2025-01-22T09:05:00", 1)
    assert reading.closing == datetime(2025, 1, 23, 9, 5)  # noqa: DTZ001 - wall time


def test_a_first_message_far_before_the_rest_begins_nothing(read: Reader) -> None:
    """It was kept where all others disappear, or its phone had a wrong clock."""
    rest = [f"{day}/{month}/25, 9:05 - Ana: a" for month in (1, 2) for day in range(1, 29)]
    reading = read("\n".join(["1/1/24, 9:05 - Bo: kept", *rest]), "dmy")
    assert reading.opening == datetime(2025, 1, 1, 9, 5)  # noqa: DTZ001
    assert counts(reading)["Bo"] == 1


# -- words beside the time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "hour"),
    [
        ("2025. 01. 20. du. 1:52 - ", 13),
        ("2025. 01. 20. de. 1:52 - ", 1),
        ("2025. 01. 20. du. 12:52 - ", 12),
        ("2025. 01. 20. de. 12:52 - ", 0),
        ("20.01.2025 ÖS 1:52 - ", 13),
        ("20.01.2025 ÖÖ 1:52 - ", 1),
        ("20/01/2025, TK 1:52 - ", 13),
        ("20/01/2025, 1:52 TO - ", 1),
        ("2025-01-20 ප.ව. 1:52 - ", 13),
        ("2025-01-20 පෙ.ව. 1:52 - ", 1),
        ("20/1/25 ਬਾ.ਦੁ. 1:52 - ", 13),
        ("20/1/25, 1:52 ਪੂ.ਦੁ. - ", 1),
        ("20/1/25, 1:52 m.d. - ", 13),
        ("20/1/25, 1:52 CH - ", 13),
        ("20.1.25, odp. 1:52 - ", 13),
        ("20.1.25, pēcp. 1:52 - ", 13),
        ("[20.1.2025, e.m. 1:52:03] ", 13),
        ("20/1/25, 12:52 AM - ", 0),
        ("20/1/25, 0:52 PM - ", 12),
        ("20/1/25, 00:52 AM - ", 0),
    ],
)
def test_a_half_of_the_day_is_read_in_its_language(read: Reader, stamp: str, hour: int) -> None:
    (author,) = read(f"{stamp}Ana: hello").authors
    assert (author.name, author.last.hour, author.last.minute) == ("Ana", hour, 52)


@pytest.mark.parametrize("word", ["du", "Öğ", "xx", "नम", "ፅሐ", "ප", "qz.", "iltap"])
@pytest.mark.parametrize("shape", ["20/1/25 {} 1:52 - ", "[20/1/25, {} 1:52:03] ", "20/1/25, 1:52 {} - "])
def test_a_word_that_nobody_knows_is_no_at_where_hours_never_pass_twelve(read: Reader, word: str, shape: str) -> None:
    text = f"{shape.format(word)}Ana: hello\n{shape.format(word)}Bo: hello"
    if half_of(fold(word)) == 12:
        assert {author.last.hour for author in read(text).authors} == {13}
        return
    with pytest.raises(
        ExportError, match=r'^Line 1, .* unknown word ".*" .*Set the phone to 24 hours and export again'
    ):
        read(text)


def test_a_word_is_an_at_where_its_hours_pass_twelve(read: Reader) -> None:
    reading = read("20.1.25 xx 1:52 - Ana: hello\n20.1.25 xx 13:52 - Bo: hello")
    assert (last(reading, "Ana")[11:], last(reading, "Bo")[11:]) == ("01:52:00", "13:52:00")


def test_an_hour_past_twelve_without_the_word_proves_nothing(read: Reader) -> None:
    """It was pasted, and has none of the file's words."""
    with pytest.raises(ExportError, match='unknown word "xx"'):
        read("20.1.25 xx 1:52 - Ana: hello\n20.1.25, 13:52 - Bo: hello\n20.1.25 xx 2:52 - Ana: hello")


def test_a_known_at_needs_no_hour_past_twelve(read: Reader) -> None:
    assert last(read("[13.1.2022 klo 9.08.18] Ana: hei"), "Ana") == "2022-01-13T09:08:18"


# -- stamps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blank",
    [" ", "\u00a0", "\u202f", "\u2009", "\u200a", "\u2007", "\u2002", "\u3000", "\u205f", "\u1680", "\t"],
    ids=ascii,
)
def test_any_blank_may_stand_in_a_stamp(read: Reader, blank: str) -> None:
    for text in (
        f"20/1/25,{blank}9:05{blank}PM{blank}-{blank}山田\u3000太郎: a",
        f"[20/1/25{blank}9:05:07{blank}PM] 山田\u3000太郎: a",
    ):
        (author,) = read(text).authors
        assert (author.name, author.last.hour) == ("山田\u3000太郎", 21)


@pytest.mark.parametrize(
    ("stamp", "when"),
    [
        ("[2025-01-20\u202f14\u00a0h\u00a008\u00a0min\u00a018\u00a0s] ", "2025-01-20T14:08:18"),
        ("2025-01-20 14 h 08 - ", "2025-01-20T14:08:00"),
        ("2025-01-20 14 h 08 min - ", "2025-01-20T14:08:00"),
        ("20/01/2025 14h08 - ", "2025-01-20T14:08:00"),
        ("[2025/1/20 14時08分18秒] ", "2025-01-20T14:08:18"),
        ("2025. 1. 20. 오후 2시 08분 - ", "2025-01-20T14:08:00"),
        ("2025/1/20\u2009下午2:08 - ", "2025-01-20T14:08:00"),
        ("2025/1/20 (14:08) - ", "2025-01-20T14:08:00"),
        ("２０２５／１／２０ １４：０８ - ", "2025-01-20T14:08:00"),
        ("२०/१/२०२५, १४:०८ - ", "2025-01-20T14:08:00"),
        ("২০/১/২০২৫, ২:০৮ PM - ", "2025-01-20T14:08:00"),
        ("۲۰/۱/۲۰۲۵، ۱۴:۰۸ - ", "2025-01-20T14:08:00"),
        ("20/1/2025, 14:08 \u2014 ", "2025-01-20T14:08:00"),
    ],
)
def test_a_stamp_of_elsewhere_is_read(read: Reader, stamp: str, when: str) -> None:
    assert last(read(f"{stamp}Ana: hello"), "Ana") == when


@pytest.mark.parametrize(
    ("stamp", "calendar"),
    [
        ("1404/9/10, 9:05 - ", "the Persian"),
        ("[۱۴۰۴/۹/۱۰، ۹:۰۵:۰۱] ", "the Persian"),
        ("10/6/1447, 9:05 - ", "the Islamic"),
        ("٣٠\u200f/٦\u200f/١٤٤٧، ٩:٠٥ م - ", "the Islamic"),
        ("10/9/5786, 9:05 - ", "another"),
        ("10/9/1947, 9:05 - ", "another"),
    ],
)
def test_another_calendar_is_named(read: Reader, stamp: str, calendar: str) -> None:
    said = (
        rf"^Line 1, .* has a year of {calendar} calendar\. Set the calendar of the phone to Gregorian and export again"
    )
    for rest in ("", "\n20/1/25, 9:05 - Bo: pasted"):
        with pytest.raises(ExportError, match=said):
            read(f"{stamp}Ana: hello{rest}")


@pytest.mark.parametrize(
    "stamp", ["Jan 20, 2025, 9:05 AM - ", "[20 janv. 2025 à 09:05:07] ", "20 M01 2025, 9:05 - ", "114年1月20日 9:05 - "]
)
def test_messages_before_the_first_that_can_be_read_are_no_notes(read: Reader, stamp: str) -> None:
    """Whoever wrote them would be silent, if a line that was pasted into one of them made this a chat."""
    for rest in ("", "\n20/1/25, 9:05 - Bo: pasted"):
        with pytest.raises(ExportError, match=r"^Line 2, .* in no form known here\. Set the phone to English"):
            read(f"Saved by Ana\n{stamp}Ana: hello{rest}")


# -- files -------------------------------------------------------------------------------------------------------


def test_a_zip_in_a_zip_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("WhatsApp Chat.zip", b"PK")
    with pytest.raises(ExportError, match=r"holds no chat .*, but another zip \('WhatsApp Chat.zip'\)\. Unpack it"):
        read_export(tmp_path / "outer.zip")
