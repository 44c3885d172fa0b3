"""What a workflow may rely on: positions, delays, commits, retries; with a real ledger, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.abort import AbortFlag
from runner.batch import Batch
from runner.clock import Clock
from runner.context import JobContext, Run
from runner.errors import RunSuperseded, StoreUnavailable
from runner.job import Job, Progress, StopReason
from runner.ledger import REQUEUED, Ledger
from runner.settings import Settings
from runner.source import CountedSource, KeyedSource
from runner.store import Transaction
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.database import SqlStore
from runner.stores.jobs import JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import RunRows
from runner.workflow import JobStopped

START = 1_000_000.0


class VirtualTime(AbortFlag):
    """A flag on which waiting passes at once and is noted. ``stop_after``: set during the sleep of that number."""

    def __init__(self) -> None:
        self.now = START
        self.sleeps: list[float] = []
        self.stop_after: int | None = None
        self.raised = False
        self.meanwhile: Callable[[], None] = lambda: None

    def is_set(self) -> bool:
        return self.raised

    def wait(self, seconds: float) -> bool:
        if self.stop_after is not None and len(self.sleeps) >= self.stop_after:
            self.raised = True
        if not self.raised and seconds > 0:
            self.sleeps.append(round(seconds, 3))
            self.now += seconds
            self.meanwhile()
        return self.raised

    def clock(self) -> Clock:
        return Clock(now_ms=lambda: int(self.now * 1000), boot_seconds=lambda: self.now, boot_id="this boot")


class House:
    """One claimed job, run as often as wanted: each run goes on where the one before stopped."""

    def __init__(self, home: Path) -> None:
        self.time = VirtualTime()
        url = f"sqlite:///{home / 'runner.db'}"
        migrate(url)
        self.store = SqlStore(url, self.time.clock())
        self.settings = Settings(home=home, workflows="")
        with self.store.write() as tx:
            JobRows(tx).add(NewJob("a", "count", {}, {}, None, "tester"))
            RunRows(tx).claim("a", "node")
        self.time.meanwhile = self.renew_lease

    def renew_lease(self) -> None:
        """As the server does all the time."""
        with self.store.write() as tx:
            RunRows(tx).renew_leases("node")

    @property
    def job(self) -> Job:
        with self.store.read() as tx:
            return JobRows(tx).get("a")

    def run(self, **changes: Any) -> JobContext:
        """The context of a run under the present claim."""
        job = self.job
        described: dict[str, Any] = {
            **{"job_id": "a", "type": "count", "mode": "run", "epoch": job.epoch, "attempt": job.epoch},
            **{"lock_key": None, "config": {}, "options": {}, "progress": job.progress.as_json()},
            **{"result": job.result, "position": job.position, "is_first": job.epoch == 1},
        }
        ledger = Ledger(self.store, self.store.clock, "a", job.epoch, None)
        return JobContext(Run(**(described | changes)), ledger, self.time, self.settings, chance=lambda: 0.0)

    def run_again(self) -> JobContext:
        """As after a crash."""
        self.time.raised, self.time.stop_after = False, None
        with self.store.write() as tx:
            RunRows(tx).claim_again("a", self.job_epoch, "node")
        return self.run()

    @property
    def job_epoch(self) -> int:
        return self.job.epoch

    def items(self) -> list[tuple[str, str | None]]:
        with self.store.read() as tx:
            return [(item.key, item.outcome) for item in BatchRows(tx, "a").items()]

    def is_open(self) -> bool:
        with self.store.read() as tx:
            return bool(BatchRows(tx, "a").open_batches())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


@dataclass(frozen=True)
class Person:
    key: int


def people(count: int) -> Callable[[int | None, int], list[Person]]:
    def after(key: int | None, size: int) -> list[Person]:
        first = 0 if key is None else key + 1
        return [Person(number) for number in range(first, min(count, first + size))]

    return after


class NothingSent(Exception):
    nothing_sent = True
    retryable = True


class SlowDown(NothingSent):
    def __init__(self, after_seconds: float | None = None) -> None:
        super().__init__("slow down")
        self.after_seconds = after_seconds


class Refused(Exception):
    nothing_sent = True
    retryable = False


class Unanswered(Exception):
    nothing_sent = False


# -- sources ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.lists(st.tuples(st.integers(1, 7), st.booleans()), max_size=40), st.integers(0, 60))
def test_a_counted_source_gives_each_item_once(total: int, takes: list[tuple[int, bool]], position: int) -> None:
    source = CountedSource(iter(range(total)), position)
    taken: list[int] = []
    for size, look in takes:
        if look:
            assert source.has_more() == (len(taken) + position < total)
            source.has_more()
        taken += source.take(size)
        assert source.position == position + len(taken)
    assert taken == list(range(total))[position : position + len(taken)]


def test_a_counted_source_of_many_batches_does_not_slow_down() -> None:
    """To look ahead must leave nothing behind: chains of chains end in a crash of the interpreter."""
    source = CountedSource(iter(range(400_000)), 0)
    while source.has_more():
        source.take(2)
    assert source.position == 400_000


def test_a_keyed_source_goes_on_behind_the_last_key() -> None:
    source = KeyedSource(people(5), None)
    assert [person.key for person in source.take(3)] == [0, 1, 2]
    assert (source.position, source.has_more()) == (2, True)
    assert [person.key for person in source.take(3)] == [3, 4]
    assert (list(source.take(3)), source.position, source.has_more()) == ([], 4, False)


# -- batches and commits ---------------------------------------------------------------------------------------------


def test_a_batch_is_committed_when_the_next_is_asked_for(house: House) -> None:
    run = house.run()
    positions = []
    for batch in run.batches(range(5), size=2, total=5):
        run.result["last"] = batch.items[-1]
        positions.append((house.job.position, house.job.progress.processed))
    assert positions == [(None, 0), (2, 2), (4, 4)]
    job = house.job
    assert (job.position, job.result, job.progress.processed, job.progress.current_batch) == (5, {"last": 4}, 5, 3)


def test_a_batch_that_raises_is_not_committed(house: House) -> None:
    run = house.run()

    def work() -> None:
        for batch in run.batches(range(5), size=2):
            run.result["last"] = batch.items[-1]
            if batch.seq == 2:
                raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"):
        work()
    assert (house.job.position, house.job.result) == (2, {"last": 1})
    seen = [list(batch.items) for batch in house.run_again().batches(range(5), size=2)]
    assert seen == [[2, 3], [4]]


def test_a_batch_is_committed_once(house: House) -> None:
    batch = next(iter(house.run().batches(range(5), size=2)))
    batch.commit()
    with pytest.raises(RuntimeError, match="once"):
        batch.commit()


def test_the_last_batch_is_closed_when_the_workflow_returns(house: House) -> None:
    run = house.run()
    for _ in run.batches(range(5), size=2):
        break
    assert house.job.position is None
    run.close_batch()
    assert house.job.position == 2


def test_a_superseded_run_commits_nothing(house: House) -> None:
    old = house.run()
    batches = iter(old.batches(range(5), size=2))
    next(batches)
    house.run_again()
    with pytest.raises(RunSuperseded):
        next(batches)
    assert house.job.position is None


def test_total_of_a_function_is_what_is_left(house: House) -> None:
    next(iter(house.run().batches(people(6), size=2, total=6))).commit()
    run = house.run_again()
    next(iter(run.batches(people(6), size=2, total=4))).commit()
    assert (house.job.progress.processed, house.job.progress.total) == (4, 6)


def test_who_goes_back_to_the_queue_is_not_processed(house: House) -> None:
    batch = next(iter(house.run().batches(people(3), size=3)))
    batch.intend([LedgerItem(str(person.key)) for person in batch.items], deadline_seconds=1)
    batch.commit(lambda _: [LedgerItem("0", "done"), LedgerItem("1", REQUEUED)])
    assert house.job.progress.processed == 1, "one is back in the queue, of one nobody knows"
    assert house.items() == [("0", "done"), ("1", REQUEUED), ("2", None)]


def test_what_stays_open_is_settled_before_the_next_batch(house: House) -> None:
    run = house.run()
    settled: list[list[str]] = []

    def settle(batch: Batch[Any]) -> None:
        settled.append([item.key for item in batch.open])
        batch.commit(lambda _: [LedgerItem(item.key, "done") for item in batch.open])

    run.settle_with(settle)
    for batch in run.batches(people(4), size=2):
        assert not house.is_open()
        batch.intend([LedgerItem(str(person.key)) for person in batch.items], deadline_seconds=1)
        batch.commit(lambda _: [])
    assert settled == [["0", "1"], ["2", "3"]]
    assert (house.job.progress.processed, house.job.position) == (4, 3)


def test_without_settle_what_is_open_is_given_up(house: House) -> None:
    run = house.run()
    batch = next(iter(run.batches(people(2), size=2)))
    batch.intend([LedgerItem("0")], deadline_seconds=1)
    house.run_again().settle_open()
    assert house.items() == [("0", "unknown")]


# -- delays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "sleeps"), [(0, []), (2, []), (3, [10]), (6, [10, 10])])
@pytest.mark.parametrize("by_key", [True, False])
def test_a_delay_lies_between_batches_and_not_after_the_last(
    house: House, total: int, sleeps: list[float], by_key: bool
) -> None:
    source: Any = people(total) if by_key else range(total)
    for _ in house.run().batches(source, size=2, delay_ms=10_000):
        pass
    assert house.time.sleeps == sleeps


def test_no_delay_after_a_batch_that_asked_for_none(house: House) -> None:
    for batch in house.run().batches(range(8), size=2, delay_ms=10_000):
        if batch.seq != 2:
            batch.skip_delay()
    assert house.time.sleeps == [10]


@pytest.mark.parametrize(("away", "left"), [(0.0, [10.0]), (4.0, [6.0]), (10.0, []), (99.0, []), (-50.0, [10.0])])
def test_after_a_crash_the_rest_of_the_delay_is_waited_out(house: House, away: float, left: list[float]) -> None:
    next(iter(house.run().batches(range(4), size=2, delay_ms=10_000))).commit()
    house.time.now += away
    for _ in house.run_again().batches(range(4), size=2, delay_ms=10_000):
        assert house.time.sleeps == left, "a clock that was set back costs one delay at most"


def test_after_a_crash_with_nothing_left_nothing_is_waited_for(house: House) -> None:
    for _ in house.run().batches(range(2), size=2, delay_ms=10_000):
        pass
    assert list(house.run_again().batches(range(2), size=2, delay_ms=10_000)) == []
    assert house.time.sleeps == []


# -- stopping --------------------------------------------------------------------------------------------------------


def test_a_stop_wakes_from_the_delay_with_the_batch_committed(house: House) -> None:
    house.time.stop_after = 1
    done: list[Sequence[int]] = []

    def work() -> None:
        done.extend(batch.items for batch in house.run().batches(range(8), size=2, delay_ms=10_000))

    with pytest.raises(JobStopped):
        work()
    assert (done, house.job.position) == ([[0, 1], [2, 3]], 4)


@pytest.mark.parametrize("place", ["checkpoint", "sleep", "sleep_until", "batches"])
def test_a_stop_is_seen_there_and_only_there(house: House, place: str) -> None:
    run = house.run()
    house.time.raised = True
    run.report(1, 2, "going on")
    run.commit()
    acts: dict[str, Callable[[], object]] = {
        "checkpoint": run.checkpoint,
        "sleep": lambda: run.sleep(1),
        "sleep_until": lambda: run.sleep_until(int(START * 1000) + 1),
        "batches": lambda: next(iter(run.batches(range(5), size=2))),
    }
    with pytest.raises(JobStopped):
        acts[place]()
    assert not issubclass(JobStopped, Exception), "so that a careless except does not swallow it"


def test_sleeping_until_a_time_that_is_over(house: House) -> None:
    house.run().sleep_until(int(START * 1000) - 1)
    assert house.time.sleeps == []


def test_a_long_sleep_ends_when_it_should(house: House) -> None:
    house.run().sleep(9000)
    assert sum(house.time.sleeps) == 9000


# -- calls -----------------------------------------------------------------------------------------------------------


def intended(house: House) -> Batch[Person]:
    batch = next(iter(house.run().batches(people(2), size=2)))
    batch.intend([LedgerItem("0"), LedgerItem("1")], deadline_seconds=5)
    return batch


def test_where_nothing_was_sent_it_is_tried_again_without_an_open_intent(house: House) -> None:
    batch = intended(house)
    tries: list[bool] = []
    waiting: list[Any] = []
    said = batch._job.ledger.say_waiting

    def say(what: Any) -> None:
        assert not house.is_open(), "nobody waits with an open intent"
        waiting.append(what)
        said(what)

    batch._job.ledger.say_waiting = say  # type: ignore[method-assign, assignment]

    def act(left: Callable[[], float]) -> dict[str, Any]:
        tries.append(house.is_open())
        assert left() == 5.0, "each try has the whole time"
        if len(tries) < 4:
            raise NothingSent("not yet") if len(tries) < 3 else SlowDown(30)
        return {"0": "done"}

    assert batch.call(act) == {"0": "done"}
    assert (tries, house.time.sleeps) == ([True] * 4, [1, 2, 30])
    reasons = [what["reason"] for what in waiting if what]
    assert [reason.split(";")[0] for reason in reasons] == ["not yet", "not yet", "slow down"]
    assert all("next try " in reason for reason in reasons)
    assert waiting[1::2] == [None] * 3
    assert house.job.waiting is None


def test_it_is_not_tried_for_ever(house: House) -> None:
    batch = intended(house)
    tries: list[int] = []

    def act(_: Callable[[], float]) -> dict[str, Any]:
        tries.append(1)
        raise NothingSent

    with pytest.raises(NothingSent):
        batch.call(act)
    assert (house.time.sleeps[:7], house.is_open()) == ([1, 2, 4, 8, 16, 32, 60], False)
    assert (len(tries), sum(house.time.sleeps)) == (len(house.time.sleeps) + 1, 3600)


def test_a_refusal_is_not_tried_again_and_leaves_nothing_open(house: House) -> None:
    batch = intended(house)

    def act(_: Callable[[], float]) -> dict[str, Any]:
        raise Refused

    with pytest.raises(Refused):
        batch.call(act)
    assert (house.items(), house.time.sleeps) == ([], [])


def test_no_answer_is_never_tried_again_and_stays_open(house: House) -> None:
    batch = intended(house)
    tries: list[int] = []

    def act(_: Callable[[], float]) -> dict[str, Any]:
        tries.append(1)
        raise Unanswered

    assert batch.call(act) == {}
    assert (len(tries), house.time.sleeps, house.is_open()) == (1, [], True)


def test_any_other_error_stays_open_too(house: House) -> None:
    batch = intended(house)

    def act(_: Callable[[], float]) -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        batch.call(act)
    assert house.is_open()


def test_once_a_stop_is_asked_for_nothing_is_sent(house: House) -> None:
    batch = intended(house)
    with house.store.write() as tx:
        RunRows(tx).request_stop("a", StopReason.DRAIN)
    with pytest.raises(JobStopped):
        batch.call(lambda _: pytest.fail("it was called"))
    with pytest.raises(JobStopped):
        batch.intend([LedgerItem("2")], deadline_seconds=5)


def test_a_commit_that_fails_is_made_again_and_the_call_is_not(house: House) -> None:
    """The booking runs again; what it booked before was rolled back with it."""
    batch = intended(house)
    calls: list[int] = []

    def act(_: Callable[[], float]) -> dict[str, Any]:
        calls.append(1)
        return {"0": "done", "1": "done"}

    outcomes = batch.call(act)
    bookings: list[int] = []

    def book(tx: Transaction) -> list[LedgerItem]:
        bookings.append(1)
        BatchRows(tx, "a").last_seq()
        if len(bookings) == 1:
            raise StoreUnavailable("it is locked")
        return [LedgerItem(key, said) for key, said in outcomes.items()]

    batch.commit(book)
    assert (len(calls), len(bookings)) == (1, 2)
    assert (house.items(), house.job.progress.processed) == ([("0", "done"), ("1", "done")], 2)


def test_what_was_left_open_is_waited_for_until_its_call_is_over(house: House) -> None:
    intended(house)
    house.time.now += 2
    run = house.run_again()
    left_open = run.ledger.open_batches()[0]
    run.wait_until_over(Batch(run, left_open.seq, (), None, left_open=left_open))
    assert house.time.sleeps == [3]


# -- a run cut anywhere ----------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 4), st.lists(st.integers(0, 4), max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_anywhere_each_item_is_committed_once(
    tmp_path_factory: pytest.TempPathFactory, total: int, size: int, cuts: list[int]
) -> None:
    house = House(tmp_path_factory.mktemp("cut"))
    run = house.run()
    for cut in [*cuts, None]:
        for number, batch in enumerate(run.batches(range(total), size=size, total=total)):
            run.result.setdefault("done", []).extend(batch.items)
            if number == cut:
                break  # the process dies here: this batch was not committed
        else:
            break
        run = house.run_again()
    assert house.job.result["done"] == list(range(total))
    assert house.job.progress == Progress(
        total, total, house.job.progress.current_batch, None, house.job.progress.done_at_ms
    )
    house.store.close()


def test_a_sentence_on_the_way_is_kept_as_progress(house: House) -> None:
    shown: list[dict[str, Any]] = []
    run = house.run()
    run._show = shown.append
    run.checkpoint("looking around")
    run.report(processed=3, total=9)
    assert shown[-1] == {"processed": 3, "total": 9, "current_batch": 0, "message": "looking around"}
    assert house.job.progress.message is None, "it is on disk with the next commit"
    run.commit()
    assert house.job.progress.message == "looking around"
