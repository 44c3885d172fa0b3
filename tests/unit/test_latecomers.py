"""After a short outage a removal waits for what the gateway has still to send again of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, update

from runner.groups.hearing import HearingRows, Limits
from runner.groups.member import MemberEntry
from runner.groups.queue import QueueRows
from runner.stores.group_schema import observations, webhook_accounts
from runner.stores.runs import RunRows
from runner.webhook import Sign
from tests.gateways.slow import configure, removed_ids
from tests.unit.removals import DAY, NOW, Bench, lid, lids

SLOW = "tests.gateways.slow:open_slow"
EVOLUTION, WAHA = "evolution/p2", "waha/default"
WHY = "events of a time when this server was away or the gateway not connected may still come; next try"


class Heard:
    """A group whose silence rests on events, too, and a server that is there while the job waits."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.waits: list[str] = []
        self.job_id = ""
        self.meanwhile: Callable[[], None] = lambda: None
        self.is_away = False
        bench.on_wait = self._while_it_waits
        configure(bench.home, call_ms=0)

    def event(self, account: str = EVOLUTION, sign: Sign = Sign.TRAFFIC, *, of_group: bool = True) -> None:
        with self.bench.store.write() as tx:
            hearing = HearingRows(tx, Limits.of(self.bench.settings))
            hearing.belongs(self.bench.group, account, surely=True)
            hearing.event(account, sign, of_group=of_group)

    def beat(self) -> None:
        with self.bench.store.write() as tx:
            HearingRows(tx, Limits.of(self.bench.settings)).beat()

    def look(self, is_open: bool, account: str = EVOLUTION) -> None:
        with self.bench.store.write() as tx:
            HearingRows(tx, Limits.of(self.bench.settings)).look(account, is_open)

    def run(self, type_name: str = "removal_workflow", **config: Any) -> str:
        self.begin(type_name, **config)
        return self.bench.run(self.job_id)

    def begin(self, type_name: str = "removal_workflow", **config: Any) -> None:
        by_silence = type_name == "removal_workflow"  # whether polls were seen is no matter here
        self.job_id = self.bench.start(type_name, {"ignoreVotes": True} if by_silence else None, **config)

    def _while_it_waits(self) -> None:
        waiting = self.bench.job(self.job_id).waiting
        if waiting is not None:
            self.waits.append(f"{waiting['kind']}: {waiting['reason']}")
        if not self.is_away:  # it beats every five seconds
            with self.bench.store.write() as tx:
                RunRows(tx).renew_leases("here")
                tx.connection.execute(update(webhook_accounts).values(alive_at=tx.now))
        self.meanwhile()


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    bench = Bench(tmp_path, gateway=SLOW)
    bench.silent(3)
    bench.observed()
    yield Heard(bench)
    bench.close()


def _server_was_away(heard: Heard, account: str) -> None:
    heard.bench.time.passed += 40 if account == EVOLUTION else 15
    heard.beat()


def _server_is_back_by_an_event(heard: Heard, account: str) -> None:
    heard.bench.time.passed += 40 if account == EVOLUTION else 15
    heard.event(account, of_group=False)


def _connection_was_down(heard: Heard, account: str) -> None:
    for sign in (Sign.CLOSED, Sign.OPENED):
        heard.event(account, sign, of_group=False)


def _connection_was_made_anew(heard: Heard, account: str) -> None:
    heard.event(account, Sign.OPENED, of_group=False)


def _gateway_was_not_reached(heard: Heard, account: str) -> None:
    heard.look(False, account)
    heard.look(True, account)


OUTAGES = [
    _server_was_away,
    _server_is_back_by_an_event,
    _connection_was_down,
    _connection_was_made_anew,
    _gateway_was_not_reached,
]


