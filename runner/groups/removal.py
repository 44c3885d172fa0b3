"""One job's removals from one group: looking again, asking the gateway, booking what became of each person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from runner.backoff import Backoff
from runner.batch import Batch
from runner.context import JobContext
from runner.errors import StoreUnavailable
from runner.gateway import (
    AuthFailed,
    GatewayError,
    GroupGone,
    Listing,
    NotConnected,
    Outcome,
    OutcomeKind,
    RateLimited,
    Transient,
)
from runner.groups.absence import Absence
from runner.groups.booking import Answer, Booked, Books, explain_failure, in_words
from runner.groups.group import Group, GroupRows
from runner.groups.halt import OnlyAdminsWrite
from runner.groups.ids_then import IdsThen, join
from runner.groups.intake import FRESH_MS, ids_of_all, take_over, warnings_of
from runner.groups.judgement import Finding, hold_back, look_again, look_at_list, new_pairs, spare_the_silent
from runner.groups.latecomers import Latecomers
from runner.groups.listing import (
    Listed,
    ListsPeople,
    SuspiciousListing,
    WithoutUs,
    check_listing,
    fresh_listing,
    settling_listing,
)
from runner.groups.pacing import JudgedAnew, StopFirst
from runner.groups.putoff import PutOff
from runner.groups.queue import QueueEntry, QueueRows
from runner.groups.rights import Rights
from runner.groups.settling import Settling, between_lists, make_sure, not_yet_sure
from runner.groups.unmatched import UnmatchedRows
from runner.groups.unplaced import hold_back_unplaced
from runner.ledger import REQUEUED
from runner.opening import open_gateway
from runner.store import Transaction
from runner.stores.batches import LedgerItem

_STILL_RECENT_SECONDS, _SLOWEST_LIST_SECONDS = 10.0, 20.0

Seen = TypeVar("Seen")


class RemovalConfig(Protocol):
    """What of a job's config matters here."""

    @property
    def group_wa_id(self) -> str: ...

    @property
    def dry_run(self) -> bool: ...


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
        self._latecomers = Latecomers(job, self.group)
        self._absence = Absence(job, self.group)
        self._rights = Rights()
        self.put_off = PutOff(job)
        self._was_asked, self._may_judge_anew = False, True
        self._ids_then = IdsThen()
        self._recent: Listed | None = None
        self._judged_by = self.seen = Listed({})  # seen: the list this run began with; empty where none was asked for
        self._came_again: set[int] = set()
        self._listed_at = self._list_took = self._judged_at = 0.0

    def prepare(self, *, by_silence: bool = False) -> None:
        """Before anything else of a run: the group as it is now, taken over into our members; a dry run only looks.

        Not for the roster, whose list is the store itself, nor again within an hour. Raises SuspiciousListing,
        NotForCommunities, OnlyAdminsWrite for a run ``by_silence``, and what the gateway raises beyond all tries.
        """
        taken = self._job.result.get("listed", {}).get("atMs", 0)
        if isinstance(self.gateway, ListsPeople) or self._job.clock.now_ms() - taken < FRESH_MS:
            return
        asked_at = self._job.clock.now_ms()
        self._job.patiently(lambda: self._read(lambda tx: self._ids_then.read(tx, self.group, ())))
        then = self._job.patiently(lambda: self._read(lambda tx: ids_of_all(tx, self.group)))
        listing, listed, warnings = self._patiently(self._whole_list)
        if warnings:
            self._job.result["warnings"] = warnings
        if listing.is_announcement and by_silence and self._silence_is_doubtful:
            raise OnlyAdminsWrite
        if not self._config.dry_run:
            take_over(self._job, self.group, listing, listed, asked_at, then)
        self._recent = self.seen = listed

    def _whole_list(self) -> tuple[Listing, Listed, list[str]]:
        """With what is to be said of it. It is not asked for again because the store does not answer."""
        listing = self._ask_for_list(lambda: self.gateway.list_group(self.group.wa_id))
        warnings = warnings_of(listing)
        return listing, self._job.patiently(lambda: check_listing(listing, self._store, self.group)), warnings

    def judge(self, entries: Sequence[QueueEntry]) -> list[Finding]:
        """Looks at them again: the listing first, since it may take long, the store last. Waits for what was said in an
        outage."""
        if not self._config.dry_run:
            self._latecomers.wait(entries)
            read = entries  # before a wait that may have been long: they may have other ids by now
            entries = self._job.patiently(lambda: self._read(lambda tx: QueueRows(tx).as_now(read)))
            if not (self._recent and self._is_list_recent()):
                self._job.patiently(lambda: self._read(lambda tx: self._ids_then.read(tx, self.group, entries)))
        self._was_asked, before = False, self._recent
        listed = self.listing(known for entry in entries for known in (entry.lid, entry.pn))
        pairs = new_pairs(entries, listed)
        if pairs and not self._config.dry_run:
            entries = self._job.patiently(lambda: join(self._store, entries, pairs))
        self._judged_by, self._judged_at = listed, self._listed_at
        findings = self._job.patiently(lambda: self._look_again(entries, listed))
        if self._config.dry_run:
            return findings
        if listed is before and any(one.by_list and not self._ids_then.are_of(one.entry) for one in findings):
            self._recent = None  # it is older than what we know of their ids: they may be on the next
            return self.judge(entries)
        return make_sure(findings, self._settling_list)

    def remove(self, findings: Sequence[Finding], seconds_left: Callable[[], float]) -> dict[str, Answer]:
        """Asks the gateway, once more without those against whom something was said since; answers by ledger key.

        Raises MoreToCome after an outage since they were judged, JudgedAnew where they are found otherwise now,
        NotYetBelieved, NotAdmin, and what the gateway raises.
        """
        return self._absence.calling(lambda: self._remove(findings, seconds_left))

    def _remove(self, findings: Sequence[Finding], seconds_left: Callable[[], float]) -> dict[str, Answer]:
        entries = [finding.entry for finding in findings]
        if self._was_asked or not self._is_list_recent():
            self._judged_by, self._recent = self._list_again(entries), None  # else that of before would pass for it
            if self._job.is_stopping:
                raise StopFirst  # it may have taken long
            if self._list_took > _STILL_RECENT_SECONDS:
                self._was_asked = False  # this list serves for the next try
                raise Transient("the gateway took too long for its list of the group", nothing_sent=True)
        self._was_asked, self._recent = True, None
        try:
            self._latecomers.check(entries)
            again = self._look_again(entries, self._judged_by)
        except StoreUnavailable as error:
            raise NotConnected(str(error)) from error
        if self._may_judge_anew and any(
            one.outcome or one.id != was.id for was, one in zip(findings, again, strict=True)
        ):
            self._may_judge_anew = False  # for this batch: lists may never agree
            raise JudgedAnew
        again = not_yet_sure(again, self._came_again)
        answers = {finding.key: Answer(finding) for finding in again if finding.outcome}
        # By the ids of the list they were looked at by last: a number may be somebody else's since the one before.
        going = [finding for finding in again if not finding.outcome]
        outcomes = self._call(list(dict.fromkeys(one.id for one in going)), seconds_left) if going else {}
        if outcomes:
            if len(outcomes) == len(going):
                self._rights.check(outcomes.values())
            self.put_off.note(outcomes.values())
        return answers | {one.key: Answer(one, outcomes[one.id]) for one in going if one.id in outcomes}

    def _call(self, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        """Empty where no answer came: of whom nobody asked, it is known all the same why."""
        try:
            return self.gateway.remove(self.group.wa_id, ids, seconds_left)
        except StoreUnavailable:
            return {}  # a gateway of the user's own; it may have removed them before
        except GatewayError as error:
            if error.nothing_sent:
                raise
            return {}

    def _list_again(self, entries: Sequence[QueueEntry]) -> Listed:
        """Before another try, or after a wait for the store: long enough for somebody to be made an admin."""
        ids = [known for entry in entries for known in (entry.lid, entry.pn)]
        try:
            return self._ask_for_list(lambda: fresh_listing(self.gateway, self._store, self.group, ids))
        except (RateLimited, AuthFailed, GroupGone):
            raise
        except WithoutUs as error:
            raise GroupGone(str(error)) from error
        except (GatewayError, StoreUnavailable, SuspiciousListing) as error:
            raise NotConnected(str(error)) from error  # a list that does not come has removed nobody

    def _settling_list(self, ids: Sequence[str]) -> Listed:
        pause = between_lists(self._job)
        return self._patiently(lambda: settling_listing(self.gateway, self._store, self.group, ids, pause))

    @property
    def _silence_is_doubtful(self) -> bool:
        """A dry run shows what there would be; and somebody may have said that silence is to count all the same."""
        return not (self._config.dry_run or self._job.options.get("ignoreAnnouncement"))

    def book(self, tx: Transaction, findings: Sequence[Finding], answers: Mapping[str, Answer]) -> Iterable[LedgerItem]:
        """Books each person by what was found or answered; whoever has no answer stays open."""
        self._may_judge_anew = True
        explain_failure(tx, self._job.id, answers)
        booked = [known for finding in findings if (known := self._booked(finding, answers.get(finding.key)))]
        return self._books().write(tx, booked)

    def settle(self, batch: Batch[Any]) -> None:
        """Finds out by a listing what became of a call that nobody answered; never by another call."""
        settling = Settling(self._job, self.gateway, self.group, batch.open)
        if batch.left_open and not batch.left_open.is_called:
            batch.commit(lambda tx: settling.book_uncalled(tx, self._books()))
            return
        self._job.wait_until_over(batch)
        listed = settling.find_out()
        if listed is None:
            self._job.patiently(self._absence.note)
        batch.commit(lambda tx: settling.book(tx, self._books(), listed))

    def listing(self, ids: Iterable[str | None]) -> Listed:
        """The group now. A gateway that cannot answer for the moment is asked again; the wait shows on the job."""
        if self._recent is not None and self._is_list_recent():
            return self._recent  # where nobody was asked for since: gateways are banned for asking too often
        wanted = [known for known in ids if known]
        found = self._patiently(
            lambda: self._ask_for_list(lambda: fresh_listing(self.gateway, self._store, self.group, wanted))
        )
        self._recent = found if found.is_whole else None
        return found

    def _ask_for_list(self, ask: Callable[[], Seen]) -> Seen:
        asked_at = self._job.clock.boot_seconds()
        answer = ask()
        self._list_took = self._job.clock.boot_seconds() - asked_at
        self._listed_at = asked_at  # not before: where none comes, the one of before is as old as it was
        return answer

    def _is_list_recent(self) -> bool:
        """By when it was asked for: much may have kept it waiting since. Where the gateway takes long for a list,
        another would be no newer when it is there, and use up the time of the call."""
        took = min(self._list_took, _SLOWEST_LIST_SECONDS)  # beyond that nobody knows of when within it the list is
        return self._job.clock.boot_seconds() - self._listed_at < _STILL_RECENT_SECONDS + took

    def _patiently(self, ask: Callable[[], Seen]) -> Seen:
        backoff = Backoff(self._job.settings, chance=self._job.chance, now=self._job.clock.boot_seconds)
        while True:
            try:
                return self._absence.asking(lambda: self._job.patiently(ask))
            except (NotConnected, RateLimited, Transient) as error:
                if (pause := backoff.wait_after(error)) is None:
                    raise
                self._job.wait_visibly(pause, str(error))

    def _look_again(self, entries: Sequence[QueueEntry], listed: Listed) -> list[Finding]:
        """By the list, and by the store after it."""

        def look(tx: Transaction) -> list[Finding]:
            # After a long wait a person may have another number, or be measured by another window.
            now = entries if self._config.dry_run else QueueRows(tx).as_now(entries)
            findings = look_at_list(look_again(tx, self.group, now, self.slack_ms), listed, entries)
            findings = hold_back_unplaced(tx, self.group, findings, listed, tx.now)
            if self._silence_is_doubtful:
                findings = spare_the_silent(findings, listed)
            names_matter = not (self._config.dry_run or self._job.options.get("ignoreUnmatched"))
            # The start was refused while a name was open; an import may have left one since.
            return hold_back(findings) if names_matter and UnmatchedRows(tx).count(self.group) else findings

        return self._read(look)

    def _books(self) -> Books:
        seen_at = self._job.clock.now_ms() - int((self._job.clock.boot_seconds() - self._judged_at) * 1000)
        return Books(self.group, self._job.id, self.gateway.via, self._config.dry_run, seen_at)

    def _booked(self, finding: Finding, answer: Answer | None) -> Booked | None:
        finding, said = (answer.finding, answer.outcome) if answer else (finding, None)
        if finding.outcome is not None:
            return Booked(finding, finding.outcome, finding.reason)
        if self._config.dry_run:
            return Booked(finding, "would_remove")
        if said is None or said.kind is OutcomeKind.UNKNOWN:
            return None
        if said.kind is OutcomeKind.LATER:
            return Booked(finding, REQUEUED, said.reason, said.code)
        return Booked(finding, str(said.kind), said.reason or in_words(said), said.code)

    def _read(self, look: Callable[[Transaction], Seen]) -> Seen:
        with self._store.read() as tx:
            return look(tx)
