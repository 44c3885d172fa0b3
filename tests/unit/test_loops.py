"""Several loops in one job: each has a place of its own, wherever it is cut; what cannot be told is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.batch import Batch
from runner.context import JobContext
from runner.errors import LoopMisused
from runner.ledger import REQUEUED
from runner.stores.batches import BatchRows, LedgerItem
from tests.unit.test_context import House, people


class Cut(Exception):
    """The run dies here."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


Work = Callable[[JobContext, Callable[[str], None]], None]


def to_the_end(house: House, work: Work, cuts: list[int]) -> list[str]:
    """What was committed, in order, by as many runs as it takes; cut in the batch of each number, then left alone."""
    done: list[str] = []
    for cut in [*cuts, -1]:
        run = house.run() if house.job.epoch == 1 and cut == ([*cuts, -1])[0] and not done else house.run_again()
        left = [cut]

        def step(what: str, run: JobContext = run, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise Cut
            run.result["done"] = [*run.result.get("done", []), what]

        try:
            work(run, step)
            run.close_batch()
            run.loops.check_nothing_lost()
        except Cut:
            done = house.job.result.get("done", [])
            continue
        break
    return list(house.job.result["done"])


def one_after_the_other(run: JobContext, step: Callable[[str], None]) -> None:
    for batch in run.batches(range(5), size=2, name="first", total=5):
        step(f"first {list(batch)}")
    for group in run.batches(people(3), size=1, name="second", total=3):
        step(f"second {group[0].key}")
    for words in run.batches(["a", "cd"], size=1, total=2):
        step(f"third {words[0]}")


def nested(run: JobContext, step: Callable[[str], None]) -> None:
    for groups in run.batches([2, 0, 3], size=1, name="groups", total=3):
        for batch in run.batches(range(groups[0]), size=2, name="members", total=groups[0]):
            step(f"{groups[0]}: {list(batch)}")
        for batch in run.batches(range(1), size=2, name="files"):
            step(f"{groups[0]}: file {list(batch)}")
    for batch in run.batches(range(2), size=2, name="members"):
        step(f"outside {list(batch)}")


WHOLE: dict[Work, list[str]] = {
    one_after_the_other: [
        *("first [0, 1]", "first [2, 3]", "first [4]", "second 0", "second 1", "second 2", "third a", "third cd"),
    ],
    nested: [
        *("2: [0, 1]", "2: file [0]", "0: file [0]", "3: [0, 1]", "3: [2]", "3: file [0]", "outside [0, 1]"),
    ],
}


@pytest.mark.parametrize("work", WHOLE, ids=lambda work: work.__name__)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 7), max_size=4))
def test_each_loop_goes_on_at_its_own_place_wherever_the_job_is_cut(
    tmp_path_factory: pytest.TempPathFactory, work: Work, cuts: list[int]
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    try:
        assert to_the_end(house, work, cuts) == WHOLE[work]
    finally:
        house.store.close()


def test_a_loop_that_is_over_is_not_walked_again(house: House) -> None:
    walked: list[int | None] = []

    def asked(after: int | None, size: int) -> list[Any]:
        walked.append(after)
        return people(2)(after, size)

    run = house.run()
    for _ in run.batches(asked, size=5, name="first"):
        pass
    next(iter(run.batches(range(4), size=2, name="second"))).commit()
    walked.clear()
    again = house.run_again()
    assert list(again.batches(asked, size=5, name="first")) == []
    assert [list(batch) for batch in again.batches(range(4), size=2, name="second")] == [[2, 3]]
    assert walked == []
    assert again.position == {"first": 1, "second": 4}


def test_a_second_loop_without_a_name_is_refused_at_the_call(house: House) -> None:
    run = house.run()
    for _ in run.batches(range(2), size=1):
        pass
    with pytest.raises(LoopMisused, match=r"second job\.batches loop without a name"):
        run.batches(range(2), size=1)


def test_a_loop_within_a_batch_needs_a_name(house: House) -> None:
    run = house.run()
    outer = run.batches(range(2), size=1, name="outer")
    next(outer)
    with pytest.raises(LoopMisused, match="needs a name"):
        list(run.batches(range(2), size=1))


@pytest.mark.parametrize("early", ["commit", "intend"])
def test_a_loop_within_a_batch_that_a_later_run_would_not_come_back_to_is_refused(house: House, early: str) -> None:
    run = house.run()
    outer = run.batches(range(2), size=1, name="outer")
    batch = next(outer)
    if early == "commit":
        batch.commit()
    else:
        batch.intend([LedgerItem("0")], deadline_seconds=1)
    with pytest.raises(LoopMisused, match="begins inside a batch"):
        list(run.batches(range(2), size=1, name="inner"))


def test_two_loops_of_one_name_are_refused(house: House) -> None:
    run = house.run()
    assert [list(batch) for batch in run.batches(range(2), size=2, name="it")] == [[0, 1]]
    with pytest.raises(LoopMisused, match="are called 'it'"):
        list(run.batches(range(2), size=2, name="it"))


def test_loops_cannot_be_walked_in_turns(house: House) -> None:
    run = house.run()
    pairs = zip(run.batches(range(4), size=1, name="a"), run.batches(range(4), size=1, name="b"), strict=True)
    with pytest.raises(LoopMisused, match="walked in turns"):
        list(pairs)


def test_what_a_break_left_in_hand_is_committed_before_the_next_loop(house: House) -> None:
    run = house.run()
    for _ in run.batches(range(6), size=2, name="a"):
        break
    for batch in run.batches(range(2), size=2, name="b"):
        assert (house.job.progress.processed, list(batch)) == (2, [0, 1])
    assert [list(batch) for batch in house.run_again().batches(range(6), size=2, name="a")] == [[2, 3], [4, 5]]


def test_the_place_that_an_earlier_version_wrote_is_the_one_of_the_loop_without_a_name(house: House) -> None:
    run = house.run(position=3)
    assert run.position == 3
    assert [list(batch) for batch in run.batches(range(5), size=2)] == [[3, 4]]
    with pytest.raises(LoopMisused, match="the place of a loop without a name"):
        list(house.run(position=3).batches(range(5), size=2, name="members"))
    with pytest.raises(LoopMisused, match="newer version"):
        list(house.run(position={"format": 3, "loops": {}}).batches(range(5), size=2))


def test_a_single_loop_keeps_its_place_as_ever(house: House) -> None:
    list(house.run().batches(range(5), size=2))
    assert house.job.position == 5


def test_progress_counts_what_all_loops_have_to_do(house: House) -> None:
    run = house.run()
    loops = chain(run.batches(range(4), size=2, name="a", total=4), run.batches(people(3), size=3, name="b", total=3))
    seen = [(run.state.progress.processed, run.state.progress.total) for _ in loops]
    progress = house.job.progress
    assert seen == [(0, 4), (2, 4), (4, 7)]
    assert (progress.processed, progress.total, progress.current_batch) == (7, 7, 3)


def test_progress_of_loops_within_batches(house: House) -> None:
    run = house.run()
    for _ in run.batches(range(2), size=1, name="groups", total=2):
        for _ in run.batches(range(3), size=2, name="unmeasured"):
            pass
    assert (house.job.progress.processed, house.job.progress.total) == (2, 2), "the outer one has the total"
    run = house.run_again()
    for _ in run.batches(range(2), size=1, name="more", total=2):
        for _ in run.batches(range(3), size=2, name="members", total=3):
            pass
    assert (house.job.progress.processed, house.job.progress.total) == (10, 10)


def test_batches_are_numbered_on_through_all_loops(house: House) -> None:
    run = house.run()
    seqs = [batch.seq for batch in run.batches(range(4), size=2, name="a")]
    seqs += [batch.seq for batch in run.batches(range(4), size=2, name="b")]
    again = house.run_again()
    seqs += [batch.seq for batch in again.batches(range(2), size=2, name="c")]
    assert seqs == [1, 2, 3, 4, 5]


# -- what is put back ------------------------------------------------------------------------------------------------


def settle_as(outcomes: dict[str, str]) -> Callable[[Batch[Any]], None]:
    def settle(batch: Batch[Any]) -> None:
        batch.commit(lambda _: [LedgerItem(item.key, outcomes.pop(item.key, "sent")) for item in batch.open])

    return settle


def send_all(run: JobContext, total: int, *, die_in: int = 0, answer: bool = True) -> list[list[int]]:
    given = []
    for batch in run.batches(range(total), size=4, total=total):
        given.append(list(batch))
        batch.intend([LedgerItem(str(item)) for item in batch], deadline_seconds=1)
        if batch.seq == die_in:
            raise Cut
        booked = [LedgerItem(str(item), "sent") for item in batch] if answer else []
        batch.commit(lambda _, booked=booked: booked)  # type: ignore[misc]
    run.close_batch()
    run.loops.check_nothing_lost()
    return given


def test_what_settle_puts_back_of_a_list_is_given_again_by_the_next_run(house: House) -> None:
    with pytest.raises(Cut):
        send_all(house.run(), 10, die_in=2)
    run = house.run_again()
    run.settle_with(settle_as({"5": REQUEUED, "7": REQUEUED}))
    run.settle_open()
    assert (house.job.progress.processed, house.job.progress.total) == (6, 10)
    assert send_all(run, 10) == [[5, 7, 8, 9]]
    assert (house.job.progress.processed, house.job.progress.total) == (10, 10)


def test_what_settle_puts_back_of_a_list_is_given_again_in_the_same_run(house: House) -> None:
    run = house.run()
    run.settle_with(settle_as({"1": REQUEUED, "9": REQUEUED}))
    assert send_all(run, 10, answer=False) == [[0, 1, 2, 3], [1, 4, 5, 6], [7, 8, 9], [9]]
    assert (house.job.progress.processed, house.job.progress.total) == (10, 10)


def test_what_is_put_back_is_kept_over_a_crash_before_it_came_again(house: House) -> None:
    run = house.run()
    run.settle_with(settle_as({"1": REQUEUED}))
    for batch in run.batches(range(6), size=4):
        if batch.seq == 2:
            break
        batch.intend([LedgerItem(str(item)) for item in batch], deadline_seconds=1)
        batch.commit(lambda _: [])
    assert send_all(house.run_again(), 6) == [[1, 4, 5]]


def test_whom_an_intent_left_out_is_given_again_and_nobody_else(house: House) -> None:
    run = house.run()
    batch = next(iter(run.batches(range(6), size=4)))
    batch.intend([LedgerItem("0"), LedgerItem("2")], deadline_seconds=1)
    run = house.run_again()
    run.settle_with(settle_as({}))
    run.settle_open()
    assert send_all(run, 6) == [[1, 3, 4, 5]]


def test_what_is_settled_late_does_not_set_the_job_back(house: House) -> None:
    """A first settling may leave something open, and other batches come between."""
    run, late = house.run(), [False]

    def settle(batch: Batch[Any]) -> None:
        batch.commit(lambda _: [LedgerItem(item.key, "sent") for item in batch.open] if late[0] else [])

    run.settle_with(settle)
    for batch in run.batches(range(6), size=2):
        batch.intend([LedgerItem(str(item)) for item in batch], deadline_seconds=1)
        batch.commit(lambda _: [])
    late[0] = True
    run.settle_open()
    assert (house.is_open(), run.position) == (False, 6)


@dataclass(frozen=True)
class Row:
    number: int


def test_a_job_is_not_completed_where_what_was_put_back_cannot_be_told(house: House) -> None:
    run = house.run()
    batch = next(iter(run.batches([Row(1), Row(2)], size=2)))
    batch.intend([LedgerItem("row 1"), LedgerItem("row 2")], deadline_seconds=1)
    run = house.run_again()
    run.settle_with(settle_as({"row 2": REQUEUED}))
    run.settle_open()
    assert list(run.batches([Row(1), Row(2)], size=2)) == []
    with pytest.raises(LoopMisused, match="1 of the items that were put back"):
        run.loops.check_nothing_lost()


def test_a_whole_batch_that_is_put_back_is_given_again_whatever_its_keys(house: House) -> None:
    run = house.run()
    batch = next(iter(run.batches([Row(1), Row(2), Row(3)], size=2)))
    batch.intend([LedgerItem("row 1"), LedgerItem("row 2")], deadline_seconds=1)
    run = house.run_again()
    run.settle_with(settle_as({"row 1": REQUEUED, "row 2": REQUEUED}))
    run.settle_open()
    assert [list(batch) for batch in run.batches([Row(1), Row(2), Row(3)], size=5)] == [[Row(1), Row(2), Row(3)]]


# -- what is refused at the call -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": 0}, "size must be from 1"),
        ({"size": -3}, "size"),
        ({"size": True}, "size"),
        ({"size": 2.0}, "size"),
        ({"size": "5"}, "size"),
        ({"delay_ms": -1}, "delay_ms"),
        ({"delay_ms": float("nan")}, "delay_ms"),
        ({"delay_ms": "10"}, "delay_ms"),
        ({"jitter": float("inf")}, "jitter"),
        ({"total": -1}, "total"),
        ({"total": True}, "total"),
        ({"name": ""}, "name of a loop"),
        ({"name": 7}, "name of a loop"),
        ({"name": "a\nb"}, "name of a loop"),
        ({"name": "x" * 101}, "name of a loop"),
        ({"source": 7}, "an iterable or a function"),
        ({"source": None}, "an iterable or a function"),
        ({"source": {3, 1}}, "another order"),
        ({"source": "text"}, "no list of items"),
    ],
)
def test_what_cannot_be_walked_is_refused_at_the_call(house: House, given: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"source": range(4), "size": 2} | given
    with pytest.raises((TypeError, ValueError), match=words):
        house.run().batches(arguments.pop("source"), **arguments)


