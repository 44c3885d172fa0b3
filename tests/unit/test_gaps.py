"""What is said of the time in which nobody listened; and that nothing is observed that was not."""

from __future__ import annotations

import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from runner.groups.activity import ActivityRows, Observation
from runner.groups.export_made import MadeOpen
from runner.groups.gaps import gaps_in, gaps_told
from runner.groups.hearing import HearingRows, Limits
from runner.groups.imports import ChatSummary, ImportRefused, import_chat, import_members
from runner.settings import Settings
from runner.stores.group_schema import observations
from runner.webhook import Sign
from tests.unit.groupstore import DAY, NOW, WA_ID, GroupStore

HOUR = DAY // 24
EXPORT, EVENTS, ACCOUNT = "chat export", "events of evolution/x", "evolution/x"


def put(kept: GroupStore, *rows: tuple[int, int, str, bool | None]) -> None:
    with kept.tx() as tx:
        for from_ms, to_ms, source, live in rows:
            values = {"group_id": kept.group.id, "from_ms": from_ms, "to_ms": to_ms, "source": source, "live": live}
            tx.connection.execute(insert(observations).values(values))


def told(kept: GroupStore, window_ms: int = 30 * DAY) -> list[str]:
    with kept.tx() as tx:
        return gaps_told(tx, kept.group, window_ms, NOW, DAY)


def ms(written: str) -> int:
    return int(datetime.fromisoformat(written).replace(tzinfo=UTC).timestamp() * 1000)


# -- sentences ---------------------------------------------------------------------------------------------------


def listen(kept: GroupStore, at: int) -> None:
    """A message of somebody in a group of the account."""
    with kept.tx() as tx:
        hearing = HearingRows(tx, Limits.of(Settings()))
        hearing.belongs(kept.group, ACCOUNT, at=at)
        hearing.event(ACCOUNT, Sign.TRAFFIC, of_group=True, at=at)


def test_between_the_export_and_the_first_event_nobody_listened(kept: GroupStore) -> None:
    made = ms("2025-06-15 15:06:30")
    put(kept, (NOW - 40 * DAY, made, EXPORT, None))
    kept.now = made + 5000
    listen(kept, kept.now)
    assert told(kept) == [
        "on 2025-06-15 (UTC), between the export (15:06:30) and the first event (15:06:35) nobody listened: an export "
        "made now closes that"
    ]
    with kept.tx() as tx:
        ActivityRows(tx).observed(kept.group, NOW - 40 * DAY, NOW, EXPORT)
    assert told(kept) == []


def test_each_gap_of_the_window_is_told_the_latest_first(kept: GroupStore) -> None:
    day = ms("2025-06-01 10:00:00")
    put(
        kept,
        (day - 20 * DAY, day, EXPORT, None),
        (day + DAY, day + 2 * DAY, EVENTS, False),
        (day + 3 * DAY, NOW, EXPORT, None),
    )
    assert told(kept) == [
        "between the last event (2025-06-03 10:00:00 UTC) and the first message of the export (2025-06-04 10:00:00 "
        "UTC) nobody listened: an export made now closes that",
        "between the export (2025-06-01 10:00:00 UTC) and the first event (2025-06-02 10:00:00 UTC) nobody listened: "
        "an export made now closes that",
    ]
    assert told(kept, 5 * DAY) == []


def test_an_old_export_says_how_old_it_is_and_what_to_do(kept: GroupStore) -> None:
    put(kept, (NOW - 40 * DAY, NOW - 3 * DAY, EXPORT, None))
    assert told(kept) == [
        "the export (2025-06-12 15:06:40 UTC) is 3 days old, and is good for 1 day (RUNNER_OBSERVATION_SLACK_HOURS): "
        "nobody can be found inactive by it now. Export the chat again, and import that"
    ]


def test_one_from_before_the_window_says_its_own_time(kept: GroupStore) -> None:
    put(kept, (NOW - 400 * DAY, NOW - 90 * DAY, EXPORT, None), (NOW - 500 * DAY, NOW - 450 * DAY, EXPORT, None))
    (said,) = told(kept)
    assert "is 90 days old" in said


def test_an_export_within_the_slack_leaves_no_gap(kept: GroupStore) -> None:
    put(kept, (NOW - 40 * DAY, NOW - DAY, EXPORT, None))
    assert told(kept) == []