@pytest.mark.parametrize(("account", "seconds"), [(EVOLUTION, 400), (WAHA, 60)])
@pytest.mark.parametrize("outage", OUTAGES)
def test_a_removal_waits_visibly_and_goes_on(
    heard: Heard, outage: Callable[[Heard, str], None], account: str, seconds: int
) -> None:
    heard.event(account)
    outage(heard, account)
    before = heard.bench.time.passed
    assert heard.run() == "completed"
    assert heard.bench.time.passed == before + seconds
    assert [said.startswith(f"events: {WHY}") for said in heard.waits] == [True]
    assert removed_ids(heard.bench.home) == lids([1, 2, 3])


def test_whoever_spoke_in_the_outage_is_left_when_it_is_told_late(heard: Heard) -> None:
    heard.event()
    _server_was_away(heard, EVOLUTION)
    heard.meanwhile = lambda: heard.bench.members(MemberEntry(lid=lid(2), last_active_at=NOW))
    assert heard.run() == "completed"
    assert removed_ids(heard.bench.home) == lids([1, 3])


def test_while_the_outage_is_under_way_it_waits_and_over_a_gap_nobody_is_removed(heard: Heard) -> None:
    heard.event()
    with heard.bench.store.write() as tx:  # no export, which might be of yesterday, but events alone
        rows = observations.c
        tx.connection.execute(delete(observations).where(rows.live.is_(None)))
        tx.connection.execute(update(observations).values(from_ms=NOW - 100 * DAY))
    heard.begin()
    heard.event(sign=Sign.CLOSED, of_group=False)
    assert heard.bench.run(heard.job_id) == "completed"
    assert len(heard.waits) == 2  # more than ten minutes
    assert removed_ids(heard.bench.home) == []
    skipped = heard.bench.result(heard.job_id)["skipped"]
    assert {one["reason"] for one in skipped} == {"activity is not known for the whole window; stays in the queue"}


def test_a_server_that_is_away_now_is_waited_for(heard: Heard) -> None:
    """As after the machine was suspended: the job wakes first."""
    heard.event()
    heard.bench.time.passed += 40
    assert heard.run() == "completed"
    assert len(heard.waits) == 1
    assert removed_ids(heard.bench.home) == lids([1, 2, 3])


def test_an_outage_between_the_judgement_and_the_call_is_waited_for(heard: Heard) -> None:
    """The call is not made, and they are judged again after it."""
    heard.event()
    stamped: list[str] = []

    def suspend(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE batches SET called_at") and not stamped:
            heard.bench.time.passed += 40
            stamped.append(statement)

    event.listen(heard.bench.store.engine, "before_cursor_execute", suspend)
    assert heard.run() == "completed"
    assert len(stamped) == 1
    assert [said.startswith(f"events: {WHY}") for said in heard.waits] == [True]
    assert removed_ids(heard.bench.home) == lids([1, 2, 3])


@pytest.mark.parametrize("case", ["by hand", "dry run", "no events", "long ago", "a moment"])
def test_without_need_nobody_waits(heard: Heard, case: str) -> None:
    if case != "no events":
        heard.event()
    if case in ("by hand", "dry run", "long ago"):
        _server_was_away(heard, EVOLUTION)
    if case == "long ago":
        for _ in range(80):
            heard.bench.time.passed += 5
            heard.beat()
    if case == "a moment":
        heard.bench.time.passed += 29
        heard.beat()
    if case == "by hand":
        with heard.bench.store.write() as tx:
            QueueRows(tx).add(heard.bench.group, [heard.bench.person(1)], "by hand")
        assert heard.run("removal_queue") == "completed"
        assert removed_ids(heard.bench.home) == [lid(1)]
    else:
        assert heard.run(dryRun=case == "dry run") == "completed"
        assert removed_ids(heard.bench.home) == ([] if case == "dry run" else lids([1, 2, 3]))
    assert heard.waits == []


def test_a_cancel_ends_the_wait_at_once(heard: Heard) -> None:
    heard.event()
    _server_was_away(heard, EVOLUTION)
    heard.meanwhile = heard.bench.bell.ring
    assert heard.run() == "stopped"
    assert removed_ids(heard.bench.home) == []
