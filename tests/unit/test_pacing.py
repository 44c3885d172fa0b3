"""Jobs that keep a pace, in virtual time on a real database; and how they wait when the gateway says slow down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.errors import InvalidFields
from runner.gateway import Outcome, OutcomeKind
from runner.groups.booking import in_words
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.pace import HOUR_MS
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.starting import StartRequest, write_start
from runner.stores.jobs import JobRows
from runner.workflow import find_workflow
from tests.gateways.slow import configure, effects, removed_ids
from tests.unit.removals import DAY, NOW, WA_ID, Bench, lid, lids

SLOW = "tests.gateways.slow:open_slow"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Opens a bench whose people have been silent, with settings of its own."""
    made: list[Bench] = []

    def opened(count: int = 12, gateway: str = SLOW, **given: Any) -> Bench:
        home = tmp_path / str(len(made))
        bench = Bench(home, gateway=gateway, given=given)
        configure(home, call_ms=0)
        bench.silent(count)
        bench.observed(NOW - 100 * DAY, NOW + 100 * DAY)
        made.append(bench)
        return bench

    yield opened
    for bench in made:
        bench.close()


def waits(bench: Bench, job_id: str) -> list[str]:
    """Every reason the job gives for waiting, from now on."""
    said: list[str] = []

    def look() -> None:
        waiting = bench.job(job_id).waiting
        if waiting is not None and waiting["reason"] not in said[-1:]:
            said.append(waiting["reason"])

    bench.on_wait = look
    return said


# -- the pace ----------------------------------------------------------------------------------------------------


def test_1000_people_5_a_batch_10_seconds_take_33_minutes(make: Callable[..., Bench]) -> None:
    """The seed's figure: 200 batches, 199 delays."""
    bench = make(1000, gateway="roster")
    assert len(bench.done(delayMs=10_000)["removedWhatsappIds"]) == 1000
    assert bench.time.passed == 199 * 10
    assert round(bench.time.passed / 60) == 33


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 10.0), (0.5, 11.5), (0.999, 12.997)])
def test_jitter_comes_on_top_of_the_delay(make: Callable[..., Bench], chance: float, delay: float) -> None:
    bench = make(gateway="roster", pace_jitter=0.3)
    bench.chance = chance
    bench.done(delayMs=10_000)
    assert bench.time.passed == pytest.approx(2 * delay)


def test_a_cap_an_hour_is_kept_and_waited_for_visibly(make: Callable[..., Bench]) -> None:
    bench = make(12, pace_group_per_hour=5)
    job_id = bench.start(batchSize=5)
    said = waits(bench, job_id)
    assert bench.run(job_id) == "completed", bench.job(job_id).error
    assert bench.time.passed == pytest.approx(7200)
    assert said == [
        f"No more than 5 people an hour in this group are removed; next try {at} UTC" for at in ("16:06", "17:06")
    ]
    assert bench.result(job_id)["pacing"] == {"groupPerHour": 5}
    assert bench.job(job_id).waiting is None


def test_the_next_job_does_not_begin_anew(make: Callable[..., Bench]) -> None:
    """Stopped and retried, or another job: what was asked for in the last hour counts."""
    bench = make(12, pace_group_per_hour=6)
    first = bench.start(batchSize=5)
    bench.on_wait = bench.bell.ring
    assert bench.run(first) == "stopped"
    assert removed_ids(bench.home) == lids(range(1, 6))
    bench.new_bell()
    bench.on_wait = lambda: None
    assert bench.run_again(first) == "completed"
    assert bench.time.passed == pytest.approx(2 * HOUR_MS / 1000)


def test_what_has_no_answer_counts_as_asked_for(make: Callable[..., Bench]) -> None:
    bench = make(5, pace_group_per_hour=5)
    configure(bench.home, call_ms=0, calls={"1": "lost"})
    bench.done()
    assert removed_ids(bench.home) == lids(range(1, 6))
    assert bench.time.passed >= 3600


def test_what_was_not_sent_does_not_count(make: Callable[..., Bench]) -> None:
    bench = make(5, pace_group_per_hour=5)
    configure(bench.home, call_ms=0, calls={"1": "not_connected", "2": "not_connected"})
    bench.done()
    assert bench.time.passed == 3


def test_the_account_is_capped_over_all_groups(make: Callable[..., Bench]) -> None:
    bench = make(5, gateway="roster", pace_account_per_hour=5)
    bench.done()
    with bench.store.write() as tx:
        other = GroupRows(tx).create("1203630000000001@g.us", "another")
        person = MemberRows(tx).put(other, _entry(99), NOW - 400 * DAY)
        QueueRows(tx).add(other, [person], "asked to leave")
    second = bench.start("removal_queue", groupWaId=other.wa_id)
    assert bench.run(second) == "completed"
    assert bench.time.passed == pytest.approx(3600)


