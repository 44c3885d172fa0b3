"""Finding out what became of people whose call nobody answered: by a listing that can be trusted, never by a guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from runner.backoff import Backoff
from runner.context import JobContext
from runner.errors import RunnerError
from runner.gateway import GatewayError, GroupGateway, GroupGone
from runner.groups.booking import Books
from runner.groups.group import Group
from runner.groups.identity import LID, person_id
from runner.groups.judgement import ALREADY_GONE, Finding, hold_back, look_at_listing
from runner.groups.listing import Listed, SuspiciousListing, WithoutUs, settling_listing
from runner.groups.person import Person, PersonRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.ledger import REQUEUED
from runner.store import Transaction
from runner.stores.batches import LedgerItem

SECOND_LIST_SECONDS = 5.0

ABSENCE_SECONDS = 30.0
"""Between two answers that we are not in the group: longer than a gateway takes to begin anew."""

_NOT_SURE = "a call for them had no answer, and the group's list cannot be trusted to say that they are gone"
_COMES_AGAIN = "not found on the group's list right before the call; comes again"
_LISTS_DISAGREE = "the group's lists disagree on whether they are there; stays in the queue"


@dataclass(frozen=True)
class LeftOpen:
    """One person of whom nobody knows what became of the call."""

    item: LedgerItem
    person: Person | None

    @property
    def ids(self) -> tuple[str | None, ...]:
        ids = (self.person.lid, self.person.pn) if self.person else ()
        return (person_id(str(self.item.data["id"])), *ids)

    def may_be_in(self, listed: Listed) -> bool:
        """Whether they are listed, or the list does not show the ids they are known by.

        Whoever is listed with their number and another lid is somebody else, to whom the number has moved.
        """
        known = [one for one in self.ids if one]
        lids = [one for one in known if one.endswith(LID)]
        pns = [one for one in known if not one.endswith(LID)]
        pairs: Iterable[tuple[str | None, str | None]] = product(lids or (None,), pns or (None,))
        if any(listed.find_person(lid, pn) is not None for lid, pn in pairs):
            return True
        return not listed.would_show(next(iter(lids), None), next(iter(pns), None))


class Settling:
    """The people of one batch, left open."""

    def __init__(self, job: JobContext, gateway: GroupGateway, group: Group, items: Sequence[LedgerItem]) -> None:
        self._job, self._gateway, self._group = job, gateway, group
        self._left_open: list[LeftOpen] = job.patiently(lambda: self._read(items))

    def find_out(self) -> Listed | None:
        """A list that can be trusted, however long that takes: it is waited for, visibly, and asked for again.

        None: we are not in the group any more, or not on its list, so there will be none; believed when it is said
        twice in a row, with a wait between. A gateway that has just begun may know of no group yet.
        """
        is_gone = False
        backoff = Backoff(self._job.settings, endless=True, chance=self._job.chance)
        wanted = [known for one in self._left_open for known in one.ids]
        while True:
            try:
                return self._job.patiently(
                    lambda: settling_listing(
                        self._gateway, self._job.store, self._group, wanted, between_lists(self._job)
                    )
                )
            except (GroupGone, WithoutUs) as error:
                if is_gone:
                    return None
                is_gone = True
                self._wait(backoff, error, at_least=ABSENCE_SECONDS * self._job.settings.retry_seconds)
            except (GatewayError, SuspiciousListing) as error:
                is_gone = False
                self._wait(backoff, error)

    def book(self, tx: Transaction, books: Books, listed: Listed | None) -> Iterator[LedgerItem]:
        """Whoever is gone was removed; whoever is still there comes again, once. Without a list they are given up."""
        rows = PersonRows(tx)
        for one, person, entry in self._now(tx):
            now = replace(one, person=rows.get(person))  # may have another number since the list was asked for
            is_there = None if listed is None else one.may_be_in(listed) or now.may_be_in(listed)
            yield books.settle(tx, one.item, person, is_there, entry)

    def book_uncalled(self, tx: Transaction, books: Books) -> Iterator[LedgerItem]:
        """No call had gone out, so there is nothing to find out: they come again, and that costs no try."""
        for one, _, entry in self._now(tx):
            yield books.put_back(tx, one.item, entry)

    def _now(self, tx: Transaction) -> Iterator[tuple[LeftOpen, int, QueueEntry | None]]:
        people = {one.item.key: _person_now(tx, one.item) for one in self._left_open}
        entries = {entry.person_id: entry for entry in QueueRows(tx).of(self._group, people.values())}
        for one in self._left_open:
            person = people[one.item.key]
            yield one, person, entries.get(person)

    def _wait(self, backoff: Backoff, error: GatewayError | RunnerError, *, at_least: float = 0.0) -> None:
        count = len(self._left_open)
        people = "1 person was" if count == 1 else f"{count} people were"
        said = f"No answer came as to whether {people} removed, and the group's list does not say it yet: {error}"
        self._job.wait_visibly(max(backoff.wait_after(error) or 0.0, at_least), said)

    def _read(self, items: Sequence[LedgerItem]) -> list[LeftOpen]:
        with self._job.store.read() as tx:
            return [LeftOpen(item, _known_person(tx, item)) for item in items]


def between_lists(job: JobContext) -> Callable[[], None]:
    """The wait before a second list; a stop ends it."""
    return lambda: job.sleep(SECOND_LIST_SECONDS * job.settings.retry_seconds)


def make_sure(findings: Sequence[Finding], ask: Callable[[Sequence[str]], Listed]) -> list[Finding]:
    """Whoever was asked for without an answer before, and is gone: only by a list that would settle the call itself.

    ``ask``: gets one of those ids, as ``settling_listing``. Where none can be trusted they stay in the queue.
    """
    ids = [known for one in findings if _may_be_done(one) for known in (one.entry.lid, one.entry.pn) if known]
    if not ids:
        return list(findings)
    try:
        listed = ask(ids)
    except WithoutUs:
        raise
    except SuspiciousListing:
        return hold_back(findings, _NOT_SURE, _may_be_done)
    return [look_at_listing(one, listed) if _may_be_done(one) else one for one in findings]


def not_yet_sure(findings: Sequence[Finding], came_again: set[int]) -> list[Finding]:
    """Right before a call, where there is no time to look again: whoever is gone comes again, once.

    ``came_again``: the people who have, of this run; grows by those who do now.
    """
    gone = {one.entry.person_id for one in findings if one.outcome == ALREADY_GONE}
    twice = gone & came_again
    came_again |= gone
    held = hold_back(findings, _LISTS_DISAGREE, lambda one: one.entry.person_id in twice)
    return [replace(one, outcome=REQUEUED, reason=_COMES_AGAIN) if one.outcome == ALREADY_GONE else one for one in held]


def _may_be_done(one: Finding) -> bool:
    return one.outcome == ALREADY_GONE and one.entry.was_asked_for


def _known_person(tx: Transaction, item: LedgerItem) -> Person | None:
    """By their entry in the queue, whom every merge takes along; else by our own number, else by the id sent."""
    rows = PersonRows(tx)
    entries = QueueRows(tx).with_ids([int(item.key)] if item.key.isdecimal() else [])
    sent = person_id(str(item.data["id"]))
    by_number = rows.get(entries[0].person_id if entries else int(item.data["personId"]))
    return by_number or (rows.find(sent) if sent else None)


def _person_now(tx: Transaction, item: LedgerItem) -> int:
    """In the transaction that books them. Somebody nobody knows any more is known anew: a removal is never lost."""
    known = _known_person(tx, item)
    if known is not None:
        return known.id
    sent = person_id(str(item.data["id"])) or ""
    lid, pn = (sent, None) if sent.endswith(LID) else (None, sent)
    return PersonRows(tx).resolve(lid, pn, item.data.get("name"))
