"""Booking: what became of each person of a batch, written into history, queue, memberships and the job's ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert, select

from runner.gateway import Outcome, OutcomeKind
from runner.groups.group import Group
from runner.groups.history import FAILURE, SUCCESS, HistoryRows, NewHistory
from runner.groups.judgement import ALREADY_GONE, GONE, OTHER_IDS, SKIPPED, Finding
from runner.groups.member import MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.ledger import REQUEUED
from runner.store import Transaction
from runner.stores.batches import BatchRows, LedgerItem
from runner.stores.group_schema import job_people, people

REMOVED, REFUSED = str(OutcomeKind.REMOVED), str(OutcomeKind.REFUSED)
GIVEN_UP, WOULD_REMOVE = "given_up", "would_remove"
_REFUSALS = {
    "400": "WhatsApp did not understand whom to remove",
    "401": "WhatsApp does not let us remove this person",
    "403": "WhatsApp does not let us remove this person",
    "405": "WhatsApp does not allow this removal",
    "406": "WhatsApp lets nobody remove this person, as with the creator of a group",
    "410": "WhatsApp no longer knows this person",
    "423": "WhatsApp has locked this group or person",
}
FAILED = "failed"
"""In an open item: what the gateway said when it failed as a whole."""

_OUT = (REMOVED, ALREADY_GONE)

_GIVEN_UP = "asked twice without an answer, and still in the group"
_UNQUEUED = "still in the group, and taken out of the queue meanwhile"
_UNCALLED = "taken out of the queue before anybody was asked for"
_NOBODY_CAN_TELL = "no answer came, and we are no longer in the group: nobody can tell"
_FOUND_GONE = "no answer came, and the group no longer lists them"
_FOUND_GONE_LATER = "a call for them had no answer, and they are not in the group any more"
_MAYBE_BY_US = "not in the group any more; a call for them had no answer, long before, and may have done it"

_LISTS_LAG_MS = 3_600_000
"""Whoever is gone so soon after a call without an answer was removed by it, though a list after it had them still."""


@dataclass(frozen=True)
class Answer:
    """What the gateway said of somebody as they were found right before the call; None: they were left out of it."""

    finding: Finding
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Booked:
    """One person's outcome. ``reason`` and ``code``: the gateway's, or why nobody asked."""

    finding: Finding
    outcome: str
    reason: str | None = None
    code: str | None = None

    def ledger_item(self) -> LedgerItem:
        said: dict[str, Any] = {"id": self.finding.id, "code": self.code}
        if self.reason is not None:
            said["reason"] = self.reason
        return self.finding.entry.ledger_item(self.outcome, **said)


@dataclass(frozen=True)
class Books:
    """The books of one job on one group. A dry run writes nothing but its own list.

    ``seen_at``: when the list was asked for that shows the roles of those who are booked.
    """

    group: Group
    job_id: str
    via: str
    dry_run: bool
    seen_at: int = 0

    def write(self, tx: Transaction, booked: Sequence[Booked]) -> list[LedgerItem]:
        if self.dry_run:
            self._list_people(tx, booked)
        else:
            booked = _as_merged(tx, _as_queued_now(tx, booked))
            booked = self._put_back(tx, [_as_done_before(one, tx.now) for one in booked])
            self._write(tx, booked)
        return [one.ledger_item() for one in booked]

    def settle(
        self, tx: Transaction, item: LedgerItem, person: int, is_there: bool | None, entry: QueueEntry | None
    ) -> LedgerItem:
        """One person whose outcome was unknown, by whether the group still lists them; None: nobody can tell."""
        queued_for = item.data.get("reason", "")
        if is_there is None:
            return self._give_up(tx, item, person, _NOBODY_CAN_TELL)
        if not is_there:
            self._history(tx, [NewHistory(person, self.job_id, SUCCESS, queued_for, self.via)])
            MemberRows(tx).leave(self.group, [person], tx.now)
            QueueRows(tx).drop(self.group, [person])
            return _settled(item, REMOVED, f"{queued_for}; {_FOUND_GONE}")
        if entry is None:
            return _settled(item, SKIPPED, _UNQUEUED)
        if FAILED in item.data:  # it was no answer about this person: they may be asked for as often as before
            return self.put_back(tx, item, QueueRows(tx).asked(entry))
        if QueueRows(tx).requeue(entry):
            return _settled(item, REQUEUED, queued_for)
        return self._give_up(tx, item, person, _GIVEN_UP)

    def put_back(self, tx: Transaction, item: LedgerItem, entry: QueueEntry | None) -> LedgerItem:
        """One person of a batch for which no call went out."""
        if entry is not None and QueueRows(tx).put_back(entry):
            return _settled(item, REQUEUED, item.data.get("reason", ""))
        return _settled(item, SKIPPED, _UNCALLED)

    def _give_up(self, tx: Transaction, item: LedgerItem, person: int, why: str) -> LedgerItem:
        QueueRows(tx).drop(self.group, [person])
        self._history(tx, [NewHistory(person, self.job_id, FAILURE, why, self.via)])
        return _settled(item, GIVEN_UP, why)

    def _put_back(self, tx: Transaction, booked: Sequence[Booked]) -> list[Booked]:
        """Whom the gateway put off comes again, and that costs no try."""
        queue = QueueRows(tx)

        def as_put_back(one: Booked) -> Booked:
            entry = one.finding.entry
            if one.outcome != REQUEUED or queue.put_back(entry):
                return one
            return replace(one, outcome=SKIPPED, reason=_UNQUEUED)

        return [as_put_back(one) for one in booked]

    def _list_people(self, tx: Transaction, booked: Sequence[Booked]) -> None:
        found = {one.finding.entry.person_id for one in booked if one.outcome == WOULD_REMOVE}
        found = set(tx.connection.execute(select(people.c.id).where(people.c.id.in_(found))).scalars())
        mine = (job_people.c.job_id == self.job_id, job_people.c.person_id.in_(found))
        new = found - set(tx.connection.execute(select(job_people.c.person_id).where(*mine)).scalars())
        if new:
            rows = [{"job_id": self.job_id, "person_id": one} for one in sorted(new)]
            tx.connection.execute(insert(job_people), rows)

    def _write(self, tx: Transaction, booked: Sequence[Booked]) -> None:
        queue, members = QueueRows(tx), MemberRows(tx)
        self._history(tx, (history for one in booked if (history := self._history_of(one))))
        out = [one.finding.entry.person_id for one in booked if one.outcome in _OUT]
        members.leave(self.group, out, tx.now)
        queue.drop(self.group, out)
        queue.drop_entries(one.finding.entry.id for one in booked if not one.finding.stays)
        for one in booked:
            if one.finding.role is not None:
                members.set_role(self.group, one.finding.entry.person_id, one.finding.role, seen_at=self.seen_at)

    def _history_of(self, one: Booked) -> NewHistory | None:
        """Who was already gone, or left alone by us, is no removal and no failure."""
        entry = one.finding.entry
        if one.outcome == REMOVED:
            return NewHistory(entry.person_id, self.job_id, SUCCESS, entry.reason, self.via)
        if one.outcome == REFUSED:
            return NewHistory(entry.person_id, self.job_id, FAILURE, one.reason or "refused", self.via, one.code)
        return None

    def _history(self, tx: Transaction, entries: Iterable[NewHistory]) -> None:
        HistoryRows(tx).add(self.group, entries)


def explain_failure(tx: Transaction, job_id: str, answers: Mapping[str, Answer]) -> None:
    """Of whom the gateway failed as a whole: written down, so that settling them costs them no try."""
    said = {key: one.outcome.reason for key, one in answers.items() if one.outcome and one.outcome.failed}
    if said:
        BatchRows(tx, job_id).explain({key: {FAILED: reason} for key, reason in said.items()})


def in_words(answer: Outcome) -> str | None:
    """Why one person was not removed, where the gateway gives a code alone. WhatsApp documents none of them."""
    if answer.kind is OutcomeKind.REFUSED:
        return _REFUSALS.get(answer.code or "", "WhatsApp did not remove this person, and did not say why")
    return GONE if answer.kind is OutcomeKind.ALREADY_GONE else None


def _as_done_before(one: Booked, now: int) -> Booked:
    """Who was asked for without an answer, was on a list after it all the same, and is gone now, was removed by that
    call: the list was not of then. Lists may lag behind; but after long they may as well have left by themselves.
    """
    entry = one.finding.entry
    if one.outcome != ALREADY_GONE or not entry.was_asked_for:
        return one
    if entry.tried_at is None or now - entry.tried_at > _LISTS_LAG_MS:
        return replace(one, reason=_MAYBE_BY_US)
    return replace(one, outcome=REMOVED, reason=f"{entry.reason}; {_FOUND_GONE_LATER}")


def _as_queued_now(tx: Transaction, booked: Sequence[Booked]) -> list[Booked]:
    """By their entries of this moment, which every merge takes along. Whoever was not found, and has other ids since,
    is not known to be gone: they come again.
    """
    entries = QueueRows(tx).as_now([one.finding.entry for one in booked])
    return [_renewed(one, entry) for one, entry in zip(booked, entries, strict=True)]


def _renewed(one: Booked, entry: QueueEntry) -> Booked:
    renewed = replace(one, finding=replace(one.finding, entry=entry))
    if one.outcome != ALREADY_GONE or not entry.has_new_ids(one.finding.entry):
        return renewed
    return replace(renewed, outcome=REQUEUED, reason=OTHER_IDS)


def _as_merged(tx: Transaction, booked: Sequence[Booked]) -> list[Booked]:
    """Whose row has been joined with another while the call was under way is that other person from now on, also where
    their entry in the queue is no more. Whom nobody knows any more is known anew: a removal is never lost.
    """
    ids = [one.finding.entry.person_id for one in booked]
    known = set(tx.connection.execute(select(people.c.id).where(people.c.id.in_(ids))).scalars())
    return [one if one.finding.entry.person_id in known else _found_anew(PersonRows(tx), one) for one in booked]


def _found_anew(rows: PersonRows, one: Booked) -> Booked:
    entry = one.finding.entry
    known = next((found for text in (entry.lid, entry.pn) if text and (found := rows.find(text))), None)
    person = known.id if known else rows.resolve(entry.lid, entry.pn, entry.name)
    return replace(one, finding=replace(one.finding, entry=replace(entry, person_id=person), role=None))


def _settled(item: LedgerItem, outcome: str, reason: str) -> LedgerItem:
    return LedgerItem(item.key, outcome, item.data | {"reason": reason})
