"""What must be true of any run, whoever was killed in it: told by the database's own witness and the effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.job import TRANSITIONS, JobStatus
from tests.chaos.client import Client
from tests.chaos.witness import Sight, rows, seen
from tests.processes.samples import effects_in
from tests.waiting import wait_for

ENDS = {"completed", "cancelled", "failed"}


@dataclass
class Errand:
    """A job that acts, with its retries; all leave their effects in one file."""

    job_ids: list[str]
    effects: str
    total: int


def check_all(client: Client, errands: Sequence[Errand]) -> None:
    """Once everything has ended and the server answers."""
    database = client.server.home / "runner.db"
    wait_for(lambda: not _held(client), f"nobody holds a lock or a slot: {_held(client)}")
    for errand in errands:
        check_effects(client, errand)
    check_witness(seen(database))
    check_events(database)
    stored = {job_id for (job_id,) in rows(database, "SELECT id FROM jobs")}
    assert stored == set(client.accepted), "each 202 is there, once, and nothing else"
    for job_id in client.cancelled:
        job = client.job(job_id)
        assert (job["status"], job["cancellation"]["phase"]) == ("cancelled", "stopped"), job


def _held(client: Client) -> list[tuple[Any, ...]]:
    """Asked of a server that lives: it may have died of the very end of a job."""
    client.ask("GET", "/livez")
    query = "SELECT id, status FROM jobs WHERE claimed_at IS NOT NULL AND released_at IS NULL"
    return rows(client.server.home / "runner.db", query)


def check_effects(client: Client, errand: Errand) -> None:
    """Nobody was acted on twice; what was done is known, and nothing else is called done."""
    effects = effects_in(errand.effects)
    assert max(Counter(effects).values(), default=0) <= 1, f"acted on twice: {Counter(effects).most_common(3)}"
    jobs = [client.job(job_id) for job_id in errand.job_ids]
    results = [job.get("result", {}) for job in jobs]
    assert not any(result.get("open") or result.get("unknown") for result in results), results
    assert sorted(key for result in results for key in result.get("done", [])) == sorted(effects)
    if jobs[-1]["status"] == "completed":
        dealt_with = {key for result in results for key in [*result.get("done", []), *result.get("not_done", [])]}
        assert dealt_with == {str(number) for number in range(errand.total)}


def check_witness(sights: Sequence[Sight]) -> None:
    """By the order of the commits."""
    cancelled: set[str] = set()
    for sight in sights:
        if sight.what == "status":
            assert JobStatus(sight.became) in TRANSITIONS[JobStatus(sight.was)], sight
        elif sight.what == "processed":
            assert sight.became >= sight.was, f"progress never falls: {sight}"
        elif sight.what == "cancel":
            assert sight.was is None, f"a cancel is kept as it was asked for: {sight}"
            cancelled.add(sight.job_id)
        elif sight.what == "claim":
            assert sight.became == 0, f"one claimed job to a lock: {sight}"
        elif sight.what in ("intent", "call"):
            assert sight.job_id not in cancelled, f"no intent and no call after the cancel: {sight}"


def check_events(database: Path) -> None:
    """Each job's log has the one end that its status has, and no other."""
    statuses = dict(rows(database, "SELECT id, status FROM jobs"))
    ended: dict[str, list[str]] = {job_id: [] for job_id in statuses}
    for job_id, kind in rows(database, "SELECT job_id, kind FROM job_events ORDER BY job_id, seq"):
        if kind in ENDS:
            ended[job_id].append(kind)
    for job_id, status in statuses.items():
        assert ended[job_id] == ([status] if status in ENDS else []), (job_id, status, ended[job_id])
