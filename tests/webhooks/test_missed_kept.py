"""What is lost is remembered also where the file for it fails, and a server starts whatever is in that file."""

from __future__ import annotations

import http.client
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from runner.groups.missed import PROVEN, Missed, Misses
from tests.endtoend.server import Server
from tests.waiting import wait_for
from tests.webhooks.days import Days
from tests.webhooks.sender import SECRET
from tests.webhooks.test_answers import Gateway
from tests.webhooks.test_missed import watchman

NO_DEV_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
LOST = Misses(too_large=1, lost_of=frozenset(["evolution"]))


def full(path: Path) -> None:
    path.symlink_to("/dev/full")


def in_its_place(path: Path) -> None:
    path.mkdir()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


@pytest.mark.parametrize("spoil", [pytest.param(full, marks=NO_DEV_FULL), in_its_place])
def test_what_cannot_be_kept_is_remembered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "missed.journal"
    missed = Missed(path)
    spoil(path)
    missed.too_large("evolution")
    assert len(errors(caplog)) == 1
    assert missed.is_urgent
    with missed.taken() as misses:
        assert misses == LOST


def test_a_file_that_cannot_be_removed_loses_nothing_and_ends_nobody(
    days: Days, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    days.message()
    path = tmp_path / "missed.journal"
    missed = Missed(path)
    beating = watchman(days.kept, missed)
    in_its_place(path)
    for number in (1, 2):
        missed.too_large("evolution")
        beating.beat()
        assert days.kept.tallies()["too-large", "failed"] == number
    assert days.kept.watch() is None
    beating.beat()
    assert len(errors(caplog)) == 4, "two that were not kept, and two files that stayed"
    path.rmdir()
    missed.too_large("evolution")
    assert path.exists()
    beating.beat()
    assert not path.exists()


@pytest.mark.parametrize(
    "found",
    [b"", b"\n", b"\nevol", b"\nevolution\n\xff\xfe\n", b"\xe9volution\n", b"\0" * 4096, b"\nevolution\nanother\n"],
    ids=["empty", "a line's end", "torn", "not UTF-8 after it", "Latin-1", "zeros", "of tomorrow"],
)
def test_what_cannot_be_read_was_of_all_who_may_be_meant(
    days: Days, tmp_path: Path, caplog: pytest.LogCaptureFixture, found: bytes
) -> None:
    days.message()
    path = tmp_path / "missed.journal"
    path.write_bytes(found)
    starting = watchman(days.kept, Missed(path))
    assert len(errors(caplog)) == 1
    starting.begin()
    assert days.kept.watch() is None
    assert days.kept.tallies()["too-large", "failed"] >= 1
    assert not path.exists()


def test_a_directory_in_its_place_counts_as_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "missed.journal"
    in_its_place(path)
    missed = Missed(path)
    assert errors(caplog)
    with missed.taken() as misses:
        assert misses == Misses(too_large=1, lost_of=PROVEN)


def test_as_many_as_were_lost_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "missed.journal"
    for _ in range(3):
        Missed(path).too_large("evolution")
    with Missed(path).taken() as misses:
        assert misses == Misses(too_large=3, lost_of=frozenset(["evolution"]))
    assert errors(caplog) == []


@contextmanager
def quick_switches() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_what_is_to_be_noted_is_on_disk_until_it_is(tmp_path: Path) -> None:
    """Whenever a beat ends."""
    path = tmp_path / "missed.journal"
    missed = Missed(path)

    def lose() -> None:
        for _ in range(300):
            missed.too_large("evolution")

    losing = [threading.Thread(target=lose) for _ in range(3)]
    noted = 0
    with quick_switches():
        for thread in losing:
            thread.start()
        while any(thread.is_alive() for thread in losing) or missed.is_urgent:
            with missed.taken() as misses:
                noted += misses.too_large
                assert path.exists() or not misses.lost_of
    assert noted == 900
    assert not path.exists()


def test_of_two_beats_the_quicker_does_not_remove_what_the_other_has_not_noted(tmp_path: Path) -> None:
    path = tmp_path / "missed.journal"
    missed = Missed(path)
    missed.too_large("evolution")
    slower = missed.taken()
    assert slower.__enter__() == LOST
    missed.too_large("evolution")
    with missed.taken() as quicker:
        assert quicker == LOST
    assert path.exists()
    slower.__exit__(None, None, None)
    assert not path.exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, webhook_secret=SECRET)
    yield made
    made.close()


def refusal(server: Server) -> int:
    """Of an Evolution's event that says to be larger than this server takes."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.putrequest("POST", "/webhook")
        connection.putheader("Content-Length", "20000000")
        connection.putheader("X-Webhook-Secret", SECRET)
        connection.endheaders()
        return connection.getresponse().status


def test_the_gateway_is_answered_and_the_event_counted_all_the_same(tmp_path: Path, server: Server) -> None:
    """Also by the next server, which finds the same in the file's place."""

    def wait_for_number(number: int) -> None:
        wait_for(lambda: Gateway(server).tallies().get(("too-large", "failed"), 0) == number, f"{number} are counted")

    for known in (0, 2):
        server.start()
        wait_for_number(known)
        (tmp_path / "missed.journal").mkdir(exist_ok=True)
        assert refusal(server) == 422
        wait_for_number(known + 1)
        assert server.end() == 0
    assert "Traceback" not in (tmp_path / "server.log").read_text()