def test_two_jobs_at_once_keep_the_cap_together(make: Callable[..., Bench]) -> None:
    """Between a job's look and its intent another group's job asks for people: it is too soon, and it waits again."""
    bench = make(5, gateway="roster", pace_account_per_hour=5)
    job_id = bench.start()
    with bench.store.write() as tx:
        other = GroupRows(tx).create("1203630000000001@g.us", "another")
        person = MemberRows(tx).put(other, _entry(99), NOW - 400 * DAY)
        QueueRows(tx).add(other, [person], "asked to leave")
    theirs = bench.start("removal_queue", groupWaId=other.wa_id)
    context = bench.context(job_id)
    ask = context.ledger.intend
    turns: list[str] = []

    def intend(*arguments: Any) -> None:
        if not turns:
            turns.append(bench.run(theirs))
        ask(*arguments)

    context.ledger.intend = intend  # type: ignore[method-assign, assignment]
    workflow = find_workflow("removal_workflow")
    assert workflow is not None
    workflow.run(context, workflow.config.from_wire(bench.job(job_id).config))
    assert turns == ["completed"]
    assert bench.time.passed == pytest.approx(3600)
    assert len(bench.history()) == 5


def test_hours_are_kept(make: Callable[..., Bench]) -> None:
    """It is 15:06:40 UTC."""
    bench = make(pace_hours="09:00-15:00", pace_time_zone="UTC")
    job_id = bench.start()
    said = waits(bench, job_id)
    assert bench.run(job_id) == "completed"
    assert bench.clock.now_ms() == NOW + (((9 - 15) * 60 - 6) * 60_000 - 40_000) + DAY
    assert said == ["People are removed between 09:00-15:00 (UTC) only; next try 16 Jun 09:00 UTC"]


def test_a_stop_wakes_it_at_once(make: Callable[..., Bench]) -> None:
    bench = make(pace_hours="09:00-15:00", pace_time_zone="UTC")
    job_id = bench.start()
    bench.on_wait = bench.bell.ring
    assert bench.run(job_id) == "stopped"
    assert effects(bench.home) == []
    assert bench.open_ids(job_id) == []


def test_who_speaks_during_the_wait_is_spared(make: Callable[..., Bench]) -> None:
    bench = make(10, pace_group_per_hour=5)
    bench.on_wait = lambda: bench.members(_entry(7, last_active_at=NOW + 60_000))
    result = bench.done()
    assert lid(7) not in result["removedWhatsappIds"]
    assert len(result["removedWhatsappIds"]) == 9


def test_whose_rows_become_one_during_the_wait_is_still_asked_for(make: Callable[..., Bench]) -> None:
    bench = make(6, pace_group_per_hour=5)

    def join() -> None:
        with bench.store.write() as tx:
            mine = PersonRows(tx).find(lid(6))
            other = PersonRows(tx).resolve("777@lid", None)
            if mine is not None and mine.id != other:
                PersonRows(tx).merge(other, mine.id)

    bench.on_wait = join
    assert bench.done()["removedWhatsappIds"] == [*lids(range(1, 6)), "777@lid"]


def test_a_dry_run_asks_for_nobody_and_waits_for_no_cap(make: Callable[..., Bench]) -> None:
    bench = make(12, pace_group_per_hour=5, pace_hours="09:00-15:00", pace_time_zone="UTC")
    assert len(bench.done(dryRun=True, delayMs=10_000)["wouldRemove"]) == 12
    assert bench.time.passed == 20


def test_the_estimate_counts_caps(make: Callable[..., Bench]) -> None:
    bench = make(1000, gateway="roster", pace_group_per_day=200)
    job_id = bench.start(batchSize=200)
    bench.on_wait = bench.bell.ring
    assert bench.run(job_id) == "stopped"
    done_at = bench.job(job_id).progress.done_at_ms
    assert done_at is not None
    assert (done_at - NOW) / DAY == pytest.approx(4, abs=0.1)


def _entry(number: int, **said: Any) -> MemberEntry:
    return MemberEntry(lid=lid(number), **said)


def test_a_batch_above_a_cap_is_refused(make: Callable[..., Bench]) -> None:
    bench = make(pace_group_per_hour=50, pace_account_per_hour=4)
    workflow = find_workflow("removal_queue")
    assert workflow is not None
    assert workflow.check is not None
    config = workflow.config.model_validate({"groupWaId": WA_ID, "batchSize": 5, "delayMs": 0, "dryRun": False})
    with pytest.raises(InvalidFields) as raised:
        workflow.check(config, bench.settings)
    assert [(fault.field, fault.message) for fault in raised.value.faults] == [
        ("batchSize", "batchSize must be at most 4 (RUNNER_PACE_ACCOUNT_PER_HOUR)")
    ]


