"""What must be true of removals, whoever was killed in them: by the gateway's own log and the database's witness."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.client import Client
from tests.chaos.fake_gateway import EVERYBODY, GROUPS, LIVELY, US, WHITELISTED, FakeGateway, neighbour, role_of
from tests.chaos.oracle import Errand
from tests.chaos.witness import rows

OLDEST_LISTING_SECONDS = 15.0
"""A removal is asked for by a list of the group that is no older: ten seconds, and what two calls may take."""

_LID = "(SELECT lid FROM people WHERE id = NEW.person_id)"
_SEEN = {
    "intent": ("INSERT ON batch_items", "NEW.state = 'open'", "NEW", "json_extract(NEW.data, '$.id')"),
    "closed": ("UPDATE OF state ON batch_items", "OLD.state = 'open' AND NEW.state <> 'open'", "OLD", "NEW.outcome"),
    "withdrawn": ("DELETE ON batch_items", "OLD.state = 'open'", "OLD", "NULL"),
    "whitelisted": ("INSERT ON whitelist", "1", None, _LID),
    "heard": ("UPDATE OF last_active_at ON memberships", "NEW.last_active_at IS NOT OLD.last_active_at", None, _LID),
}


@dataclass(frozen=True)
class Sight:
    """``what`` happened to whom (``known``), and in which batch of which job."""

    what: str
    job_id: str | None
    batch: int | None
    key: str | None
    known: str | None


def install(database: Path) -> None:
    """On a database that is filled, before anybody works on it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE removal_seen (seq INTEGER PRIMARY KEY, what, job_id, batch, item_key, known)")
        for what, (change, condition, row, known) in _SEEN.items():
            job = f"{row}.job_id, {row}.seq, {row}.item_key" if row else "NULL, NULL, NULL"
            values = f"'{what}', {job}, {known}"
            into = f"INSERT INTO removal_seen (what, job_id, batch, item_key, known) VALUES ({values})"  # noqa: S608 - ours
            connection.execute(f"CREATE TRIGGER rseen_{what} AFTER {change} WHEN {condition} BEGIN {into}; END")
        connection.commit()


def seen(database: Path) -> list[Sight]:
    query = "SELECT what, job_id, batch, item_key, known FROM removal_seen ORDER BY seq"
    return [Sight(*row) for row in rows(database, query)]


def check_removals(client: Client, gateway: FakeGateway, errands: Sequence[Errand]) -> Counter[str]:
    """Once everything has ended; returns what there was to be judged."""
    database = client.server.home / "runner.db"
    jobs = {job_id: client.job(job_id) for errand in errands for job_id in errand.job_ids}
    sights, effects = seen(database), gateway.effects()
    assert gateway.wrong() == []
    assert max(Counter(effects).values(), default=0) <= 1, f"acted on twice: {Counter(effects).most_common(3)}"
    misled = {known for (known,) in rows(database, _SPARED)} & gateway.shown_stale
    check_books(database, jobs.values(), effects, unsure=gateway.left | misled)
    check_exempt(gateway, sights)
    check_open(sights, {job_id: str(job["config"]["groupWaId"]) for job_id, job in jobs.items()})
    check_dry(jobs, sights)
    told = Counter(str(sight.known) for sight in sights if sight.what == "closed")
    return told + Counter({"effects": len(effects), "calls": len(gateway.calls("remove"))})


def check_books(database: Path, jobs: Iterable[Mapping[str, Any]], effects: Sequence[str], *, unsure: set[str]) -> None:
    """``unsure``: who left by themselves; if that was while nobody knew of a call, they are held to be removed."""
    results = [job.get("result", {}) for job in jobs]
    assert not any("unknownWhatsappIds" in result for result in results), results
    booked = Counter(known for result in results for known in result.get("removedWhatsappIds", []))
    doubtful = unsure | {known for (known,) in rows(database, _TRIED)} | _given_up(results)
    wrong = {known for known in booked | Counter(effects) if booked[known] != Counter(effects)[known]} - doubtful
    assert not wrong, {known: (booked[known], known in effects) for known in wrong}


_TRIED = "SELECT p.lid FROM removal_queue q JOIN people p ON p.id = q.person_id WHERE q.tries > 0"
"""Who was asked for without an answer, and was on a list after it: if that was stale, the next job finds it out."""


_SPARED = (
    "SELECT json_extract(a.data, '$.id') FROM batch_items a JOIN batch_items b ON a.outcome = 'requeued' "
    "AND b.outcome = 'skipped' AND json_extract(a.data, '$.id') = json_extract(b.data, '$.id')"
)
"""Who came again after a call and was heard or whitelisted by then: on a list that is still stale they are left alone,
and nobody asks after them any more."""


def _given_up(results: Iterable[Mapping[str, Any]]) -> set[str]:
    """Who was on a list, true or stale, after each of two calls without an answer."""
    return {one["id"] for result in results for one in result.get("givenUp", [])}


def check_exempt(gateway: FakeGateway, sights: Sequence[Sight]) -> None:
    """Nobody was asked for who was exempt by the gateway's own state, or by what the store knew before the intent."""
    groups = range(len(GROUPS))
    admins = {neighbour(group, one) for group in groups for one in EVERYBODY if role_of(one) != "member"}
    never = admins | {US["lid"]} | {neighbour(group, one) for group in groups for one in (*WHITELISTED, *LIVELY)}
    asked: Counter[str] = Counter()
    for call in gateway.calls("remove"):
        ids = asked_for(call)
        asked.update(ids)
        assert not never & ids, f"exempt and asked for: {never & ids}"
        late = {known for known in ids if call["at"] - gateway.promoted.get(known, call["at"]) > OLDEST_LISTING_SECONDS}
        assert not late, f"made admins long before: {late}"
    for known, exempt_at in _exempt_since(sights).items():
        before = sum(sight.what == "intent" and sight.known == known for sight in sights[:exempt_at])
        assert asked[known] <= before, f"{known} was asked for {asked[known]} times, and intended {before} before"


def asked_for(call: Mapping[str, Any]) -> set[str]:
    people = call["body"]["participants"]
    return {one["id"] if isinstance(one, dict) else one for one in people}


def _exempt_since(sights: Sequence[Sight]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, sight in enumerate(sights):
        if sight.what in ("whitelisted", "heard") and sight.known:
            found.setdefault(sight.known, number)
    return found


def check_open(sights: Sequence[Sight], groups: Mapping[str, str]) -> None:
    """At most one batch of a group is unknown at any time, and none at the end."""
    left_open: dict[str, set[tuple[Any, ...]]] = {}
    for sight in sights:
        if sight.job_id is None:
            continue
        mine = left_open.setdefault(groups[sight.job_id], set())
        one = (sight.job_id, sight.batch, sight.key)
        if sight.what == "intent":
            mine.add(one)
            assert len({item[:2] for item in mine}) == 1, f"two batches at once: {mine}"
        else:
            mine.discard(one)
    assert not any(left_open.values()), left_open


def check_dry(jobs: Mapping[str, Mapping[str, Any]], sights: Iterable[Sight]) -> None:
    dry = {job_id for job_id, job in jobs.items() if job["config"]["dryRun"]}
    assert not {sight.job_id for sight in sights} & dry, "a dry run has no intents"
