"""What a removal job says of itself: how much was watched, and whom it removed, refused, skipped or would remove."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from runner.clock import iso
from runner.groups.activity import ActivityRows
from runner.groups.booking import GIVEN_UP, REFUSED, REMOVED, WOULD_REMOVE
from runner.groups.group import Group
from runner.groups.judgement import ALREADY_GONE, SKIPPED
from runner.groups.listing import Listed
from runner.groups.member import MemberRows
from runner.groups.namesakes import doubts_of_names
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedRows
from runner.groups.whitelist import Standings
from runner.job import Job, JsonDict
from runner.store import Transaction
from runner.stores.batches import LedgerItem
from runner.stores.group_schema import job_people

_PERSON = ("id", "phoneNumber", "name", "lastActivity", "reason")
_SHOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    REMOVED: ("removed", _PERSON),
    REFUSED: ("refused", ("id", "phoneNumber", "name", "lastActivity", "code", "reason")),
    ALREADY_GONE: ("alreadyGone", _PERSON),
    GIVEN_UP: ("givenUp", _PERSON),
    SKIPPED: ("skipped", _PERSON),
    WOULD_REMOVE: ("wouldRemove", _PERSON),
}
_ROSTER_NOTE = "taken off the roster kept here; nothing was sent to WhatsApp: somebody has to remove them by hand"
_NAMES_OPEN = (
    "{} matched to no member, and may be anybody's: answer with 'runner import chat --match-names ask'; until then a "
    'real run is refused without ignoreUnmatched=true (in JSON: "ignoreUnmatched": true)'
)
_MOST_AWAY = 50
_MORE_AWAY = "and {} more on the whitelist are not in the group as far as is known: GET /admin/lists/whitelist has all"
_MOST = (
    "{} of {} member{} would be removed, more than half: look at whether the export is of this group, and whether the "
    "window is as long as it was meant"
)


def summary_of(tx: Transaction, group: Group, window_ms: int, now: int, slack_ms: int) -> JsonDict:
    """What is known at ``now``, before a sync; kept in the job's result, so that the moment stays the same."""
    rows = ActivityRows(tx)
    watch = rows.watched_since(group, now, slack_ms)
    watched = rows.watchfulness(group, window_ms, now, slack_ms)
    maybe = QueueRows(tx).count_maybe_heard(group, window_ms, now, slack_ms)
    watched = replace(watched, unknown=watched.unknown + maybe)
    would = QueueRows(tx).would_queue(group, window_ms, now, slack_ms).subquery()
    inactive = tx.connection.execute(select(func.count()).select_from(would)).scalar_one()
    said: JsonDict = {"atMs": now, "found": inactive, "unknown": watched.unknown}
    if watch is not None:
        said |= {"watchedSince": iso(watch.since), "watchedUntil": iso(watch.until)}
    if watched.first_at is not None:
        said["earliestAt"] = iso(watched.first_at)
    return {"sync": said, "watched": str(watched)}


def doubts_about(
    tx: Transaction, group: Group, job_id: str, listed: Listed | None = None, since: int | None = None
) -> list[str]:
    """What to look at before the list of this dry run is believed, in sentences: it would surprise at the real run.

    ``listed``: the group as its gateway shows it, whole; else it counts as it is known here. ``since``: when silence
    began to count, UTC ms; None: it does not.
    """
    open_names = UnmatchedRows(tx).count(group)
    doubts = []
    if open_names:
        doubts.append(
            _NAMES_OPEN.format("1 name in a chat is" if open_names == 1 else f"{open_names} names in chats are")
        )
    if open_names and since is not None:
        doubts += doubts_of_names(tx, group, since)
    run = tx.connection.execute
    would = run(select(func.count()).select_from(job_people).where(job_people.c.job_id == job_id)).scalar_one()
    members = MemberRows(tx).count(group)
    if would * 2 > members:
        doubts.append(_MOST.format(would, members, "" if members == 1 else "s"))
    away = [standing.warning for standing in Standings(tx, group, listed).away()]
    more = len(away) - _MOST_AWAY
    return doubts + away[:_MOST_AWAY] + ([_MORE_AWAY.format(more)] if more > 0 else [])


def removal_result(job: Job, items: Iterable[LedgerItem]) -> JsonDict:
    """What the ledger adds to the job's result, in one pass; lists that would be empty are left out.

    Where the gateway lists people by lid, an ``id`` says nothing to a reader; number and name stand beside it.
    """
    result: JsonDict = {"removedWhatsappIds": []}
    if job.config.get("dryRun") is True:
        result["wouldRemove"] = []
    for item in items:
        if item.outcome == REMOVED:
            result["removedWhatsappIds"].append(item.data["id"])
        if item.outcome is None:
            result.setdefault("unknownWhatsappIds", []).append(item.data["id"])
        if item.outcome in _SHOWN:
            name, fields = _SHOWN[item.outcome]
            result.setdefault(name, []).append(_only(item.data, fields))
    if job.result.get("via") == "roster" and result["removedWhatsappIds"]:
        result["note"] = _ROSTER_NOTE
    return result


def _only(data: JsonDict, fields: Iterable[str]) -> dict[str, Any]:
    return {name: data[name] for name in fields if name in data}