async def _no_items() -> Any:
    yield 1


def test_an_async_iterable_is_refused_with_a_word(house: House) -> None:
    items: Any = _no_items()
    with pytest.raises(LoopMisused, match="async iterable"):
        house.run().batches(items, size=2)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([Row(1)], "has no attribute 'key'"),
        ([{"key": 1}], "has no attribute 'key'"),
        (["keyless"], "has no attribute 'key'"),
    ],
)
def test_items_without_a_key_are_refused(house: House, items: list[Any], words: str) -> None:
    with pytest.raises(LoopMisused, match=words):
        next(iter(house.run().batches(lambda _after, _size: items, size=2)))


@dataclass(frozen=True)
class Keyed:
    key: Any


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([None], "cannot be kept"),
        ([b"a"], "cannot be kept"),
        ([float("nan")], "cannot be kept"),
        (["caf\udce9"], "cannot be kept"),
        ([1, 1], "the same key"),
    ],
)
def test_keys_that_a_later_run_could_not_go_on_behind_are_refused(house: House, keys: list[Any], words: str) -> None:
    with pytest.raises(LoopMisused, match=words):
        next(iter(house.run().batches(lambda _after, _size: [Keyed(key) for key in keys], size=2)))


def test_a_function_that_does_not_get_on_is_refused(house: House) -> None:
    batches = house.run().batches(lambda _after, _size: [Keyed(7)], size=2)
    assert [item.key for item in next(batches)] == [7]
    with pytest.raises(LoopMisused, match="gave the key 7 again"):
        next(batches)


