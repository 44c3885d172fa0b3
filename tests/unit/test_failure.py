"""What is kept of the error that ended a job: kind, words, the workflow's own line, the traceback; whatever it does."""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from runner.child import _come_to_an_end
from runner.context import JobContext
from runner.failure import LONGEST_ERROR, LONGEST_TRACEBACK, Failure, checked_failure
from runner.job import JobStatus
from tests.unit.test_context import House

HERE = str(Path(__file__))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def boom() -> None:
    raise KeyError("boom")


def failure_of(act: Callable[[], Any], seconds: float = 20.0) -> Failure:
    try:
        act()
    except BaseException as error:
        return Failure(error, seconds)
    raise AssertionError("it did not fail")


def line_of(function: Callable[..., Any], further: int = 1) -> int:
    return function.__code__.co_firstlineno + further


def test_a_failed_job_tells_file_line_and_traceback(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(job: JobContext, _settings: Any) -> None:
        secret = "not for others"  # noqa: F841
        boom()

    monkeypatch.setattr("runner.child._perform", perform)
    job = house.run()
    said = _come_to_an_end(job, house.settings)
    now = house.job
    assert (now.status, now.error) == (JobStatus.FAILED, "KeyError: 'boom'")
    assert now.failure is not None
    assert {name: now.failure[name] for name in ("type", "message", "file", "line")} == {
        **{"type": "KeyError", "message": "'boom'", "file": HERE, "line": line_of(boom)}
    }
    assert 'raise KeyError("boom")' in now.failure["traceback"]
    assert "not for others" not in now.failure["traceback"].replace('secret = "not for others"', "")
    assert said["failure"] == now.failure


def test_what_a_library_raises_is_told_at_the_line_that_called_it() -> None:
    def call() -> None:
        statistics.mean([])

    found = failure_of(call).as_json()
    assert (found["type"], found["file"], found["line"]) == ("StatisticsError", HERE, line_of(call))
    assert "statistics.py" in found["traceback"]


def test_a_chain_is_told_whole() -> None:
    def chain() -> None:
        try:
            boom()
        except KeyError as error:
            raise RuntimeError("because") from error

    found = failure_of(chain).as_json()
    assert (found["type"], found["line"]) == ("RuntimeError", line_of(chain, 4))
    assert "KeyError: 'boom'" in found["traceback"]
    assert found["traceback"].endswith("RuntimeError: because\n")


def test_a_chain_that_bites_its_tail_has_an_end() -> None:
    def bite() -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    assert "second" in failure_of(bite).as_json()["traceback"]


def test_a_group_of_errors_tells_those_in_it() -> None:
    def group() -> None:
        raise ExceptionGroup("two", [ValueError("one"), ExceptionGroup("deep", [KeyError("other")])])

    found = failure_of(group).as_json()
    assert (found["type"], found["message"]) == ("ExceptionGroup", "two (2 sub-exceptions)")
    assert "ValueError: one" in found["traceback"]
    assert "KeyError: 'other'" in found["traceback"]


def test_source_that_is_no_python_is_told_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("good = 1\ndef broken(:\n")
    spec = importlib.util.spec_from_file_location("broken", file)
    assert spec is not None
    assert spec.loader is not None
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    found = failure_of(lambda: loader.exec_module(module)).as_json()
    assert (found["type"], found["file"], found["line"]) == ("SyntaxError", str(file), 2)


def test_the_end_of_a_long_traceback_is_kept() -> None:
    def chain(depth: int) -> None:
        try:
            if depth:
                chain(depth - 1)
            boom()
        except Exception as error:
            raise ValueError(f"level {depth}") from error

    told = failure_of(lambda: chain(60)).as_json()["traceback"]
    assert len(told) == LONGEST_TRACEBACK
    assert told.endswith("ValueError: level 60\n")


def test_a_long_message_does_not_cost_the_frames() -> None:
    def long() -> None:
        raise ValueError("x" * 10_000_000)

    found = failure_of(long).as_json()
    assert len(found["message"]) == LONGEST_ERROR
    assert len(found["traceback"]) <= LONGEST_TRACEBACK
    assert "in long" in found["traceback"]


def test_a_stack_without_end_is_told_within_bounds() -> None:
    def one() -> None:
        other()

    def other() -> None:
        one()

    found = failure_of(one).as_json()
    assert (found["type"], found["file"]) == ("RecursionError", HERE)
    assert len(found["traceback"]) <= LONGEST_TRACEBACK


class Raises(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Endless(Exception):
    def __str__(self) -> str:
        ends = time.monotonic() + 20  # far beyond any patience; for ever, it would starve the tests after this one
        while time.monotonic() < ends:
            pass
        return ""


class NotText(Exception):
    def __str__(self) -> Any:
        return 5


class Named(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(3)


class Hides(Exception, metaclass=Named):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(3)


@pytest.mark.parametrize("kind", [Raises, Endless, NotText, Hides], ids=["raises", "endless", "no text", "hides"])
def test_an_error_that_will_not_be_looked_at_is_told_all_the_same(kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind("it")

    found = failure_of(fail, 0.2 if kind is Endless else 20.0)
    told = found.as_json()
    assert (told["type"], told["file"], told["line"]) == (type.__dict__["__name__"].__get__(kind), HERE, line_of(fail))
    assert told["type"] in told["traceback"]
    assert "in fail" in told["traceback"]
    assert found.words.startswith(told["type"])


def test_half_characters_and_nul_are_made_storable() -> None:
    def fail() -> None:
        raise ValueError("half \udce9 and \0nul")

    found = failure_of(fail)
    assert found.as_json()["message"] == "half ? and nul"
    json.dumps(found.as_json(), ensure_ascii=False).encode()


def test_a_statement_is_told_without_its_parameters() -> None:
    def ask() -> None:
        with create_engine("sqlite://").connect() as connection:
            try:
                connection.execute(text("SELECT :who FROM nowhere"), {"who": "447700900103"})
            except Exception as error:
                raise RuntimeError("no such") from error

    found = failure_of(ask).as_json()
    assert "no such table" in found["traceback"]
    assert "447700900103" not in found["traceback"].replace('{"who": "447700900103"}', "")


def test_nothing_of_the_workflow_is_no_place() -> None:
    found = Failure(ValueError("never raised")).as_json()
    assert found == {"type": "ValueError", "message": "never raised", "traceback": "ValueError: never raised\n"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, None),
        ("text", None),
        ({"type": "A"}, None),
        ({"type": 5, "message": "it"}, None),
        ({"type": "A", "message": "it", "line": 3, "else": 1}, {"type": "A", "message": "it"}),
        ({"type": "A", "message": "it", "file": "f", "line": True}, {"type": "A", "message": "it", "file": "f"}),
        ({"type": "A", "message": "it", "file": "f", "line": -1}, {"type": "A", "message": "it", "file": "f"}),
        ({"type": "A\0", "message": "\ud800", "traceback": 3}, {"type": "A", "message": "?"}),
    ],
)
def test_what_a_process_says_of_its_error_is_made_sure_of(said: object, kept: object) -> None:
    assert checked_failure(said) == kept


def test_what_a_process_says_of_its_error_has_bounds() -> None:
    found = checked_failure(dict.fromkeys(("type", "message", "file", "traceback"), "x" * 100000))
    assert found is not None
    assert sum(map(len, found.values())) <= 11_000