def test_an_export_that_begins_late_says_what_closes_it(kept: GroupStore) -> None:
    put(kept, (NOW - 3 * DAY, NOW, EXPORT, None))
    (said,) = told(kept)
    assert said.startswith("nothing that was said before the first message of the export (2025-06-12 15:06:40 UTC)")
    assert "an export that goes further back closes that" in said


def test_events_that_have_stopped_are_told(kept: GroupStore) -> None:
    put(kept, (NOW - 40 * DAY, NOW - HOUR, EVENTS, False))
    (said,) = told(kept)
    assert said.startswith("since the last event (2025-06-15 14:06:40 UTC) nobody listened: see 'runner gateway check'")


def test_where_nothing_is_known_that_is_told(kept: GroupStore) -> None:
    (said,) = told(kept)
    assert said.startswith("nothing that was said since 2025-05-16 15:06:40 UTC is known: an export made now")


def test_of_many_gaps_the_latest_are_told(kept: GroupStore) -> None:
    put(kept, *((NOW - n * DAY, NOW - n * DAY + HOUR, EVENTS, False) for n in range(1, 20)))
    assert len(told(kept)) == 5
    assert told(kept)[-1].startswith("and 16 more times before that")


spans_of_time = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair) * 2, max(pair) * 2)), max_size=8
)


