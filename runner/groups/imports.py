"""Imports: a member list or a chat export becomes members, activity and observations. Each is one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path

from runner.groups.activity import ActivityRows
from runner.groups.authors import Authors, FormerAuthor, Whose, known_names, read_matches
from runner.groups.chat_file import ChatFile, ImportRefused, OtherPeople
from runner.groups.export import DateOrder, read_export
from runner.groups.export_made import CLOCK_ERROR_MS, Made, Source
from runner.groups.export_name import other_name
from runner.groups.gaps import gap_after
from runner.groups.group import Group, GroupRows, is_group_id
from runner.groups.kin import KinRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.memberlist import listed_until, read_members
from runner.groups.silence import MEMBER
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.groups.votes import PollRows
from runner.store import Store, Transaction

_CHAT, _LIST = "chat export", "member list"

__all__ = [
    "ChatSummary",
    "GroupUnknown",
    "ImportRefused",
    "MembersSummary",
    "OtherPeople",
    "import_chat",
    "import_members",
]


class GroupUnknown(ImportRefused):
    def __init__(self, wa_id: str) -> None:
        super().__init__(
            f"Nothing is known here of the group {wa_id}, so nobody could say whose messages these are. Take it in "
            f"first: 'runner ingest {wa_id}', or, without a gateway, 'runner import members FILE --group {wa_id}'"
        )


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

    ``observed_to`` is when the export was made, as ``made_by`` tells: somebody, the zip it came in, the file's own
    time, or its last line; ``is_doubted``: somebody says so, and the file is older. ``gap``: a sentence about the time
    between it and what was observed next; ``is_followed``: all that was said from then to ``taken_at`` is known
    otherwise. ``cut_lines``, ``fallen_lines``: see ``ExportReading``. ``unmatched``: the names to be matched now, of
    earlier exports too; at most 1000. ``former_people``: those among the authors who are taken not to be in the group
    any more. ``chat_name``: what the file calls the chat, where the group has another name here; else None.
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
    made_by: Source = "given"
    is_doubted: bool = False
    is_followed: bool = True
    gap: str | None = None
    taken_at: int = 0
    cut_lines: int = 0
    fallen_lines: int = 0
    polls: int = 0


def import_members(  # noqa: PLR0913 - each is one thing that a list does not say of itself
    store: Store,
    path: Path,
    group_wa_id: str,
    observed_since: int | None = None,
    *,
    listed_at: int | None = None,
    zone: tzinfo | None = None,
    name: str | None = None,
    country: str | None = None,
) -> MembersSummary:
    """Takes in the list at ``path``; makes the group, if it is new.

    ``observed_since`` (UTC ms): all activity since then is known, and on the list; without it the list says nothing
    of anybody's silence; refused for a list without any lastActive. ``listed_at`` (UTC ms): until then; None: until the
    file's own time, see ``listed_until``. ``country``: the code of the country where a number that begins with 0 is
    one. Raises ListError, ImportRefused, OSError.
    """
    with store.read() as tx:
        now = tx.now
    if observed_since is not None and observed_since > now:
        raise ImportRefused("observed-since lies in the future")
    entries = read_members(path, now, zone, country)
    if observed_since is not None:
        _check_activity(entries)
    until = _told_until(path, entries, listed_at, now)
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
            ActivityRows(tx).observed(group, observed_since, max(observed_since, until), _LIST)
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
    ``matches`` that begin with 0. Raises ExportError (MadeOpen: it may have been made before its file), ListError,
    OSError, and ImportRefused: GroupUnknown for a group that is not here.
    """
    confirmed = read_matches(matches) if matches else []
    with store.read() as tx:
        known = known_names(tx, group_wa_id) | {match.author for match in confirmed if ":" in match.author}
    chat = ChatFile(read_export(path, date_order, known=known), path, zone)
    with store.write() as tx:
        chat.check_not_in_future(tx.now)
        if exported_at is not None and exported_at > tx.now + CLOCK_ERROR_MS:
            raise ImportRefused("exported-at lies in the future")
        made = chat.made(tx.now, exported_at)
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
        observed = chat.observed(made)
        if chat.reading.opening is not None:  # else an observation of no length would end the one before it
            ActivityRows(tx).observed(group, *observed, _CHAT)
        for at in chat.polls(tx.now):
            PollRows(tx).saw(group, at)
        summary = _summary(tx, chat, group, counts, observed, made)
    return replace(summary, former_people=tuple(authors.formers.values()))


def _summary(
    tx: Transaction, chat: ChatFile, group: Group, counts: Counter[Whose], observed: tuple[int, int], made: Made
) -> ChatSummary:
    said = chat.reading
    return ChatSummary(
        group.wa_id,
        said.messages,
        len(said.authors),
        counts[Whose.MEMBER],
        counts[Whose.NO_MEMBER],
        counts[Whose.FORMER],
        counts[Whose.UNMATCHED],
        tuple(UnmatchedRows(tx).list(group)),
        *observed,
        made.source == "given",
        said.date_order,
        said.unread_lines,
        group.name,
        other_name(said, chat.path, group),
        made_by=made.source,
        is_doubted=chat.is_doubted(made),
        is_followed=ActivityRows(tx).is_watched(group, observed[1], tx.now),
        gap=gap_after(tx, group, observed[1], tx.now),
        taken_at=tx.now,
        cut_lines=said.cut_lines,
        fallen_lines=said.fallen_lines,
        polls=said.polls,
    )


def _told_until(path: Path, entries: Sequence[MemberEntry], listed_at: int | None, now: int) -> int:
    if listed_at is None:
        return listed_until(path, entries, now)
    if listed_at > now + CLOCK_ERROR_MS:
        raise ImportRefused("listed-at lies in the future")
    return min(listed_at, now)


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
