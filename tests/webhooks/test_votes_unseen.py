"""Whoever only votes looks silent where votes do not come: then a real run by silence needs to be told to go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from runner.errors import InvalidFields, UnmatchedAuthors, VotesUnseen
from runner.gateway import Software
from runner.groups.group import GroupRows
from runner.groups.hearing import SOURCE
from runner.groups.incoming import Incoming
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.groups.versions import VersionRows
from runner.groups.votes import PollRows
from runner.stores.group_schema import groups, observations, webhook_accounts
from runner.webhooks import evolution
from tests.gateways.fake import Happenings
from tests.unit.removals import DAY, NOW, WA_ID, Bench
from tests.webhooks.kept import LIMITS

ACCOUNT = "evolution/p2"
OLD, NEW = Software("Evolution 2.3.6", False), Software("Evolution 2.3.7", True)
FLAG = {"ignoreVotes": True}


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    made.ignores_votes = False
    made.silent(2)
    yield made
    made.close()


def heard(bench: Bench, days: int, software: Software | None, *, asked: bool = True) -> None:
    """The group is heard by an account for so many days, and goes on."""
    with bench.store.write() as tx:
        tx.connection.execute(update(groups).values(account=ACCOUNT))
        row = {"from_ms": NOW - days * DAY, "to_ms": NOW, "source": SOURCE + ACCOUNT, "live": True}
        tx.connection.execute(insert(observations).values(group_id=bench.group.id, **row))
        later = NOW + 60 * DAY
        times = dict.fromkeys(("heard_at", "open_at", "alive_at", "extended_at", "group_heard_at", "breaks_at"), later)
        tx.connection.execute(insert(webhook_accounts).values(account=ACCOUNT, **times))
        if asked:
            VersionRows(tx).note(ACCOUNT, software)


def poll(bench: Bench, days_ago: int) -> None:
    with bench.store.write() as tx:
        PollRows(tx).saw(bench.group, NOW - days_ago * DAY)


def refusal(bench: Bench, type_name: str = "removal_workflow", options: Any = None, **config: Any) -> str:
    with pytest.raises(VotesUnseen) as error:
        bench.start(type_name, options, **config)
    return str(error.value)


@pytest.mark.parametrize("days_ago", [1, 29, 31, 119])
def test_a_poll_in_the_window_or_in_the_90_days_before_it_stops_a_real_run(bench: Bench, days_ago: int) -> None:
    heard(bench, 200, OLD)
    poll(bench, days_ago)
    said = refusal(bench)
    assert "Votes in polls do not come from this gateway (Evolution 2.3.6), and there was a poll on 2025-" in said
    assert '"ignoreVotes": true' in said
    assert len(bench.done(options=FLAG)["removed"]) == 2


def test_a_poll_of_long_before_and_a_group_watched_all_the_time_stop_nothing(bench: Bench) -> None:
    heard(bench, 200, OLD)
    poll(bench, 121)
    assert len(bench.done()["removed"]) == 2


def test_a_time_before_the_window_that_nobody_watched_may_have_had_a_poll(bench: Bench) -> None:
    heard(bench, 119, OLD)
    assert "the 90 days before the window were not watched whole" in refusal(bench)
    bench.done(options=FLAG)


@pytest.mark.parametrize("asked", [True, False])
def test_a_version_that_cannot_be_asked_shows_no_votes(bench: Bench, asked: bool) -> None:
    heard(bench, 200, None, asked=asked)
    poll(bench, 1)
    assert "of a version that could not be asked" in refusal(bench)


def test_where_votes_come_a_poll_stops_nothing_and_a_dry_run_says_nothing(bench: Bench) -> None:
    heard(bench, 200, NEW)
    poll(bench, 1)
    assert "warnings" not in bench.done(dryRun=True) or "votes" not in str(bench.done(dryRun=True)["warnings"])
    assert len(bench.done()["removed"]) == 2


def test_an_update_brings_no_votes_of_the_time_before_it(bench: Bench) -> None:
    heard(bench, 200, OLD)
    with bench.store.write() as tx:
        VersionRows(tx).note(ACCOUNT, NEW)
    poll(bench, 20)
    assert "Not all votes in polls were told by Evolution 2.3.7 before 2025-" in refusal(bench)
    bench.time.passed = 31 * 86_400
    bench.start()


def test_a_gateway_that_is_away_for_a_moment_and_back_has_told_votes_all_the_time(bench: Bench) -> None:
    heard(bench, 200, NEW)
    for software in (None, NEW):
        with bench.store.write() as tx:
            VersionRows(tx).note(ACCOUNT, software)
    poll(bench, 20)
    bench.start()


def test_no_export_says_who_voted_so_a_poll_in_one_stops_a_real_run(bench: Bench) -> None:
    bench.observed()
    bench.done(dryRun=True)
    poll(bench, 40)
    assert refusal(bench).startswith("Who voted in a poll is in no chat export, and there was a poll on ")
    (said,) = [one for one in bench.done(dryRun=True)["warnings"] if "poll" in one]
    assert "whoever only votes looks silent, and a real run is refused without --ignore-votes" in said
    bench.start(options=FLAG)


def test_without_a_poll_exports_alone_are_enough(bench: Bench) -> None:
    bench.observed(NOW - 40 * DAY)
    assert len(bench.done()["removed"]) == 2


def test_what_a_gateway_heard_with_votes_and_an_export_before_it(bench: Bench) -> None:
    """The export has no votes; the rest of the window has."""
    bench.observed(NOW - 100 * DAY, NOW - 9 * DAY)
    heard(bench, 10, NEW)
    bench.start(dryRun=True)
    poll(bench, 60)
    assert "no chat export has them" in refusal(bench)


def test_a_queue_by_hand_is_worked_off_and_one_by_silence_is_not(bench: Bench) -> None:
    heard(bench, 200, OLD)
    poll(bench, 3)
    bench.done("removal_queue")
    with bench.store.write() as tx:
        QueueRows(tx).sync(GroupRows(tx).get(WA_ID), 30 * DAY, NOW, DAY)
    refusal(bench, "removal_queue")
    assert len(bench.done("removal_queue", dryRun=True)["wouldRemove"]) == 2
    assert len(bench.done("removal_queue", FLAG)["removed"]) == 2


def test_each_dry_run_says_it_where_votes_cannot_be_seen(bench: Bench) -> None:
    heard(bench, 200, OLD)
    (said,) = [one for one in bench.done(dryRun=True)["warnings"] if "otes" in one]
    assert said == "Votes in polls do not come from this gateway (Evolution 2.3.6): whoever only votes looks silent"


def test_it_is_asked_after_unmatched_authors_and_before_the_review(bench: Bench) -> None:
    heard(bench, 200, OLD)
    poll(bench, 3)
    assert "poll" in refusal(bench, options={"reviewed": "job_of_nobody"})
    with pytest.raises(InvalidFields):
        bench.start(options=FLAG | {"reviewed": "job_of_nobody"})
    with bench.store.write() as tx:
        UnmatchedRows(tx).put(bench.group, UnmatchedAuthor("Ana", 1, NOW - DAY, NOW - DAY, "chat.txt"))
    with pytest.raises(UnmatchedAuthors):
        bench.start()


def test_a_poll_that_comes_while_a_job_runs_stops_it_and_they_stay_in_the_queue(bench: Bench) -> None:
    heard(bench, 200, OLD)
    job = bench.start(batchSize=1, delayMs=1000)
    bench.on_wait = lambda: poll(bench, 1)
    assert bench.run(job) == "failed"
    assert "there was a poll on" in str(bench.job(job).error)
    assert len(bench.queue()) == 1


@pytest.mark.parametrize("kind", [f"pollCreationMessage{version}" for version in ("", "V2", "V3", "V5")])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_poll_that_comes_by_webhook_is_remembered(bench: Bench, kind: str, wrapped: bool) -> None:
    heard(bench, 200, OLD)
    (body,) = Happenings(group=WA_ID).poll("100000000000002@lid", "P1", NOW // 1000 - 86_400, kind)
    if wrapped:
        body["data"]["message"] = {"ephemeralMessage": {"message": body["data"]["message"]}}
    receive(bench, body)
    assert "there was a poll on" in refusal(bench)


def test_a_vote_shows_that_there_is_a_poll(bench: Bench) -> None:
    """Of before the gateway was taken back to a version that tells of none."""
    heard(bench, 200, NEW)
    for body in Happenings("2.3.7", group=WA_ID).vote("100000000000002@lid", "V1", NOW // 1000 - 86_400):
        receive(bench, body)
    bench.start(dryRun=True)
    with bench.store.write() as tx:
        VersionRows(tx).note(ACCOUNT, OLD)
    assert "there was a poll on" in refusal(bench)


def receive(bench: Bench, body: Any) -> None:
    with bench.store.write() as tx:
        Incoming(tx, LIMITS).take([evolution.read(json.dumps(body).encode(), NOW)])
