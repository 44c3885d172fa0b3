"""Unplaced: people known here by one kind of id alone, number or lid, whom the group's list does not show by it.

Each may be anybody on the list of whom it shows only the other kind: an old member list knows them by their number, the
gateway lists lids. So nobody is removed who may be somebody on the whitelist, nor for their silence who may be somebody
heard since. Who is who is told by a list or an event that has both ids. Who may be somebody by another spelling of one
number, or by a name in a chat, is held back with them: ``maybe``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select

from runner.clock import iso
from runner.gateway import Participant
from runner.groups.group import Group
from runner.groups.identity import LID, person_id
from runner.groups.judgement import SKIPPED, Finding
from runner.groups.listing import Listed
from runner.groups.maybe import hold_back_maybe
from runner.groups.silence import MEMBER
from runner.store import Transaction
from runner.stores.group_schema import memberships, people, whitelist

_KINDS = {"pn": "number", "lid": "lid"}
_PROTECTED = "somebody on the whitelist ({known}) is known by {kind} alone, and may be this person; stays in the queue"
_HEARD = "somebody heard since is known by {kind} alone, and may be this person; stays in the queue"


def hold_back_unplaced(
    tx: Transaction, group: Group, findings: Sequence[Finding], listed: Listed, now: int
) -> list[Finding]:
    """Those who may be somebody else stay in the queue. ``now``: UTC ms, from which windows are measured back."""
    held = hold_back_maybe(tx, group, _spare_the_same(tx, group, findings, now), listed, now)
    for kind in _KINDS:
        if any(_hides(finding, kind) for finding in held):
            held = _held(_Unplaced(tx, group, listed, kind), held, now)
    return held


def _held(unplaced: _Unplaced, findings: Iterable[Finding], now: int) -> list[Finding]:
    protected, latest = unplaced.protected(), unplaced.heard_last()

    def why(finding: Finding) -> str | None:
        if not _hides(finding, unplaced.kind):
            return None
        if protected is not None:
            return _PROTECTED
        window_ms = finding.entry.window_ms
        return _HEARD if window_ms is not None and latest > now - window_ms else None

    words = {"known": protected, "kind": _KINDS[unplaced.kind]}
    return [
        replace(finding, outcome=SKIPPED, reason=reason.format(**words), stays=True)
        if (reason := why(finding))
        else finding
        for finding in findings
    ]


def _spare_the_same(tx: Transaction, group: Group, findings: Sequence[Finding], now: int) -> list[Finding]:
    """The list shows whom it is about by an id that is another row's here: what is known of that counts for them."""
    others = {known: finding.key for finding in findings for known in _more_ids(finding)}
    rows = _same_people(tx, group, others) if others else {}

    def spared(finding: Finding) -> Finding:
        known = [rows[known] for known in _more_ids(finding) if known in rows]
        why = next((reason for row in known if (reason := _against(finding, row, now))), None)
        return replace(finding, outcome=SKIPPED, reason=why) if why else finding

    return [spared(finding) for finding in findings]


def _more_ids(finding: Finding) -> list[str]:
    """By which the list shows them, and we do not know them."""
    one = finding.participant
    if finding.outcome is not None or one is None:
        return []
    shown = (person_id(text) for text in (one.id, one.lid, one.pn) if text)
    return [known for known in shown if known and known not in (finding.entry.lid, finding.entry.pn)]


def _same_people(tx: Transaction, group: Group, ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Known by one of ``ids`` alone; whoever has another lid beside a number is somebody else, who had it before."""
    protected = select(whitelist.c.person_id).where(whitelist.c.group_id == group.id)
    member = and_(memberships.c.person_id == people.c.id, memberships.c.group_id == group.id)
    last = (memberships.c.role, memberships.c.last_active_at, memberships.c.joined_at, memberships.c.left_at)
    query = select(people.c.lid, people.c.pn, people.c.id.in_(protected).label("whitelisted"), *last)
    wanted = or_(
        and_(people.c.lid.in_(list(ids)), people.c.pn.is_(None)),
        and_(people.c.pn.in_(list(ids)), people.c.lid.is_(None)),
    )
    rows = tx.connection.execute(query.select_from(people.outerjoin(memberships, member)).where(wanted))
    return {row.lid or row.pn: row for row in rows}


def _against(finding: Finding, row: Row[Any], now: int) -> str | None:
    if row.whitelisted:
        return "on the whitelist"
    if row.role not in (None, MEMBER):
        return "an admin of the group"
    window_ms = finding.entry.window_ms
    since = finding.entry.created_at if window_ms is None else now - window_ms
    if row.last_active_at is not None and row.last_active_at > since:
        return f"active again on {iso(row.last_active_at)}"
    back = max(row.joined_at or 0, row.left_at or 0)  # who had left by one id, and is listed, is back
    return f"joined again on {iso(back)}" if back > since else None


def _hides(finding: Finding, kind: str) -> bool:
    """Whether they may be removed so far, and the list does not show this kind of their ids."""
    return finding.outcome is None and finding.participant is not None and not _shown(finding.participant, kind)


def _shown(one: Participant, kind: str) -> bool:
    is_lid = one.id.endswith(LID)
    return bool(one.lid or is_lid) if kind == "lid" else bool(one.pn or not is_lid)


class _Unplaced:
    """Those of one kind.

    The roster shows whoever is a member here, so that only others are unplaced there; unless events tell of the group:
    whoever is heard by a lid may stand there twice, silent by their number.
    """

    def __init__(self, tx: Transaction, group: Group, listed: Listed, kind: str) -> None:
        self._run = tx.connection.execute
        self._group, self._listed, self.kind = group, listed, kind
        self._each_once = not listed.is_whole and group.account is None
        other = "lid" if kind == "pn" else "pn"
        self._id = people.c[kind]
        self._alone = (self._id.is_not(None), people.c[other].is_(None))
        self._present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))

    def protected(self) -> str | None:
        """One of them who is on the whitelist. Not we: we are an admin."""
        ours = (whitelist.c.group_id == self._group.id, *self._alone)
        placed = memberships.c.left_at.is_(None) if self._each_once else memberships.c.is_me
        mine = (memberships.c.person_id == people.c.id, memberships.c.group_id == self._group.id, placed)
        known = select(self._id).join_from(whitelist, people).where(*ours)
        known = known.where(~select(memberships.c.person_id).where(*mine).exists())
        return next((one for one in self._run(known).scalars() if one not in self._listed.by_id), None)

    def heard_last(self) -> int:
        """When the last of them who is a member said something, or came; 0: there is none. Nor we."""
        if self._each_once:
            return 0
        last = (memberships.c.last_active_at, memberships.c.joined_at)
        query = select(self._id, *last).join_from(memberships, people).where(*self._present, *self._alone)
        query = query.where(memberships.c.is_me.is_(False))
        rows = self._run(query.where(_any_of(*last)))
        times = (max(active or 0, joined or 0) for known, active, joined in rows if known not in self._listed.by_id)
        return max(times, default=0)


def _any_of(*columns: ColumnElement[int]) -> ColumnElement[bool]:
    return or_(*(column.is_not(None) for column in columns))
