"""That we are not in the group ends a job, and what is heard there, only when it is said again after a wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from runner.errors import StoreUnavailable
from runner.gateway import GatewayError, GroupGone, Listing, NotConnected, Outcome, RateLimited
from runner.groups.hearing import HearingRows, Limits
from runner.stores.group_schema import observations
from runner.webhook import Sign
from tests.gateways.slow import SlowGateway, configure, removed_ids
from tests.unit.removals import Bench, lids

ACCOUNT = "slow/us"
GONE = GroupGone("we are not in the group any more")
Said = Callable[[Listing], Listing] | GatewayError


def without_us(listing: Listing) -> Listing:
    return replace(listing, lacks_us=True)


def cut_without_us(listing: Listing) -> Listing:
    """As a gateway that has not read all of it yet."""
    return replace(listing, participants=listing.participants[:2], size=None, lacks_us=True)


def whole(listing: Listing) -> Listing:
    return listing


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Twelve who have been silent, in a group that is heard by events."""
    made = Bench(tmp_path, gateway="tests.gateways.slow:open_slow")
    configure(tmp_path, call_ms=0)
    made.silent(12)
    made.observed()
    monkeypatch.setattr("runner.groups.absence.own_account", lambda _settings: ACCOUNT)
    with made.store.write() as tx:
        hearing = HearingRows(tx, Limits.of(made.settings))
        hearing.belongs(made.group, ACCOUNT)
        hearing.event(ACCOUNT, Sign.TRAFFIC, of_group=True)
    yield made
    made.close()


def is_heard(bench: Bench) -> bool:
    with bench.store.read() as tx:
        return bool(tx.connection.execute(select(observations.c.live).where(observations.c.live)).scalars().all())


def lists(monkeypatch: pytest.MonkeyPatch, *said: Said) -> list[Said]:
    """What the gateway lists next; then true lists. Returned is what was not asked for."""
    left = list(said)
    true_list = SlowGateway.list_group

    def list_group(gateway: SlowGateway, wa_id: str) -> Listing:
        one = left.pop(0) if left else whole
        if isinstance(one, GatewayError):
            raise one
        return one(true_list(gateway, wa_id))

    monkeypatch.setattr(SlowGateway, "list_group", list_group)
    return left


def calls(monkeypatch: pytest.MonkeyPatch, *errors: Exception, done: bool = False) -> list[Sequence[str]]:
    """The first calls raise these, ``done`` or not; returned is who was asked for, call by call."""
    left, asked = list(errors), list[Sequence[str]]()
    true_remove = SlowGateway.remove

    def remove(gateway: SlowGateway, wa_id: str, ids: Sequence[str], seconds_left: Any) -> dict[str, Outcome]:
        asked.append(ids)
        if not left:
            return true_remove(gateway, wa_id, ids, seconds_left)
        if done:
            true_remove(gateway, wa_id, ids, seconds_left)
        raise left.pop(0)

    monkeypatch.setattr(SlowGateway, "remove", remove)
    return asked


