"""One job's removals from one group: looking again, asking the gateway, booking what became of each person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from runner.context import JobContext
from runner.errors import StoreUnavailable
from runner.gateway import (
    AuthFailed,
    GatewayError,
    GroupGone,
    NotConnected,
    Outcome,
    OutcomeKind,
    RateLimited,
    Transient,
)
from runner.groups.booking import Booked, Books
from runner.groups.group import Group, GroupRows
from runner.groups.identity import LID, person_id
from runner.groups.judgement import Finding, hold_back, look_again, look_at_listing
from runner.groups.listing import Listed, SuspiciousListing, fresh_listing
from runner.groups.person import Person, PersonRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.groups.unmatched import UnmatchedRows
from runner.opening import open_gateway
from runner.store import Transaction
from runner.stores.batches import LedgerItem

_LISTING_TRIES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_FIRST_SLOWDOWN, _LONGEST_SLOWDOWN = 300.0, 3600.0
_MOST_SLOWDOWNS = 5

Seen = TypeVar("Seen")
Pair = tuple[str, str]
Answer = Outcome | Finding
"""What the gateway said of somebody; or why they were left out at the last moment."""


class RemovalConfig(Protocol):
    """What of a job's config matters here."""

    @property
    def group_wa_id(self) -> str: ...

    @property
    def dry_run(self) -> bool: ...


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
        """Whether they are listed, or the list does not show the ids they are known by."""
        known = [one for one in self.ids if one]
        lid = next((one for one in known if one.endswith(LID)), None)
        pn = next((one for one in known if not one.endswith(LID)), None)
        return listed.find(*known) is not None or not listed.would_show(lid, pn)