def test_a_function_that_gives_more_than_it_was_asked_for_is_cut(house: House) -> None:
    def all_behind(after: int | None, _size: int) -> list[Any]:
        return people(5)(after, 100)

    sizes = [[person.key for person in batch] for batch in house.run().batches(all_behind, size=2)]
    assert sizes == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("keys", "words"),
    [(["a", "a"], "two items of one batch"), ([1], "is a text"), ([""], "is a text"), (["x" * 201], "is a text")],
)
def test_keys_of_the_ledger_are_texts_and_each_its_own(house: House, keys: list[Any], words: str) -> None:
    """Refused before the call; after it what was done is kept all the same, and the job fails."""
    batch = next(iter(house.run().batches(range(4), size=2)))
    items = [LedgerItem(key, "done") for key in keys]
    with pytest.raises(LoopMisused, match=words):
        batch.intend(items, deadline_seconds=1)
    with house.store.read() as tx:
        assert BatchRows(tx, "a").last_seq() == 0


def test_a_batch_is_a_sequence_of_its_items(house: House) -> None:
    batch = next(iter(house.run().batches(["a", "b", "c", "d"], size=3)))
    assert (len(batch), batch[0], batch[-1], list(batch[1:]), list(batch)) == (3, "a", "c", ["b", "c"], ["a", "b", "c"])
    assert ("b" in batch, "d" in batch, list(reversed(batch)), batch.index("c")) == (True, False, ["c", "b", "a"], 2)
    assert (batch.items, repr(batch)) == (["a", "b", "c"], "<batch 1 of 3 items>")