@pytest.mark.parametrize(
    ("people", "seconds", "words"),
    [(1001, 432_000, "1001 people, at this pace 5 days"), (1, 0, "1 person, at this pace 1 second")],
)
def test_a_start_says_how_long_it_will_take(make: Callable[..., Bench], people: int, seconds: int, words: str) -> None:
    bench = make(people, gateway="roster", pace_group_per_day=200)
    workflow = find_workflow("removal_workflow")
    assert workflow is not None
    given = {"groupWaId": WA_ID, "batchSize": 5, "delayMs": 10_000, "dryRun": False, "inactivityWindowMs": 30 * DAY}
    request = StartRequest(workflow, workflow.config.model_validate(given), None, "a test")
    with bench.store.write() as tx:
        job_id = write_start(request, bench.settings, tx)
        said = JobRows(tx).get(job_id).result
    assert said["pacing"] == {"groupPerDay": 200}
    assert said["estimate"] == {"seconds": seconds, "words": words}


# -- slow down ---------------------------------------------------------------------------------------------------


def test_slow_down_is_waited_for_visibly(make: Callable[..., Bench]) -> None:
    bench = make()
    configure(bench.home, call_ms=0, calls={"1": "rate_limited", "2": "rate_limited"})
    job_id = bench.start()
    said = waits(bench, job_id)
    assert bench.run(job_id) == "completed"
    assert [reason.split("; ")[0] for reason in said] == ["slow down"] * 2
    assert sorted(removed_ids(bench.home)) == sorted(lids(range(1, 13)))


def test_slow_down_is_not_waited_for_without_end(make: Callable[..., Bench]) -> None:
    bench = make()
    configure(bench.home, call_ms=0, calls={str(call): "rate_limited" for call in range(1, 20)})
    job_id = bench.start()
    assert bench.run(job_id) == "failed"
    error = str(bench.job(job_id).error)
    assert error.startswith("slow down. That was so after a wait of an hour too")
    assert error.endswith("then retry the job: it goes on where it stopped")
    assert sum(line["event"] == "begin" for line in effects(bench.home)) == 6
    assert bench.open_ids(job_id) == []
    assert len(bench.queue()) == 12


def test_whom_the_gateway_puts_off_comes_again_and_the_others_are_booked(make: Callable[..., Bench]) -> None:
    """Twice in a row, which costs them no try; the job waits five minutes, and then ten."""
    bench = make(7)
    configure(bench.home, call_ms=0, later={"1": [lid(2), lid(4)], "2": [lid(2)]})
    job_id = bench.start()
    said = waits(bench, job_id)
    assert bench.run(job_id) == "completed", bench.job(job_id).error
    assert removed_ids(bench.home) == lids((1, 3, 5, 6, 7, 4, 2))
    assert bench.result(job_id)["removedWhatsappIds"] == lids((1, 3, 5, 6, 7, 4, 2))
    assert bench.time.passed == 300 + 600
    assert [reason.split("; ")[0] for reason in said] == ["slow down (429)"] * 2
    assert (bench.job(job_id).progress.processed, bench.job(job_id).progress.total) == (7, 7)
    assert [one.outcome for one in bench.history()] == ["SUCCESS"] * 7


def test_somebody_put_off_again_and_again_ends_the_job(make: Callable[..., Bench]) -> None:
    bench = make(1)
    configure(bench.home, call_ms=0, later={str(call): [lid(1)] for call in range(1, 20)})
    job_id = bench.start()
    assert bench.run(job_id) == "failed"
    assert bench.time.passed == 300 + 600 + 1200 + 2400 + 3600
    assert "That was so after a wait of an hour too" in str(bench.job(job_id).error)
    assert [entry.tries for entry in bench.queue()] == [0]


def test_whoever_was_taken_out_of_the_queue_while_put_off_does_not_come_again(make: Callable[..., Bench]) -> None:
    bench = make(2)
    configure(bench.home, call_ms=0, later={"1": [lid(2)]})

    def take_out() -> None:
        with bench.store.write() as tx:
            QueueRows(tx).clear(bench.group)

    bench.on_wait = take_out
    assert bench.done()["removedWhatsappIds"] == [lid(1)]
    assert removed_ids(bench.home) == [lid(1)]


def test_a_refusal_without_words_is_told_in_words() -> None:
    def said(code: str | None) -> str | None:
        return in_words(Outcome(OutcomeKind.REFUSED, code))

    assert said("406") == "WhatsApp lets nobody remove this person, as with the creator of a group"
    assert said("999") == said(None) == "WhatsApp did not remove this person, and did not say why"
