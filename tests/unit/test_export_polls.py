"""A poll in an export is seen, in whatever language: who does nothing but vote must not look silent for it."""

# ruff: noqa: RUF001, DTZ001 - other scripts; wall times

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.errors import VotesUnseen
from runner.groups.export import DateOrder, ExportReading, read_export
from runner.groups.imports import import_chat
from runner.groups.member import MemberEntry
from tests.unit.removals import DAY, NOW, WA_ID, Bench

LRM = "\u200e"
Reader = Callable[..., ExportReading]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def write_and_read(*lines: str, order: DateOrder | None = "dmy", end: str = "\n") -> ExportReading:
        path = tmp_path / "chat.txt"
        path.write_bytes(end.join([*lines, ""]).encode())
        return read_export(path, date_order=order)

    return write_and_read


@pytest.mark.parametrize(
    "word",
    [
        *("POLL:", "ENCUESTA:", "ENQUETE:", "UMFRAGE:", "SONDAGE :", "SONDAGE\u00a0:", "SONDAGGIO:", "ОПРОС:", "סקר:"),
        *("Umfrage:", "PEILING:", "ANKIETA:", "ÄÄNESTYS:", "A\u0308A\u0308NESTYS:", "投票：", "استطلاع رأي:", "मतदान:"),
    ],
)
def test_the_first_line_alone_is_enough_where_its_word_is_known(read: Reader, word: str) -> None:
    android = read("20/1/25, 9:05 - Ana: a", f"21/1/25, 9:06 - Dee: {word}", "Shall we meet?", "22/1/25, 9:07 - Bo: b")
    assert (android.polls, android.polls_at) == (1, (datetime(2025, 1, 21, 9, 6),))
    iphone = read(
        f"[21/1/25, 9:06:00] Dee: {LRM}{word}", "Shall we meet?", f"[22/1/25, 9:07:00] Bo: {LRM}{word} Lunch?"
    )
    assert iphone.polls == 2


@pytest.mark.parametrize(
    "options",
    [
        ("OPTION: yes (3 votes)", "OPTION: no (1 vote)"),
        (f"{LRM}OPTION: yes (3 votes)", f"{LRM}OPTION: no (1 vote){LRM}"),
        ("VAIHTOEHTO: kyllä (0 ääntä)", "VAIHTOEHTO: ei: koskaan (12 ääntä)"),
        ("OPTION : oui (3\u00a0votes)", "OPTION : non (votes : 2)"),
        ("選択肢：はい（3票）", "選択肢：いいえ（0票）"),
        ("خيار: نعم (٣ أصوات)", "خيار: لا (٠ أصوات)"),
        ("ZZZ: a (1 z)", "ZZZ: b (2 z) <zzz zz>"),
    ],
)
@pytest.mark.parametrize("first", ["20/1/25, 9:05 - Dee: XYZZY:", f"[20/1/25, 9:05:00] Dee: {LRM}XYZZY:"])
def test_in_a_language_that_is_not_known_it_is_seen_by_its_options(
    read: Reader, first: str, options: tuple[str, str]
) -> None:
    assert read(first, "Shall we meet?", *options).polls == 1


def test_options_behind_a_bare_lf_in_a_crlf_file_are_its_own(read: Reader) -> None:
    poll = f"[21/1/25, 9:06:00] Dee: {LRM}XYZZY:\nWhen?\n{LRM}ZZ: a (1 z)\n{LRM}ZZ: b (0 z)\n"
    lines = [f"[{day}/1/25, 9:06:00] Ana: a" for day in (18, 19, 20)]
    assert read(*lines, poll, "[22/1/25, 9:06:00] Ana: a", end="\r\n").polls_at == (datetime(2025, 1, 21, 9, 6),)


