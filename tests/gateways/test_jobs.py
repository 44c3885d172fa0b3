"""Removal jobs through both adapters, over real HTTP, against the fake: what a job says is what was done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from runner.groups.accounts import own_account
from runner.groups.hearing import HearingRows, Limits
from runner.groups.member import MemberEntry
from runner.stores.group_schema import observations
from runner.stores.runs import RunRows
from runner.webhook import Sign
from tests.gateways.fake import FakeServer, control
from tests.unit.removals import DAY, NOW, WA_ID, Bench

ME, P_ME = "100000000000099@lid", "33100000099@s.whatsapp.net"
KINDS = ("evolution", "waha")


def lid(number: int) -> str:
    return f"1000000000000{number:02d}@lid"


def lids(*numbers: int) -> list[str]:
    return [lid(number) for number in numbers]


def behave(
    folder: Path,
    *,
    codes: dict[str, Any] | None = None,
    my_role: str = "admin",
    stale: bool = False,
    announce: bool = False,
    **more: Any,
) -> None:
    people = [{"lid": lid(number)} for number in range(1, 20)] + [{"lid": ME, "pn": P_ME, "role": my_role}]
    group = {"people": people, "codes": codes or {}, "stale": stale, "announce": announce}
    control(folder, **({"me": {"pn": P_ME}, "groups": {WA_ID: group}} | more))


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Eight who have been silent and eleven who have not, behind the fake. A call may take two seconds."""
    behave(tmp_path)
    with FakeServer(tmp_path) as fake:
        given = {
            "EVOLUTION_API_URL": fake.url,
            "EVOLUTION_API_KEY": "key-of-evolution",
            "EVOLUTION_INSTANCE_NAME": "p2",
        }
        if request.param == "waha":
            given = {"WAHA_URL": fake.url, "WAHA_API_KEY": "key-of-waha"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RUNNER_GATEWAY_CALL_SECONDS", "2")
        made = Bench(tmp_path, gateway=request.param)
        made.members(*(MemberEntry(lid=lid(n), name=f"M{n}", last_active_at=NOW - 60 * DAY + n) for n in range(1, 9)))
        made.members(*(MemberEntry(lid=lid(n), last_active_at=NOW - DAY) for n in range(9, 20)))
        made.observed()

        def renew() -> None:
            with made.store.write() as tx:
                RunRows(tx).renew_leases("here")

        made.on_wait = renew
        made.fake = fake  # type: ignore[attr-defined]
        yield made
        made.close()


def fake_of(bench: Bench) -> FakeServer:
    fake: FakeServer = bench.fake  # type: ignore[attr-defined]
    return fake


def ended(bench: Bench, status: str, **config: Any) -> dict[str, Any]:
    job_id = bench.start(batchSize=4, **config)
    assert bench.run(job_id) == status, bench.job(job_id).error
    fake = fake_of(bench)
    result = bench.result(job_id)
    assert result["removedWhatsappIds"] == fake.effects()
    assert len(set(fake.effects())) == len(fake.effects())
    assert fake.wrong() == []
    return result | {"error": bench.job(job_id).error, "waited": bench.time.passed}


def test_everybody_is_removed_and_booked_by_the_gateway(bench: Bench) -> None:
    result = ended(bench, "completed")
    assert (fake_of(bench).effects(), result["via"]) == (lids(*range(1, 9)), bench.gateway)
    assert {entry.via for entry in bench.history()} == {bench.gateway}
    assert bench.queue() == []


def test_a_dry_run_changes_nothing(bench: Bench) -> None:
    result = ended(bench, "completed", dryRun=True)
    assert len(result["wouldRemove"]) == 8
    assert fake_of(bench).calls("remove") == []


def test_each_keeps_their_own_outcome(bench: Bench) -> None:
    codes = {lid(1): "403", lid(2): "406", lid(3): ["429", "200"], lid(4): "404", lid(6): ["500", "429", "200"]}
    behave(bench.home, codes=codes)
    result = ended(bench, "completed")
    assert fake_of(bench).effects() == lids(5, 7, 8, 3, 6)
    assert [(one["id"], one["code"]) for one in result["refused"]] == [(lid(1), "403"), (lid(2), "406")]
    assert [one["id"] for one in result["alreadyGone"]] == [lid(4)]
    assert result["waited"] == 300 + 600 + 1200  # three batches in a row had somebody put off


@pytest.mark.parametrize("fault", ["hang_after", "reset_after", "empty_after", "garbage_after", "drip_after"])
def test_what_was_done_without_an_answer_is_found_by_a_listing(bench: Bench, fault: str) -> None:
    behave(bench.home, faults={"remove": {"1": fault}})
    ended(bench, "completed")
    assert fake_of(bench).effects() == lids(*range(1, 9))
    assert len(fake_of(bench).calls("remove")) == 2


def test_whom_a_stale_list_shows_after_the_call_is_found_removed_later(bench: Bench) -> None:
    behave(bench.home, faults={"remove": {"1": "reset_after"}}, stale=True)
    job_id = bench.start(batchSize=4)
    assert bench.run(job_id) == "completed", bench.job(job_id).error
    result = bench.result(job_id)
    assert result["removedWhatsappIds"] == lids(5, 6, 7, 8, 1, 2, 3, 4)
    assert "alreadyGone" not in result
    assert fake_of(bench).effects() == lids(*range(1, 9))
    assert [entry.outcome for entry in bench.history()] == ["SUCCESS"] * 8


@pytest.mark.parametrize("fault", ["hang", "reset", "empty", "502", "closed"])
def test_what_was_not_done_comes_again_once(bench: Bench, fault: str) -> None:
    behave(bench.home, faults={"remove": {"1": fault}})
    ended(bench, "completed")
    assert fake_of(bench).effects() == lids(5, 6, 7, 8, 1, 2, 3, 4)
    assert len(fake_of(bench).calls("remove")) == 3


@pytest.mark.parametrize("fault", ["text:Error: rate-overlimit", "flood", "http429"])
def test_a_gateway_that_asks_for_a_pause_gets_it(bench: Bench, fault: str) -> None:
    behave(bench.home, faults={"remove": {"1": fault}})
    assert ended(bench, "completed")["waited"] > 0
    assert fake_of(bench).effects() == lids(*range(1, 9))


def test_without_the_right_it_ends_at_once_in_plain_words(bench: Bench) -> None:
    behave(bench.home, my_role="member")
    result = ended(bench, "failed")
    assert "we are not an admin of this group" in result["error"]
    assert len(fake_of(bench).calls("remove")) == 1
    assert len(bench.queue()) == 8


def test_a_batch_of_people_whom_whatsapp_protects_is_not_taken_for_a_missing_right(bench: Bench) -> None:
    """Each is refused with their code, and the queue behind them goes on."""
    behave(bench.home, codes=dict.fromkeys(lids(1, 2, 3), "403") | {lid(4): "401"})
    result = ended(bench, "completed")
    assert fake_of(bench).effects() == lids(5, 6, 7, 8)
    assert [(one["id"], one["code"]) for one in result["refused"]] == [
        *((known, "403") for known in lids(1, 2, 3)),
        (lid(4), "401"),
    ]
    assert bench.queue() == []


def test_nobody_more_is_given_up_by_a_list_that_shows_us_as_an_admin_for_too_long(bench: Bench) -> None:
    """It may be stale. The second batch in a row that is refused as a whole stays in the queue."""
    behave(bench.home, codes=dict.fromkeys(lids(*range(1, 9)), "403"))
    job_id = bench.start(batchSize=4)
    assert bench.run(job_id) == "failed"
    error = str(bench.job(job_id).error)
    assert "none of 8 people" in error
    assert "make the number an admin" in error
    assert [one["id"] for one in bench.result(job_id)["refused"]] == lids(1, 2, 3, 4)
    assert [one.lid for one in bench.queue()] == lids(5, 6, 7, 8)
    assert len(fake_of(bench).calls("remove")) == 2


def test_a_few_who_are_protected_may_follow_one_another(bench: Bench) -> None:
    behave(bench.home, codes=dict.fromkeys(lids(1, 2, 3, 4), "403"))
    job_id = bench.start(batchSize=2)
    assert bench.run(job_id) == "completed"
    assert fake_of(bench).effects() == lids(5, 6, 7, 8)


def test_whose_want_it_is_waits_for_a_list_that_does_not_come_for_a_moment(bench: Bench) -> None:
    behave(bench.home, codes=dict.fromkeys(lids(1, 2, 3, 4), "403"), faults={"list": {"2": "http429"}})
    result = ended(bench, "completed")
    assert fake_of(bench).effects() == lids(5, 6, 7, 8)
    assert [one["id"] for one in result["refused"]] == lids(1, 2, 3, 4)
    assert result["waited"] >= 7


def test_where_nobody_can_tell_whether_we_are_an_admin_nobody_is_given_up(bench: Bench) -> None:
    behave(bench.home, codes=dict.fromkeys(lids(1, 2, 3, 4), "403"), me={})
    result = ended(bench, "failed")
    assert "whether we are an admin of this group cannot be told" in result["error"]
    assert "whitelist" in result["error"]
    assert len(fake_of(bench).calls("remove")) == 1
    assert (len(bench.queue()), bench.history()) == (8, [])


def test_silence_is_no_reason_where_only_admins_write(bench: Bench) -> None:
    behave(bench.home, announce=True)
    assert "Only admins write in this group" in ended(bench, "failed")["error"]
    assert (fake_of(bench).calls("remove"), bench.queue()) == ([], [])


def test_with_a_wrong_key_it_ends_at_once(bench: Bench) -> None:
    behave(bench.home, evolution={"key": "another"}, waha={"key": "another"})
    result = ended(bench, "failed")
    assert "does not take the key" in result["error"]
    assert "key-of" not in result["error"]
    assert fake_of(bench).calls("remove") == []


def test_an_engine_that_says_nothing_is_settled_by_listings(bench: Bench) -> None:
    behave(bench.home, waha={"engine": "WEBJS"})
    ended(bench, "completed")
    assert fake_of(bench).effects() == lids(*range(1, 9))


def test_a_list_without_us_stops_it_before_it_does_anything(bench: Bench) -> None:
    people = [{"lid": lid(number), "pn": f"331000000{number:02d}@s.whatsapp.net"} for number in range(1, 20)]
    control(bench.home, me={"pn": P_ME}, groups={WA_ID: {"people": people}})
    assert "we are not on it ourselves" in ended(bench, "failed")["error"]
    assert fake_of(bench).calls("remove") == []


@pytest.mark.parametrize("meanwhile", ["gone", "without us", "gone at the call"])
def test_a_group_we_are_not_in_is_watched_no_more(bench: Bench, meanwhile: str) -> None:
    """So that after we were added again nobody is silent who spoke while we were out."""
    account = own_account(bench.settings)
    assert account is not None
    with bench.store.write() as tx:
        hearing = HearingRows(tx, Limits.of(bench.settings))
        hearing.belongs(bench.group, account)
        hearing.event(account, Sign.TRAFFIC, of_group=True)
    if meanwhile == "gone":
        control(bench.home, me={"pn": P_ME}, groups={})
    elif meanwhile == "without us":
        control(bench.home, me={"pn": P_ME}, groups={WA_ID: {"people": [{"lid": lid(n)} for n in range(1, 20)]}})
        bench.members(MemberEntry(lid=ME, pn=P_ME, is_me=True))
    else:
        behave(bench.home, faults={"remove": {"*": "text:Error: item-not-found"}})
    assert bench.run(bench.start(options={"ignoreVotes": True}, batchSize=4)) == "failed"
    with bench.store.read() as tx:
        live = select(observations.c.live).where(observations.c.live)
        assert list(tx.connection.execute(live).scalars()) == []


FAILURES = [
    *(f"text:Error: {word}" for word in ("internal-server-error", "service-unavailable", "partial-server-error")),
    *("text:Error: feature-not-implemented", "408", "502", "closed"),
]


@pytest.mark.parametrize("fault", FAILURES)
def test_a_gateway_that_fails_as_a_whole_is_asked_again_after_a_pause(bench: Bench, fault: str) -> None:
    """As often as it takes, and nobody has a try less for it."""
    behave(bench.home, faults={"remove": {str(call): fault for call in (1, 2, 3, 5)}})
    result = ended(bench, "completed")
    assert sorted(fake_of(bench).effects()) == lids(*range(1, 9))
    assert "givenUp" not in result
    assert result["waited"] >= 300 + 600  # on a busy machine a call may have no answer instead
    assert {entry.outcome for entry in bench.history()} == {"SUCCESS"}


@pytest.mark.parametrize("fault", FAILURES)
def test_whom_it_removed_all_the_same_is_booked_and_not_asked_for_again(bench: Bench, fault: str) -> None:
    behave(bench.home, faults={"remove": {"1": f"{fault}_after"}})
    ended(bench, "completed")
    assert fake_of(bench).effects() == lids(*range(1, 9))
    assert len(fake_of(bench).calls("remove")) == 2


def test_whom_it_removed_while_its_list_lags_behind_is_booked_later(bench: Bench) -> None:
    behave(bench.home, faults={"remove": {"1": "text:Error: internal-server-error_after"}}, stale=True)
    job_id = bench.start(batchSize=4)
    assert bench.run(job_id) == "completed", bench.job(job_id).error
    assert sorted(bench.result(job_id)["removedWhatsappIds"]) == sorted(fake_of(bench).effects())
    assert "alreadyGone" not in bench.result(job_id)


def test_a_gateway_that_fails_for_an_hour_fails_the_job_and_everybody_stays_queued(bench: Bench) -> None:
    behave(bench.home, faults={"remove": {"*": "text:Error: internal-server-error"}})
    result = ended(bench, "failed")
    assert "the gateway failed (" in result["error"]
    assert "internal-server-error" in result["error"]
    assert 3600 <= result["waited"] < 4200
    assert [(entry.lid, entry.tries) for entry in sorted(bench.queue(), key=lambda one: str(one.lid))] == [
        (known, 0) for known in lids(*range(1, 9))
    ]
    assert bench.history() == []


def test_a_pause_after_a_failure_shows_on_the_job(bench: Bench) -> None:
    seen: list[str] = []

    def look() -> None:
        with bench.store.write() as tx:
            RunRows(tx).renew_leases("here")
        seen.extend(str(job.waiting["reason"]) for job in [bench.job(job_id)] if job.waiting)

    behave(bench.home, faults={"remove": {"1": "text:Error: service-unavailable"}})
    job_id = bench.start(batchSize=4)
    bench.on_wait = look
    assert bench.run(job_id) == "completed"
    assert any("service-unavailable" in reason and "next try" in reason for reason in seen), seen


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_gateway_that_is_away_is_waited_for(bench: Bench, dry_run: bool) -> None:
    behave(bench.home, faults={"list": {str(call): "502" for call in range(1, 13)}})
    result = ended(bench, "completed", dryRun=dry_run)
    assert result["waited"] > 16


def test_a_gateway_that_stays_away_for_an_hour_fails_the_job(bench: Bench) -> None:
    behave(bench.home, faults={"list": {"*": "502"}})
    result = ended(bench, "failed", dryRun=True)
    assert 3600 <= result["waited"] < 3700
