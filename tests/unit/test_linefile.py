"""What is on disk when a line was appended."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runner.groups.missed import Missed
from runner.journal import CancelJournal, JournalledCancel
from runner.linefile import LineFile

CANCEL = JournalledCancel("a job", "me", "it is enough \u2028 for today", 1000, 1)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inode of each file or directory that was synced, a directory's negative."""
    found: list[int] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        state = os.fstat(descriptor)
        found.append(-state.st_ino if stat.S_ISDIR(state.st_mode) else state.st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_cancel_is_on_disk_and_so_is_the_name_of_its_file(tmp_path: Path, synced: list[int]) -> None:
    path = tmp_path / "cancels.journal"
    assert CancelJournal(path).add(CANCEL)
    assert synced == [path.stat().st_ino, -tmp_path.stat().st_ino]
    assert CancelJournal(path).pending() == [CANCEL]


def test_what_was_lost_is_on_disk_and_so_is_the_name_of_its_file(tmp_path: Path, synced: list[int]) -> None:
    path = tmp_path / "missed.journal"
    Missed(path).too_large("evolution")
    assert synced == [path.stat().st_ino, -tmp_path.stat().st_ino]


def test_bytes_that_are_no_text_take_no_other_line_with_them(tmp_path: Path) -> None:
    path = tmp_path / "cancels.journal"
    path.write_bytes(b'\n{"job_id": "\xff\xfe\n')
    assert CancelJournal(path).add(CANCEL)
    assert CancelJournal(path).pending() == [CANCEL]


def test_a_file_that_is_not_there_is_none_and_is_removed_at_once(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "nothing")
    assert file.lines() is None
    file.remove()
    file.append("one")
    file.append("two")
    assert file.lines() == ["one", "two"]


def test_what_cannot_be_written_is_not_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "cancels.journal"
    journal = CancelJournal(path)
    path.mkdir()
    assert not journal.add(CANCEL)
    assert journal.pending() == [CANCEL]