@given(spans=spans_of_time, start=st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_gaps_are_all_that_no_observation_covers(spans: list[tuple[int, int]], start: int) -> None:
    """By looking at each moment between two whole ones, so that those that touch leave none."""
    seen = [Observation(one, other, EXPORT, None) for one, other in spans if one <= 100]
    covered = {half for one, other in spans for half in range(2 * one + 1, 2 * other, 2)}
    expected = set(range(2 * start + 1, 200, 2)) - covered
    found = list(gaps_in(seen, start, 100, reaches_now=False))
    assert {half for gap in found for half in range(2 * gap.from_ms + 1, 2 * gap.to_ms, 2)} == expected


# -- how far an export reaches -----------------------------------------------------------------------------------


class File:
    """A chat with a line every ten hours, the last ``silent_ms`` ago; ``written_ms``: when its file was."""

    def __init__(self, kept: GroupStore, folder: Path) -> None:
        self.kept, self.folder = kept, folder

    def take(
        self, silent_ms: int, written_ms: int = 0, packed_ms: int | None = None, exported_at: int | None = None
    ) -> ChatSummary:
        times = range(NOW - 40 * DAY - silent_ms, NOW - silent_ms + 1, 10 * HOUR)
        lines = [f"{datetime.fromtimestamp(at / 1000, UTC):%d/%m/%Y, %H:%M} - Ana: hello" for at in times]
        path = self.folder / ("chat.txt" if packed_ms is None else "chat.zip")
        if packed_ms is None:
            path.write_text("\n".join(lines))
        else:
            when = datetime.fromtimestamp((NOW - packed_ms) / 1000, UTC).timetuple()[:6]
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(zipfile.ZipInfo("_chat.txt", when), "\n".join(lines))
        os.utime(path, ns=((NOW - written_ms) * 1_000_000,) * 2)
        return import_chat(self.kept.store, path, WA_ID, date_order="dmy", zone=UTC, exported_at=exported_at)


@pytest.fixture
def file(kept: GroupStore, tmp_path: Path) -> File:
    return File(kept, tmp_path)


def ago(summary: ChatSummary) -> float:
    return round((NOW - summary.observed_to) / HOUR, 1)


def test_a_zip_of_ten_days_ago_reaches_to_then_however_it_was_downloaded(file: File) -> None:
    summary = file.take(10 * DAY + 5 * HOUR, written_ms=0, packed_ms=10 * DAY)
    assert (ago(summary), summary.made_by) == (240, "entry")


def test_the_older_of_the_zips_time_and_the_files_counts(file: File) -> None:
    summary = file.take(6 * HOUR, written_ms=2 * HOUR, packed_ms=HOUR)
    assert (ago(summary), summary.made_by) == (2, "file")


def test_a_time_before_the_last_line_or_in_the_future_says_nothing(file: File) -> None:
    for written, packed in ((0, 9000 * DAY), (9000 * DAY, None), (-DAY, None), (-DAY, -DAY)):
        summary = file.take(6 * HOUR, written, packed)
        assert 6 <= ago(summary) < 16
        assert summary.made_by == "line"


@pytest.mark.parametrize("packed", [None, 0, HOUR])
def test_where_the_end_is_silent_for_far_longer_than_the_chat_it_is_asked(file: File, packed: int | None) -> None:
    with pytest.raises(MadeOpen, match=r"ends with a line of .*--exported-at") as asked:
        file.take(10 * DAY, packed_ms=packed)
    assert "Nothing was changed" in str(asked.value)
    with file.kept.tx() as tx:
        assert ActivityRows(tx).observations(file.kept.group, NOW) == []
    for said in (NOW, NOW - 9 * DAY):
        assert file.take(10 * DAY, packed_ms=packed, exported_at=said).observed_to == said


def test_an_ordinary_silence_is_not_asked_about(file: File) -> None:
    for silent in (HOUR, 20 * HOUR, 23 * HOUR):
        assert ago(file.take(silent)) == 0


def test_a_chat_in_which_days_go_by_is_not_asked_about(kept: GroupStore, tmp_path: Path) -> None:
    times = range(NOW - 44 * DAY, NOW, 4 * DAY)
    lines = [f"{datetime.fromtimestamp(at / 1000, UTC):%d/%m/%Y, %H:%M} - Ana: hello" for at in times]
    (tmp_path / "chat.txt").write_text("\n".join(lines))
    os.utime(tmp_path / "chat.txt", ns=(NOW * 1_000_000,) * 2)
    summary = import_chat(kept.store, tmp_path / "chat.txt", WA_ID, date_order="dmy", zone=UTC)
    assert summary.observed_to == NOW


def test_who_says_a_time_after_the_files_own_is_doubted(file: File) -> None:
    assert file.take(10 * DAY, packed_ms=9 * DAY, exported_at=NOW).is_doubted
    assert not file.take(10 * DAY, packed_ms=9 * DAY, exported_at=NOW - 9 * DAY).is_doubted


def test_an_export_says_what_is_not_known_after_it(file: File) -> None:
    put(file.kept, (NOW - 4 * HOUR, NOW, EVENTS, True))
    kept_now = file.take(6 * HOUR, written_ms=5 * HOUR)
    assert kept_now.gap is not None
    assert "between the export (10:06:40) and the first event (11:06:40)" in kept_now.gap
    assert not kept_now.is_followed
    assert file.take(6 * HOUR, written_ms=3 * HOUR).gap is None


def test_a_typed_line_of_the_future_is_named(kept: GroupStore, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("13/06/2025, 09:00 - Ana: a\n01/01/2027, 10:00 - Bo: next year\n14/06/2025, 09:00 - Ana: b\n")
    with pytest.raises(
        ImportRefused, match=r'line 2 of chat\.txt, "01/01/2027, 10:00", .* seems to be text\. .*put a space'
    ):
        import_chat(kept.store, path, WA_ID, zone=UTC)
    path.write_text("13/06/2025, 09:00 - Ana: a\n\n16/06/2025, 10:00 - Bo: b\n")
    with pytest.raises(ImportRefused, match=r"line 3 of .*time zone"):
        import_chat(kept.store, path, WA_ID, zone=UTC)


# -- lists -------------------------------------------------------------------------------------------------------


def take_list(kept: GroupStore, folder: Path, written_ms: int, listed_at: int | None = None) -> tuple[int, int]:
    path = folder / "members.csv"
    path.write_text("phone,lastActive\n+5511987650001,2025-06-05T10:00:00Z\n")
    os.utime(path, ns=((NOW - written_ms) * 1_000_000,) * 2)
    import_members(kept.store, path, WA_ID, NOW - 60 * DAY, listed_at=listed_at, zone=UTC)
    with kept.tx() as tx:
        (one,) = ActivityRows(tx).observations(kept.group, NOW)
    return one.from_ms, one.to_ms


def test_a_list_tells_until_its_file_was_written(kept: GroupStore, tmp_path: Path) -> None:
    assert take_list(kept, tmp_path, 8 * DAY) == (NOW - 60 * DAY, NOW - 8 * DAY)


@pytest.mark.parametrize("written_ms", [-DAY, 30 * DAY])
def test_or_until_the_latest_that_it_names(kept: GroupStore, tmp_path: Path, written_ms: int) -> None:
    assert take_list(kept, tmp_path, written_ms) == (NOW - 60 * DAY, ms("2025-06-05 10:00:00"))


def test_or_until_somebody_says(kept: GroupStore, tmp_path: Path) -> None:
    assert take_list(kept, tmp_path, 0, NOW - DAY) == (NOW - 60 * DAY, NOW - DAY)
    with pytest.raises(ImportRefused, match="listed-at lies in the future"):
        take_list(kept, tmp_path, 0, NOW + DAY)
