"""What a job says is made storable at its commit; what cannot be kept stops no commit, and then fails the job."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.child import _come_to_an_end
from runner.context import JobContext
from runner.errors import RunSuperseded
from runner.failure import Failure
from runner.job import JobStatus
from runner.ledger import FORKED
from runner.storable import MOST_BYTES, NotStorable, fit
from runner.stores.batches import LedgerItem
from tests.unit.test_context import House

HALF = b"caf\xe9".decode("utf-8", "surrogateescape")
OTHER_HALF = b"caf\xe8".decode("utf-8", "surrogateescape")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def circular() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise SystemExit(3)


UNFIT: dict[str, Any] = {
    "object": object(),
    "bytes": b"text",
    "set": {1},
    "nan": float("nan"),
    "infinity": {"x": float("inf")},
    "circular": circular(),
    "deep": nested(101),
    "deeper": nested(100_000),
    "tuple_key": {(1, 2): 3},
    "nan_key": {float("nan"): 3},
    "long_number": 10**5000,
    "longish_number": 10**300,
    "hostile": Hostile(a=1),
    "large": "x" * MOST_BYTES,
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_json_within_bounds_cannot_be_kept(name: str) -> None:
    with pytest.raises(NotStorable, match="the result cannot be kept"):
        fit("the result", UNFIT[name])


def test_the_bounds_do_not_depend_on_what_a_workflow_sets() -> None:
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(NotStorable):
            fit("the result", [10**5000])
    finally:
        sys.set_int_max_str_digits(digits)


@pytest.mark.parametrize(
    "value", [None, {}, {"a": [1, 2.5, True, None, "é😀"]}, 2**53 + 1, 10**299, nested(100), {"n": "\\u0000"}]
)
def test_what_can_be_kept_is_kept_as_it_is(value: Any) -> None:
    assert fit("the result", value) == value


def test_half_characters_and_nul_go_and_names_stay_apart() -> None:
    given = {HALF: [HALF, "a\0b"], OTHER_HALF: 1, "caf?": 2, "n": {"\0": "😀\ud83d"}}
    kept = fit("the result", given)
    assert kept["caf?"] == 2
    assert [kept[name] for name in ("caf? (2)", "caf? (3)")] == [["caf?", "ab"], 1]
    assert kept["n"] == {"": "😀?"}
    json.dumps(kept, ensure_ascii=False).encode()


def test_a_position_is_kept_to_the_letter_since_its_job_alone_reads_it(house: House) -> None:
    job = house.run()
    job.state.position = HALF + "\0"
    job.commit()
    assert house.job.position == HALF + "\0"


def test_items_with_half_characters_are_settled_under_the_names_they_were_intended_with(house: House) -> None:
    job = house.run()
    keys = [HALF, "caf?", OTHER_HALF, "nul\0"]
    batch = next(iter(job.batches(keys, size=4)))
    batch.intend([LedgerItem(key, None, {"name": key}) for key in keys], deadline_seconds=1)
    batch.commit(lambda _: [LedgerItem(OTHER_HALF, "wr\0ong"), LedgerItem("caf?", "right")])
    assert dict(house.items()) == {"caf?~2": None, "caf?": "right", "caf?~3": "wrong", "nul": None}


def test_outcomes_that_cannot_be_kept_stop_no_commit(house: House) -> None:
    job = house.run()
    batch = next(iter(job.batches(range(5), size=5)))
    items: list[Any] = [
        LedgerItem("one", "done", {"it": object()}),
        LedgerItem(2, "done"),  # type: ignore[arg-type]
        LedgerItem("three", ["done"]),  # type: ignore[arg-type]
        LedgerItem("four", "done"),
        LedgerItem("four", "twice"),
    ]
    with pytest.raises(NotStorable, match="what belongs to an item"):
        batch.commit(lambda _: items)
    assert house.items() == [("one", "done"), ("2", "done"), ("three", "a list"), ("four", "done")]
    assert (house.job.position, batch.committed) == (5, True)


def test_an_intent_that_cannot_be_kept_is_refused_before_anything_is_done(house: House) -> None:
    batch = next(iter(house.run().batches(range(1), size=1)))
    with pytest.raises(NotStorable):
        batch.intend([LedgerItem("one", None, {"it": object()})], deadline_seconds=1)
    assert not house.is_open()


@pytest.mark.parametrize("name", UNFIT)
def test_a_result_that_cannot_be_kept_stays_as_of_the_commit_before(house: House, name: str) -> None:
    job = house.run()
    job.result["it"] = "kept"
    batches = job.batches(range(4), size=2)
    next(batches).commit(lambda _: [LedgerItem("one", "done")])
    second = next(batches)
    job.result["it"] = UNFIT[name]
    with pytest.raises(NotStorable, match="the result cannot be kept"):
        second.commit(lambda _: [LedgerItem("two", "done")])
    now = house.job
    assert (now.result, now.position, now.progress.processed) == ({"it": "kept"}, 4, 4)
    assert house.items() == [("one", "done"), ("two", "done")]
    job.result["it"] = "small again"
    with pytest.raises(NotStorable):  # also for a workflow that swallowed it
        job.ledger.complete(job.state)


def test_a_position_that_cannot_be_kept_stops_no_commit(house: House) -> None:
    job = house.run()
    job.state.position, job.result["it"] = object(), 1
    with pytest.raises(NotStorable, match="the position"):
        job.commit()
    assert (house.job.result, house.job.position) == ({"it": 1}, None)


def test_nothing_is_committed_after_an_end(house: House) -> None:
    job = house.run()
    job.report(processed=1)
    assert job.ledger.complete(job.state)
    job.report(processed=77)
    with pytest.raises(RunSuperseded):
        job.commit()
    assert (house.job.status, house.job.progress.processed) == (JobStatus.COMPLETED, 1)


def test_a_thread_that_goes_on_after_the_end_writes_nothing(house: House) -> None:
    job = house.run()
    job.ledger.end()
    said: list[BaseException] = []

    def go_on() -> None:
        try:
            job.commit()
        except RunSuperseded as error:
            said.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    thread.join()
    assert len(said) == 1


@pytest.mark.parametrize("act", ["commit", "returns", "raises"])
def test_a_fork_of_the_job_leaves_instead_of_going_on_as_the_job(
    house: House, act: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    job = house.run()
    here = os.getpid()

    def perform(_job: JobContext, _settings: Any) -> None:
        if os.fork() == 0:
            if act == "commit":
                job.commit()
            elif act == "raises":
                raise ValueError("in the fork")
            return
        _, status = os.wait()
        assert os.waitstatus_to_exitcode(status) == FORKED

    monkeypatch.setattr("runner.child._perform", perform)
    ended = _come_to_an_end(job, house.settings)
    assert os.getpid() == here
    assert ended == {"ended": "completed"}
    assert "is a fork of job a, not the job" in capfd.readouterr().err


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("error", [Exits(), ValueError("😀" * 2000), ValueError("x" * 100_000_000), ValueError(HALF)])
def test_an_error_is_told_in_bounded_words_whatever_it_does(error: Exception) -> None:
    said = Failure(error).words
    assert said.startswith(type(error).__name__)
    assert len(said) <= 2000
    said.encode()
