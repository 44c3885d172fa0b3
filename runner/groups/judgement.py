"""Looking at the people of a batch again, right before the removal: may this person still be removed?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, and_, select

from runner.clock import iso
from runner.gateway import Participant
from runner.groups.activity import ActivityRows, Watch
from runner.groups.group import Group
from runner.groups.identity import person_id
from runner.groups.listing import Listed
from runner.groups.queue import QueueEntry
from runner.groups.silence import MEMBER, WHITELISTED, silent, watched
from runner.ledger import REQUEUED
from runner.store import Transaction
from runner.stores.group_schema import memberships, removal_queue

SKIPPED, ALREADY_GONE = "skipped", "already_gone"
GONE = "not in the group any more"
_NAMES_OPEN = "names in an imported chat are matched to nobody yet; stays in the queue"
_NOT_BY_SILENCE = "only admins write in this group, so their silence says nothing; stays in the queue"
_STILL_LISTED = "gone, as far as is known here, and still on the group's list; stays in the queue"
OTHER_IDS = "has another number or id since the group was asked for them; comes again"
_NOT_TOLD_APART = "the group's list does not show the id they are known by; stays in the queue"

_QUEUED = and_(removal_queue.c.group_id == memberships.c.group_id, removal_queue.c.person_id == memberships.c.person_id)

Pair = tuple[str, str]


@dataclass(frozen=True)
class Finding:
    """What was found of one person. ``outcome`` None: they may be removed; else why not.

    ``stays``: they stay in the queue for another time. ``role``: what the fresh listing says, where it differs.
    ``by_list``: gone by the listing alone, and not asked for before: of whoever was, another list is asked for anyway.
    """

    entry: QueueEntry
    outcome: str | None = None
    reason: str | None = None
    stays: bool = False
    participant: Participant | None = None
    role: str | None = None
    by_list: bool = False

    @property
    def key(self) -> str:
        return self.entry.ledger_item().key

    @property
    def id(self) -> str:
        """The id the group lists, to be removed by."""
        return self.participant.id if self.participant else self.entry.shown_id


def look_again(tx: Transaction, group: Group, entries: Sequence[QueueEntry], slack_ms: int) -> list[Finding]:
    """By what the store knows now: whitelist, role, ourselves, gone, heard since, still watched, still queued."""
    now = tx.now
    watch = ActivityRows(tx).watched_since(group, now, slack_ms)
    rows: dict[tuple[int, int | None], Row[Any]] = {}
    for window_ms in {entry.window_ms for entry in entries}:
        measured = [entry.person_id for entry in entries if entry.window_ms == window_ms]
        found = _rows(tx, group, measured, watch, now - (window_ms or 0))
        rows |= {(row.person_id, window_ms): row for row in found}
    return [_finding(entry, rows.get((entry.person_id, entry.window_ms))) for entry in entries]


def hold_back(
    findings: Sequence[Finding], why: str = _NAMES_OPEN, who: Callable[[Finding], bool] | None = None
) -> list[Finding]:
    """They stay in the queue: while a name in a chat may be anybody's, nobody is known to be silent.

    ``why`` and ``who`` for other doubts; None: all who may be removed so far.
    """
    doubtful = who or _may_go
    return [
        replace(finding, outcome=SKIPPED, reason=why, stays=True) if doubtful(finding) else finding
        for finding in findings
    ]


def _may_go(finding: Finding) -> bool:
    return finding.outcome is None


def look_at_list(findings: Sequence[Finding], listed: Listed, entries: Sequence[QueueEntry]) -> list[Finding]:
    """As ``look_at_listing``. ``entries``: the same, as they were read before the list was asked for; whoever has
    other ids since is not known to be gone by it, and comes again.
    """
    seen = [look_at_listing(one, listed) for one in findings]
    return [
        replace(one, outcome=REQUEUED, reason=OTHER_IDS)
        if one.outcome == ALREADY_GONE and one.entry.has_new_ids(read)
        else one
        for one, read in zip(seen, entries, strict=True)
    ]


def look_at_listing(finding: Finding, listed: Listed) -> Finding:
    """By what the group itself says now; what the store says against a removal stands.

    But whoever was asked for before, without an answer, and is gone, was removed by that, whatever was said since.
    """
    entry = finding.entry
    participant = listed.find_person(entry.lid, entry.pn)
    if participant is None:
        is_gone = listed.would_show(entry.lid, entry.pn)
        return finding if finding.outcome and not (entry.was_asked_for and is_gone) else _not_listed(finding, is_gone)
    seen = replace(finding, participant=participant)
    if finding.outcome == ALREADY_GONE:
        return replace(seen, outcome=SKIPPED, reason=_STILL_LISTED, stays=True)
    if participant.role != MEMBER:
        seen = replace(seen, role=participant.role)
    if finding.outcome:
        return seen
    if participant.is_me:
        return replace(seen, outcome=SKIPPED, reason="this is ourselves")
    if participant.role != MEMBER:
        return replace(seen, outcome=SKIPPED, reason="an admin of the group")
    return seen


def new_pairs(entries: Sequence[QueueEntry], listed: Listed) -> list[Pair]:
    """Of whom of them the list shows both ids, and we know other ones."""
    listings = ((entry, listed.find(entry.lid, entry.pn)) for entry in entries)
    shown = ((entry, person_id(one.lid), person_id(one.pn)) for entry, one in listings if one and one.lid and one.pn)
    return [(lid, pn) for entry, lid, pn in shown if lid and pn and (entry.lid, entry.pn) != (lid, pn)]


def spare_the_silent(findings: Sequence[Finding], listed: Listed) -> list[Finding]:
    """Where only admins write, whoever came into the queue by silence is left alone; whoever was put there is not."""
    if not listed.is_announcement:
        return list(findings)
    return hold_back(findings, _NOT_BY_SILENCE, lambda one: _may_go(one) and one.entry.window_ms is not None)


def _not_listed(finding: Finding, is_gone: bool) -> Finding:
    if is_gone:
        alone = finding.outcome != ALREADY_GONE and not finding.entry.was_asked_for
        return replace(finding, outcome=ALREADY_GONE, reason=GONE, stays=False, by_list=alone)
    return replace(finding, outcome=SKIPPED, reason=_NOT_TOLD_APART, stays=True)


def _rows(
    tx: Transaction, group: Group, person_ids: Sequence[int], watch: Watch | None, cutoff: int
) -> Sequence[Row[Any]]:
    member = (memberships.c.person_id, memberships.c.role, memberships.c.is_me, memberships.c.left_at)
    query = select(
        *member,
        memberships.c.last_active_at,
        memberships.c.joined_at,
        WHITELISTED.label("whitelisted"),
        silent(cutoff).label("silent"),
        watched(watch.since if watch else None, cutoff).label("watched"),
        removal_queue.c.id.label("queue_id"),
    ).select_from(memberships.outerjoin(removal_queue, _QUEUED))
    mine = (memberships.c.group_id == group.id, memberships.c.person_id.in_(person_ids))
    return tx.connection.execute(query.where(*mine)).all()


def _finding(entry: QueueEntry, row: Row[Any] | None) -> Finding:
    if row is None:
        return Finding(entry, SKIPPED, "not a member of this group")
    if row.left_at is not None:
        return Finding(entry, ALREADY_GONE, GONE)
    against = _protected(row) or _silence_broken(entry, row)
    if against is not None:
        return Finding(entry, SKIPPED, against)
    if entry.id is not None and row.queue_id != entry.id:
        return Finding(entry, SKIPPED, "taken out of the queue meanwhile")
    if entry.window_ms is not None and not row.watched:
        return Finding(entry, SKIPPED, "activity is not known for the whole window; stays in the queue", stays=True)
    return Finding(entry)


def _protected(row: Row[Any]) -> str | None:
    if row.is_me:
        return "this is ourselves"
    if row.whitelisted:
        return "on the whitelist"
    return "an admin of the group" if row.role != MEMBER else None


def _silence_broken(entry: QueueEntry, row: Row[Any]) -> str | None:
    """Whoever was queued for silence must still be silent; whoever was queued by hand, since then, and in the group."""
    at, joined = row.last_active_at, row.joined_at
    if entry.window_ms is not None:
        return None if row.silent else f"active again on {iso(at)}"
    if at is not None and at > entry.created_at:
        return f"active again on {iso(at)}"
    return f"joined again on {iso(joined)}" if joined is not None and joined > entry.created_at else None
