"""Imports: a member list or a chat export becomes members, activity and observations. Each is one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from runner.errors import RunnerError
from runner.groups.activity import ActivityRows
from runner.groups.authors import LONGEST_NAME, Authors, FormerAuthor, Whose, names_with_colon, read_matches
from runner.groups.export import AuthorActivity, DateOrder, ExportReading, read_export
from runner.groups.export_name import name_in, other_name
from runner.groups.export_people import RECENT, PeopleFound
from runner.groups.group import Group, GroupRows, is_group_id
from runner.groups.kin import KinRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.memberlist import read_members, to_ms
from runner.groups.silence import MEMBER
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.store import Store, Transaction

_CHAT, _LIST = "chat export", "member list"
_CLOCK_ERROR_MS = 120_000
_LONGEST_SOURCE = 200


class ImportRefused(RunnerError):
    """What was given does not fit together; nothing was changed. The message says what to give."""


class GroupUnknown(ImportRefused):
    def __init__(self, wa_id: str) -> None:
        super().__init__(
            f"Nothing is known here of the group {wa_id}, so nobody could say whose messages these are. Take it in "
            f"first: 'runner ingest {wa_id}', or, without a gateway, 'runner import members FILE --group {wa_id}'"
        )


class OtherPeople(ImportRefused):
    """Too few of those who wrote in an export are or were in the group: it seems to be another group's."""


@dataclass(frozen=True)
class MembersSummary:
    """``rows``: people on the list; ``added``: of these new or back; ``members``: in the group now.

    ``kept_off``: on the list, but taken off the roster by a job before, and not known to be back. ``admins``: on the
    list with a role that keeps them from ever being removed. ``may_be_same``: pairs of members whose numbers may be two
    spellings of one.
    """

    group_wa_id: str
    rows: int
    added: int
    members: int
    kept_off: int
    unmatched: int
    admins: int
    group_name: str | None
    may_be_same: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ChatSummary:
    """What an export brought. Times are UTC milliseconds; ``authors`` is split into the four counts below it.

    ``observed_to`` is when the export was made: ``exported_at_given``, else the file's own time, which is wrong for a
    file that was copied since. ``unmatched``: the names to be matched now, of earlier exports too; at most 1000.
    ``former_people``: those among the authors who are taken not to be in the group any more.
    ``chat_name``: what the file calls the chat, where the group has another name here; else None.
    """

    group_wa_id: str
    messages: int
    authors: int
    matched: int
    no_member: int
    former: int
    left_unmatched: int
    unmatched: tuple[UnmatchedAuthor, ...]
    observed_from: int
    observed_to: int
    exported_at_given: bool
    date_order: DateOrder
    unread_lines: int
    group_name: str | None
    chat_name: str | None
    former_people: tuple[FormerAuthor, ...] = ()


def import_members(
    store: Store,
    path: Path,
    group_wa_id: str,
    observed_since: int | None = None,
    *,
    zone: tzinfo | None = None,
    name: str | None = None,
    country: str | None = None,
) -> MembersSummary:
    """Takes in the list at ``path``; makes the group, if it is new.

    ``observed_since`` (UTC ms): all activity since then is known, and on the list; without it the list says nothing
    of anybody's silence; refused for a list without any lastActive. ``country``: the code of the country where a number
    that begins with 0 is one. Raises ListError, ImportRefused, OSError.
    """
    with store.read() as tx:
        now = tx.now
    if observed_since is not None and observed_since > now:
        raise ImportRefused("observed-since lies in the future")
    entries = read_members(path, now, zone, country)
    if observed_since is not None:
        _check_activity(entries)
    with store.write() as tx:
        groups, members = GroupRows(tx), MemberRows(tx)
        group = _new_group(tx, group_wa_id, name)
        before = members.count(group)
        new_since = tx.now
        members.put_all(group, entries, tx.now)
        if group.listed_at is not None:
            ActivityRows(tx).not_heard_before(group, group.listed_at, _CHAT, new_since=new_since)
        groups.listed(group.id)
        if observed_since is not None:
            ActivityRows(tx).observed(group, observed_since, tx.now, _LIST)
        group = groups.by_id(group.id)
        Authors(tx, group).book_unmatched()
        after = members.count(group)
        kept_off = members.count_kept_off(group, entries)
        unmatched = UnmatchedRows(tx).count(group)
        pairs = tuple((one.words, other.words) for one, other in KinRows(tx, group).doubles())
    admins = sum(entry.role not in (None, MEMBER) for entry in entries)
    return MembersSummary(
        group_wa_id, len(entries), after - before, after, kept_off, unmatched, admins, group.name, pairs
    )