class Removal:
    """Opened in the job's process, for one run."""

    def __init__(self, job: JobContext, config: RemovalConfig) -> None:
        self._job = job
        self._store = job.store
        self._config = config
        self.gateway = open_gateway(job.settings, job.store, job.clock)
        self.group: Group = job.patiently(lambda: self._read(lambda tx: GroupRows(tx).get(config.group_wa_id)))
        self.slack_ms = int(job.settings.observation_slack_hours * 3_600_000)
        reviewed = job.options.get("reviewed")
        # A real run has a copy of the list under its own id, since the dry run may be deleted meanwhile.
        self.listed: str | None = reviewed and (reviewed if config.dry_run else job.id)
        self._was_asked = False
        self._put_off: list[str] = []

    def slow_down(self) -> None:
        """Waits, and shows it, if the last batch had somebody put off: five minutes at first, an hour in the end.

        Raises RateLimited when that did not help five times in a row.
        """
        if self._put_off:
            reason, times = self._put_off[-1], len(self._put_off)
            if times > _MOST_SLOWDOWNS:
                raise RateLimited(f"{reason}; it still did after {_MOST_SLOWDOWNS} pauses")
            self._job.wait_visibly(min(_LONGEST_SLOWDOWN, _FIRST_SLOWDOWN * 2 ** (times - 1)), reason)

    def judge(self, entries: Sequence[QueueEntry]) -> list[Finding]:
        """Looks at them again: the listing first, since it may take long, the store last."""
        self._was_asked = False
        listed = self.listing(known for entry in entries for known in (entry.lid, entry.pn))
        pairs = _new_pairs(entries, listed)
        if pairs and not self._config.dry_run:
            entries = self._job.patiently(lambda: self._join(entries, pairs))
        findings = self._job.patiently(lambda: self._look_again(entries))
        return [look_at_listing(finding, listed) for finding in findings]

    def remove(self, findings: Sequence[Finding], seconds_left: Callable[[], float]) -> dict[str, Answer]:
        """Asks the gateway, once more without those against whom something was said since; answers by ledger key."""
        try:
            again = self._look_again([finding.entry for finding in findings])
        except StoreUnavailable as error:
            raise NotConnected(str(error)) from error
        if self._was_asked:
            again = self._look_at_the_list_again(again)
        self._was_asked = True
        answers: dict[str, Answer] = {finding.key: finding for finding in again if finding.outcome}
        going = {finding.key: finding.id for finding in findings if finding.key not in answers}
        if going:
            outcomes = self.gateway.remove(self.group.wa_id, list(going.values()), seconds_left)
            answers |= {key: outcomes[known] for key, known in going.items() if known in outcomes}
            self._keep_in_mind(outcomes)
        return answers

    def _keep_in_mind(self, outcomes: Mapping[str, Outcome]) -> None:
        said = next((one for one in outcomes.values() if one.kind is OutcomeKind.LATER), None)
        self._put_off = [*self._put_off, said.reason or "the gateway asks for a pause"] if said else []

    def _look_at_the_list_again(self, findings: Sequence[Finding]) -> list[Finding]:
        """Before another try: its wait may have been long enough for somebody to be made an admin."""
        ids = [known for finding in findings for known in (finding.entry.lid, finding.entry.pn)]
        try:
            listed = fresh_listing(self.gateway, self._store, self.group, ids)
        except (RateLimited, AuthFailed, GroupGone):
            raise
        except (GatewayError, StoreUnavailable, SuspiciousListing) as error:
            raise NotConnected(str(error)) from error  # a list that does not come has removed nobody
        return [look_at_listing(finding, listed) for finding in findings]

    def book(self, tx: Transaction, findings: Sequence[Finding], answers: Mapping[str, Answer]) -> Iterable[LedgerItem]:
        """Books each person by what was found or answered; whoever has no answer stays open."""
        booked = [known for finding in findings if (known := self._booked(finding, answers.get(finding.key)))]
        return self._books().write(tx, booked)

    def left_open(self, items: Sequence[LedgerItem]) -> list[LeftOpen]:
        return self._job.patiently(
            lambda: self._read(lambda tx: [LeftOpen(item, _person(PersonRows(tx), item)) for item in items])
        )

    def book_settled(self, tx: Transaction, left_open: Sequence[LeftOpen], listed: Listed) -> Iterator[LedgerItem]:
        """Whoever is gone was removed; whoever is still there comes again, once."""
        people = [one.person.id for one in left_open if one.person]
        entries = {entry.person_id: entry for entry in QueueRows(tx).of(self.group, people)}
        books = self._books()
        for one in left_open:
            entry = entries.get(one.person.id) if one.person else None
            yield from books.settle(tx, one.item, one.person, one.may_be_in(listed), entry)

    def listing(self, ids: Iterable[str | None]) -> Listed:
        """The group now. A gateway that cannot answer for the moment is asked again; the wait shows on the job."""
        wanted = [known for known in ids if known]
        pause = _FIRST_PAUSE
        for tries_left in reversed(range(_LISTING_TRIES)):
            try:
                return self._job.patiently(lambda: fresh_listing(self.gateway, self._store, self.group, wanted))
            except (NotConnected, RateLimited, Transient) as error:
                if not tries_left:
                    raise
                self._job.wait_visibly(_asked_pause(error) or pause, str(error))
                pause = min(_LONGEST_PAUSE, pause * 2)
        raise AssertionError("the last try returns or raises")

    def _join(self, entries: Sequence[QueueEntry], pairs: Sequence[Pair]) -> Sequence[QueueEntry]:
        """The list shows that a lid and a number are one person: what is known of either counts for both."""
        with self._store.write() as tx:
            for lid, pn in pairs:
                PersonRows(tx).resolve(lid, pn)
            return QueueRows(tx).with_ids(entry.id for entry in entries)

    def _look_again(self, entries: Sequence[QueueEntry]) -> list[Finding]:
        def look(tx: Transaction) -> list[Finding]:
            findings = look_again(tx, self.group, entries, self.slack_ms)
            names_matter = not (self._config.dry_run or self._job.options.get("ignoreUnmatched"))
            # The start was refused while a name was open; an import may have left one since.
            return hold_back(findings) if names_matter and UnmatchedRows(tx).count(self.group) else findings

        return self._read(look)

    def _books(self) -> Books:
        return Books(self.group, self._job.id, self.gateway.via, self._config.dry_run)

    def _booked(self, finding: Finding, answer: Answer | None) -> Booked | None:
        if isinstance(answer, Finding):
            finding, answer = answer, None
        if finding.outcome is not None:
            return Booked(finding, finding.outcome, finding.reason)
        if self._config.dry_run:
            return Booked(finding, "would_remove")
        if answer is None or answer.kind is OutcomeKind.UNKNOWN:
            return None
        return Booked(finding, str(answer.kind), answer.reason, answer.code)

    def _read(self, look: Callable[[Transaction], Seen]) -> Seen:
        with self._store.read() as tx:
            return look(tx)


def _new_pairs(entries: Sequence[QueueEntry], listed: Listed) -> list[Pair]:
    listings = ((entry, listed.find(entry.lid, entry.pn)) for entry in entries)
    shown = ((entry, person_id(one.lid), person_id(one.pn)) for entry, one in listings if one and one.lid and one.pn)
    return [(lid, pn) for entry, lid, pn in shown if lid and pn and (entry.lid, entry.pn) != (lid, pn)]


def _asked_pause(error: GatewayError) -> float | None:
    return error.after_seconds if isinstance(error, RateLimited) else None


def _person(rows: PersonRows, item: LedgerItem) -> Person | None:
    """By our own number; if a merge has ended it, by the id that was sent, which the merge took along."""
    sent = person_id(str(item.data["id"]))
    return rows.get(int(item.data["personId"])) or (rows.find(sent) if sent else None)