@pytest.mark.parametrize("said", [GONE, without_us], ids=["gone", "without us"])
def test_said_once_of_a_group_it_is_not_believed(slow: Bench, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    left = lists(monkeypatch, said, whole, whole, said)
    assert slow.done(batchSize=12)["removedWhatsappIds"] == lids(range(1, 13))
    assert (is_heard(slow), len(left)) == (True, 1)
    assert slow.time.passed == 30


@pytest.mark.parametrize("said", [GONE, without_us], ids=["gone", "without us"])
def test_said_again_after_a_visible_wait_it_is(slow: Bench, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    left = lists(monkeypatch, said, said, said)
    job_id = slow.start()
    waiting: list[str] = []
    slow.on_wait = lambda: waiting.append(str((slow.job(job_id).waiting or {}).get("reason")))
    assert slow.run(job_id) == "failed"
    assert "not in the group any more" in (error := str(slow.job(job_id).error)) or "no longer in the group" in error
    assert (is_heard(slow), len(left), removed_ids(slow.home)) == (False, 1, [])
    assert "in the group" in waiting[0]


@pytest.mark.parametrize("between", [NotConnected("not connected"), cut_without_us], ids=["error", "cut"])
def test_not_in_a_row_it_is_not_believed(slow: Bench, monkeypatch: pytest.MonkeyPatch, between: Said) -> None:
    lists(monkeypatch, GONE, between, GONE)
    job_id = slow.start()
    ended = slow.run(job_id)
    assert ended == ("completed" if isinstance(between, NotConnected) else "failed")
    assert is_heard(slow)


def test_a_stop_ends_the_wait(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists(monkeypatch, *[GONE] * 9)
    job_id = slow.start()
    slow.on_wait = slow.bell.ring
    assert slow.run(job_id) == "stopped"
    assert is_heard(slow)


def test_a_list_that_is_cut_short_does_not_say_that_we_are_out(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lacks most of our members, and so it may lack us too."""
    lists(monkeypatch, *[cut_without_us] * 9)
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert "it has 2 people where we know of 12" in str(slow.job(job_id).error)
    assert is_heard(slow)


def test_said_at_a_call_the_list_is_looked_at_before_another(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = calls(monkeypatch, GONE)
    assert slow.done(batchSize=12)["removedWhatsappIds"] == lids(range(1, 13))
    assert (is_heard(slow), asked) == (True, [lids(range(1, 13))] * 2)
    assert slow.time.passed == 30


def test_said_at_a_call_and_by_the_list_it_is_believed(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists(monkeypatch, whole, without_us, without_us)
    asked = calls(monkeypatch, GONE)
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert (is_heard(slow), len(asked), len(slow.queue())) == (False, 1, 12)


def test_said_at_two_calls_it_is_believed_whatever_the_list_shows(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = calls(monkeypatch, *[GONE] * 9)
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert str(GONE) in str(slow.job(job_id).error)
    assert (is_heard(slow), len(asked), len(slow.queue())) == (False, 2, 12)


def test_said_again_at_a_call_after_hours_it_is_said_once(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = calls(monkeypatch, GONE, RateLimited("slow down", after_seconds=1000), GONE)
    assert slow.done(batchSize=12)["removedWhatsappIds"] == lids(range(1, 13))
    assert (is_heard(slow), len(asked)) == (True, 4)


def test_said_at_every_call_it_is_believed_however_far_apart_they_are(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = calls(monkeypatch, *[GONE] * 9)

    def wait_long(_pacing: object, _people: int) -> None:
        slow.time.passed += 1000

    monkeypatch.setattr("runner.groups.pacing.Pacing.wait", wait_long)
    job_id = slow.start()
    assert slow.run(job_id) == "failed"
    assert (is_heard(slow), len(asked), len(slow.queue())) == (False, 3, 12)


@pytest.mark.parametrize("said", [GONE, without_us], ids=["gone", "without us"])
def test_said_by_the_last_look_before_a_call(slow: Bench, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    """After a call that was put off, when the list is looked at within the time of the next try."""
    lists(monkeypatch, whole, said)
    asked = calls(monkeypatch, NotConnected("not connected"))
    assert slow.done(batchSize=12)["removedWhatsappIds"] == lids(range(1, 13))
    assert (is_heard(slow), len(asked)) == (True, 2)


def test_a_call_after_which_a_gateway_lost_its_store_is_not_made_again(
    slow: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway of the user's own is given the store too; what it did before nobody knows, so a list must say it."""
    asked = calls(monkeypatch, StoreUnavailable("the database is locked"), done=True)
    result = slow.done()
    assert asked == [lids(range(1, 6)), lids(range(6, 11)), lids((11, 12))]
    assert sorted(result["removedWhatsappIds"]) == sorted(removed_ids(slow.home)) == lids(range(1, 13))