def import_chat(  # noqa: PLR0913 - each is one thing that an export does not say of itself
    store: Store,
    path: Path,
    group_wa_id: str,
    *,
    date_order: DateOrder | None = None,
    zone: tzinfo | None = None,
    matches: Path | None = None,
    exported_at: int | None = None,
    other_people: bool = False,
    country: str | None = None,
) -> ChatSummary:
    """Takes in the chat export at ``path``. The same export again changes nothing.

    ``zone``: of the phone that made it, None: this machine's. ``matches``: a file that says which member an author is,
    see ``read_matches``; kept for the next import. ``exported_at``: UTC ms. ``other_people``: that few of those who
    wrote are members is right, see ``PeopleFound``; without it OtherPeople is raised. ``country``: of the numbers in
    ``matches`` that begin with 0. Raises ExportError, ListError, OSError, and ImportRefused: GroupUnknown for a group
    that is not here.
    """
    confirmed = read_matches(matches) if matches else []
    with store.read() as tx:
        known = {*names_with_colon(tx, group_wa_id), *(match.author for match in confirmed)}
    chat = _Chat(read_export(path, date_order, known=known), path, zone)
    with store.write() as tx:
        chat.check_not_in_future(tx.now)
        if exported_at is not None and exported_at > tx.now + _CLOCK_ERROR_MS:
            raise ImportRefused("exported-at lies in the future")
        group = _known_group(tx, group_wa_id)
        authors = Authors(tx, group)
        authors.look_up(said.name for said in chat.reading.authors)
        if matches:
            authors.confirm(matches, confirmed, (said.name for said in chat.reading.authors), country)
        if not other_people:
            chat.check_people(authors, group)
        counts = Counter(authors.book(author) for author in chat.authors())
        if chat.reading.group:
            authors.book_namesake(chat.author(chat.reading.group))
        authors.book_unmatched()
        observed = chat.observed(tx.now, exported_at)
        if chat.reading.opening is not None:  # else an observation of no length would end the one before it
            ActivityRows(tx).observed(group, *observed, _CHAT)
        unmatched = tuple(UnmatchedRows(tx).list(group))
    summary = chat.summary(group, counts, unmatched, observed, exported_at is not None)
    return replace(summary, former_people=tuple(authors.formers.values()))


@dataclass(frozen=True)
class _Chat:
    """An export and its wall times in UTC. Where these can be read in two ways, nobody is silent for longer by ours."""

    reading: ExportReading
    path: Path
    zone: tzinfo | None

    def check_not_in_future(self, now: int) -> None:
        if self._ms(self.reading.last_line, latest=False) > now + _CLOCK_ERROR_MS:
            raise ImportRefused(
                f"the last line of {self.path.name} ({self.reading.last_line:%Y-%m-%d %H:%M}) lies in the future: "
                "give the time zone of the phone that made it, or another date order"
            )

    def check_people(self, authors: Authors, group: Group) -> None:
        """Raises OtherPeople. Before anybody is booked: that makes members of numbers nobody has."""
        since = self.reading.last_line - RECENT
        recent = (self.author(said) for said in self.reading.authors if said.last >= since)
        found = PeopleFound.of(map(authors.is_known, recent), authors.members_without_number)
        if found.are_others:
            raise OtherPeople(found.refusal(self.path.name, name_in(self.reading, self.path), group))

    def authors(self) -> list[UnmatchedAuthor]:
        return [self.author(activity) for activity in self.reading.authors]

    def author(self, said: AuthorActivity) -> UnmatchedAuthor:
        first, last = self._ms(said.first, latest=True), self._ms(said.last, latest=True)
        return UnmatchedAuthor(said.name[:LONGEST_NAME], said.messages, first, last, self.path.name[:_LONGEST_SOURCE])

    def observed(self, now: int, exported_at: int | None) -> tuple[int, int]:
        """From the first message in the file to the moment the export was made: never in the future, never before its
        last line. Where nobody wrote, nothing shows that anything would have been in it.
        """
        last = self._ms(self.reading.last_line, latest=False)
        made = self._file_time(now, last) if exported_at is None else exported_at
        end, opening = min(now, max(made, last)), self.reading.opening
        begin = end if opening is None else self._ms(opening, latest=True)
        return begin, max(begin, end)

    def _file_time(self, now: int, last: int) -> int:
        """The file's own time; one that lies in the future says nothing."""
        said = self.path.stat().st_mtime_ns // 1_000_000
        return said if said <= now + _CLOCK_ERROR_MS else last

    def summary(
        self,
        group: Group,
        counts: Counter[Whose],
        unmatched: tuple[UnmatchedAuthor, ...],
        observed: tuple[int, int],
        exported_at_given: bool,
    ) -> ChatSummary:
        return ChatSummary(
            group.wa_id,
            self.reading.messages,
            len(self.reading.authors),
            counts[Whose.MEMBER],
            counts[Whose.NO_MEMBER],
            counts[Whose.FORMER],
            counts[Whose.UNMATCHED],
            unmatched,
            *observed,
            exported_at_given,
            self.reading.date_order,
            self.reading.unread_lines,
            group.name,
            other_name(self.reading, self.path, group),
        )

    def _ms(self, said: datetime, *, latest: bool) -> int:
        return to_ms(said, self.zone, latest=latest)


def _check_activity(entries: Sequence[MemberEntry]) -> None:
    if not any(entry.last_active_at for entry in entries):
        raise ImportRefused(
            "observed-since says that everybody's activity is on the list, but nobody on it has a lastActive: "
            "all of them would look silent. Add that column, or leave observed-since out"
        )


def _known_group(tx: Transaction, wa_id: str) -> Group:
    if not is_group_id(wa_id):
        raise ImportRefused(f"{wa_id!r} is not a group id: digits@g.us or digits-digits@g.us")
    group = GroupRows(tx).find(wa_id)
    if group is None:
        raise GroupUnknown(wa_id)
    return group


def _new_group(tx: Transaction, wa_id: str, name: str | None) -> Group:
    try:
        return GroupRows(tx).create(wa_id, name)
    except ValueError as error:
        raise ImportRefused(str(error)) from error