@pytest.mark.parametrize(
    "text",
    [
        ("the poll: closed",),
        ("who voted in the poll?",),
        ("https://example.org/poll: (2)",),
        ("dinner", "Price: low (5)"),
        ("dinner", "Adults: low (5)", "Children: low (3)"),
        ("dinner", "(1)", "(2)"),
    ],
)
def test_ordinary_talk_is_no_poll(read: Reader, text: tuple[str, ...]) -> None:
    assert read(f"20/1/25, 9:05 - Ana Poll: {text[0]}", *text[1:]).polls == 0
    assert read(f"20/1/25, 9:05 - Poll: {text[0]}", *text[1:]).polls == 0


def test_a_poll_behind_later_lines_was_there_as_late_as_these(read: Reader) -> None:
    reading = read("20/3/25, 9:05 - Ana: a", "1/1/25, 9:05 - Dee: POLL:", "21/3/25, 9:05 - Ana: b")
    assert reading.polls_at == (datetime(2025, 3, 20, 9, 5),)


def test_of_one_day_the_last_is_kept_and_of_all_days_a_thousand(read: Reader) -> None:
    begin = datetime(2010, 1, 1, 9, 0)
    stamps = [begin + timedelta(days=number // 2, hours=number % 2) for number in range(2400)]
    reading = read(*(f"{stamp:%d/%m/%Y, %H:%M} - Dee: POLL:" for stamp in stamps))
    assert (reading.polls, len(reading.polls_at), reading.polls_at[-1]) == (2400, 1000, stamps[-1])


def test_where_the_order_of_dates_stays_open_it_may_have_been_at_either(read: Reader) -> None:
    """No question is asked for it: it only makes a removal ask for its flag."""
    lines = ("1/1/25, 9:05 - Ana: a", "2/3/25, 9:05 - Ana: POLL:", "4/4/25, 9:05 - Ana: a")
    assert read(*lines, order=None).polls_at == (datetime(2025, 2, 3, 9, 5), datetime(2025, 3, 2, 9, 5))


# --- what follows from it ---


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.members(*(MemberEntry(pn=f"44770090009{one}@s.whatsapp.net") for one in (1, 2)))
    made.silent(2)
    yield made
    made.close()


def take(bench: Bench, poll_days_ago: int | None) -> int:
    """An export of 200 days in which two people speak all the time, and one poll."""
    lines = []
    for ago in range(200, -1, -1):
        at = datetime.fromtimestamp((NOW - ago * DAY) / 1000, UTC) - timedelta(hours=1)
        lines.append(f"{at:%d/%m/%Y, %H:%M} - +44 7700 90009{1 + ago % 2}: hello")
        if ago == poll_days_ago:
            lines += [f"{at:%d/%m/%Y, %H:%M} - +44 7700 900091: XYZZY:", "When?", "ZZ: a (1 z)", "ZZ: b (0 z)"]
    path = bench.home / "chat.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return import_chat(bench.store, path, WA_ID, date_order="dmy", zone=UTC, exported_at=NOW).polls


@pytest.mark.parametrize("days_ago", [1, 29, 31, 119])
def test_a_poll_in_an_export_stops_a_removal_by_silence_on_the_roster(bench: Bench, days_ago: int) -> None:
    bench.ignores_votes = False
    assert take(bench, days_ago) == 1
    assert take(bench, days_ago) == 1  # the same export again changes nothing
    with pytest.raises(VotesUnseen, match="Who voted in a poll is in no chat export, and there was a poll on 2025-"):
        bench.start()
    (said,) = [one for one in bench.done(dryRun=True)["warnings"] if "poll" in one]
    assert "a real run is refused without --ignore-votes" in said
    assert len(bench.done(options={"ignoreVotes": True})["removed"]) == 2


@pytest.mark.parametrize("days_ago", [None, 122])
def test_one_of_long_before_and_none_at_all_stop_nothing(bench: Bench, days_ago: int | None) -> None:
    bench.ignores_votes = False
    assert take(bench, days_ago) == (0 if days_ago is None else 1)
    assert "poll" not in str(bench.done(dryRun=True))
    assert len(bench.done()["removed"]) == 2
