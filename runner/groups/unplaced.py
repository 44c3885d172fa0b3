"""Unplaced: people known here by one kind of id alone, number or lid, whom the group's list does not show by it.

Each may be anybody on the list of whom it shows only the other kind: an old member list knows them by their number, the
gateway lists lids. So nobody is removed who may be somebody on the whitelist, nor for their silence who may be somebody
heard since. Who is who is told by a list or an event that has both ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, or_, select

from runner.gateway import Participant
from runner.groups.group import Group
from runner.groups.identity import LID
from runner.groups.judgement import SKIPPED, Finding
from runner.groups.listing import Listed
from runner.store import Transaction
from runner.stores.group_schema import memberships, people, whitelist

_KINDS = {"pn": "number", "lid": "lid"}
_PROTECTED = "somebody on the whitelist is known by {} alone, and may be this person; stays in the queue"
_HEARD = "somebody heard since is known by {} alone, and may be this person; stays in the queue"


def hold_back_unplaced(
    tx: Transaction, group: Group, findings: Sequence[Finding], listed: Listed, now: int
) -> list[Finding]:
    """Those who may be somebody else stay in the queue. ``now``: UTC ms, from which windows are measured back."""
    held = list(findings)
    for kind in _KINDS:
        if any(_hides(finding, kind) for finding in held):
            held = _held(_Unplaced(tx, group, listed, kind), held, now)
    return held


def _held(unplaced: _Unplaced, findings: Iterable[Finding], now: int) -> list[Finding]:
    any_protected, latest = unplaced.any_protected(), unplaced.heard_last()
    return [
        replace(finding, outcome=SKIPPED, reason=why.format(_KINDS[unplaced.kind]), stays=True)
        if _hides(finding, unplaced.kind) and (why := _why(finding, any_protected, latest, now))
        else finding
        for finding in findings
    ]


def _why(finding: Finding, any_protected: bool, heard_last: int, now: int) -> str | None:
    if any_protected:
        return _PROTECTED
    window_ms = finding.entry.window_ms
    return _HEARD if window_ms is not None and heard_last > now - window_ms else None


def _hides(finding: Finding, kind: str) -> bool:
    """Whether they may be removed so far, and the list does not show this kind of their ids."""
    return finding.outcome is None and finding.participant is not None and not _shown(finding.participant, kind)


def _shown(one: Participant, kind: str) -> bool:
    is_lid = one.id.endswith(LID)
    return bool(one.lid or is_lid) if kind == "lid" else bool(one.pn or not is_lid)


class _Unplaced:
    """Those of one kind. The roster shows whoever is a member here, so that only others are unplaced there."""

    def __init__(self, tx: Transaction, group: Group, listed: Listed, kind: str) -> None:
        self._run = tx.connection.execute
        self._group, self._listed, self.kind = group, listed, kind
        other = "lid" if kind == "pn" else "pn"
        self._id = people.c[kind]
        self._alone = (self._id.is_not(None), people.c[other].is_(None))
        self._present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))

    def any_protected(self) -> bool:
        query = (
            select(self._id).join_from(whitelist, people).where(whitelist.c.group_id == self._group.id, *self._alone)
        )
        if not self._listed.is_whole:
            mine = (memberships.c.person_id == people.c.id, *self._present)
            query = query.where(~select(memberships.c.person_id).where(*mine).exists())
        return any(known not in self._listed.by_id for known in self._run(query).scalars())

    def heard_last(self) -> int:
        """When the last of them who is a member said something, or came; 0: there is none. Not we: we are an admin."""
        if not self._listed.is_whole:
            return 0
        last = (memberships.c.last_active_at, memberships.c.joined_at)
        query = select(self._id, *last).join_from(memberships, people).where(*self._present, *self._alone)
        query = query.where(memberships.c.is_me.is_(False))
        rows = self._run(query.where(_any_of(*last)))
        times = (max(active or 0, joined or 0) for known, active, joined in rows if known not in self._listed.by_id)
        return max(times, default=0)


def _any_of(*columns: ColumnElement[int]) -> ColumnElement[bool]:
    return or_(*(column.is_not(None) for column in columns))
