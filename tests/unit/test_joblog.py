"""What a job logs: one line an event, with time and level, whatever is in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from runner.joblog import JobLines

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) mine: (.*)")
Said = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def log() -> logging.Logger:
    made = logging.Logger("mine")
    made.addHandler(JobLines())
    return made


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    def lines() -> list[tuple[str, str]]:
        found = [LINE.fullmatch(line) for line in capfd.readouterr().err.splitlines()]
        assert all(found)
        return [(match[1], match[2]) for match in found if match]

    return lines


def test_a_line_has_time_level_and_name(log: logging.Logger, said: Said) -> None:
    log.info("%s of %d", "one", 2)
    log.warning("é😀")
    assert said() == [("INFO", "one of 2"), ("WARNING", "é😀")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K", "\0", "\udce9"])
def test_nothing_in_a_message_ends_its_line(log: logging.Logger, said: Said, end: str) -> None:
    log.info("true%s2026-01-01T00:00:00.000Z ERROR mine: forged", end)
    ((level, text),) = said()
    assert level == "INFO"
    assert text.startswith("true\\")
    assert text.endswith("forged")


def test_a_trace_stands_on_the_line_of_its_event(log: logging.Logger, said: Said) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("it went on")
    ((level, text),) = said()
    assert level == "ERROR"
    assert text.startswith("it went on Traceback (most recent call last):\\n")
    assert text.endswith("ValueError: two\\nlines")


def test_a_line_has_bounds(log: logging.Logger, said: Said) -> None:
    try:
        raise ValueError("x" * 1_000_000)
    except ValueError:
        log.exception("y" * 1_000_000)
    assert len(said()[0][1]) < 7000


class Hostile:
    def __str__(self) -> str:
        raise ValueError("not told")


@pytest.mark.parametrize("arguments", [(Hostile(),), ("one", "too many"), ()])
def test_what_cannot_be_put_together_stops_nothing(log: logging.Logger, said: Said, arguments: Any) -> None:
    log.info("of %s %s" if arguments == () else "of %s", *arguments)
    log.info("next")
    assert [text for _, text in said()][-1] == "next"


def test_a_stream_that_is_closed_stops_nothing(
    log: logging.Logger, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    log.info("told all the same")
    assert said() == [("INFO", "told all the same")]
