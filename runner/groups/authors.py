"""Whose messages they are: from the names and numbers of an export to the members of a group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runner.errors import MemberNotFound
from runner.groups.activity import ActivityRows
from runner.groups.group import Group
from runner.groups.identity import person_id, phone_id
from runner.groups.member import Member, MemberEntry, MemberRows
from runner.groups.memberlist import ListError, ListFault, read_rows
from runner.groups.unmatched import MatchRows, UnmatchedAuthor, UnmatchedRows
from runner.store import Transaction

LONGEST_NAME = 300
MATCH_COLUMNS = ("author", "member")


class Whose(StrEnum):
    """member: it is booked. no_member: confirmed to be nobody in the group. former: a number that no member has.

    unmatched: it may be anybody's, so a person has to say.
    """

    MEMBER = "member"
    NO_MEMBER = "no_member"
    FORMER = "former"
    UNMATCHED = "unmatched"


@dataclass(frozen=True)
class ConfirmedMatch:
    """What a person said: ``member`` is a lid, a phone number or the exact name on the list; empty: no member."""

    line: int
    author: str
    member: str


def read_matches(path: Path) -> list[ConfirmedMatch]:
    """A CSV with the columns author and member. Raises ListError."""

    def check(names: object) -> str | None:
        return None if names == list(MATCH_COLUMNS) else "the columns must be author,member"

    rows = read_rows(path, MATCH_COLUMNS, check)
    return [ConfirmedMatch(line, row["author"][:LONGEST_NAME], row.get("member", "")) for line, row in rows]


class Authors:
    """The authors of one group's exports, within one transaction."""

    def __init__(self, tx: Transaction, group: Group) -> None:
        self._group = group
        self._now = tx.now
        self._members = MemberRows(tx)
        self._activity = ActivityRows(tx)
        self._unmatched = UnmatchedRows(tx)
        self._matches = MatchRows(tx)
        self._confirmed = self._matches.all(group)
        self._said_now: frozenset[str] = frozenset()
        self.members_without_number = self._members.count_without_number(group)

    def confirm(self, path: Path, matches: Iterable[ConfirmedMatch]) -> None:
        """Keeps what was said, for this import and the next ones. Raises ListError."""
        faults: list[ListFault] = []
        matches = list(matches)
        self._said_now = frozenset(match.author for match in matches)
        for match in matches:
            try:
                person = self._member(match.member).person_id if match.member else None
            except MemberNotFound:
                faults.append(ListFault(match.line, "member", f"{match.member!r} is nobody in this group"))
            except ValueError as error:
                faults.append(ListFault(match.line, "member", str(error)))
            else:
                self._matches.put(self._group, match.author, person)
        if faults:
            raise ListError(path, faults)
        self._confirmed = self._matches.all(self._group)

    def is_known(self, author: UnmatchedAuthor) -> bool | None:
        """Whether they are or ever were in the group; None: nobody can say, for want of an answer or of a list.

        False of a number may be wrong as often as there are ``members_without_number``.
        """
        if author.name in self._confirmed:
            return self._confirmed[author.name] is not None
        number = _number(author)
        if number is None:
            return None
        try:
            self._members.find(self._group, number, also_left=True)
        except MemberNotFound:
            return None if self._group.listed_at is None else False
        return True

    def book(self, author: UnmatchedAuthor) -> Whose:
        """Books an author's activity with whoever it is, or puts the name on the list of those to be matched."""
        self._ask_again_if_heard_since(author)
        whose, person = self._whose(author)
        if whose is Whose.UNMATCHED or author.name in self._confirmed:
            heard = [self._unmatched.put(self._group, author)]  # an answer may be corrected
        else:
            heard = [author, *filter(None, [self._unmatched.drop(self._group, author.name)])]
        if person is not None:
            for known in heard:
                self._activity.saw(self._group, person, known.last_at, first_at=known.first_at)
        return whose

    def _ask_again_if_heard_since(self, author: UnmatchedAuthor) -> None:
        """That a name is no member's was said of what was known of it then: whoever writes is in the group again, or
        somebody else is called so by now.
        """
        if author.name in self._said_now or self._confirmed.get(author.name, 0) is not None:
            return
        known = self._unmatched.find(self._group, author.name)
        if known is None or known.last_at < author.last_at:
            self._matches.drop(self._group, author.name)
            del self._confirmed[author.name]

    def book_namesake(self, author: UnmatchedAuthor) -> None:
        """Messages that seem to be the group's own voice: a member of that very name is taken to have written them."""
        for member in self._members.named(self._group, author.name):
            self._activity.saw(self._group, member.person_id, author.last_at, first_at=author.first_at)

    def book_unmatched(self) -> None:
        """Looks once more at all names that were unmatched so far, and at those whose answer may be another now."""
        after = ""
        while page := self._unmatched.list(self._group, after=after, also_answered=True):
            after = page[-1].name
            for author in page:
                self.book(author)

    def _whose(self, author: UnmatchedAuthor) -> tuple[Whose, int | None]:
        if author.name in self._confirmed:
            person = self._confirmed[author.name]
            return (Whose.NO_MEMBER if person is None else Whose.MEMBER), person
        number = _number(author)
        return self._whose_number(number, author) if number else (Whose.UNMATCHED, None)

    def _whose_number(self, number: str, author: UnmatchedAuthor) -> tuple[Whose, int | None]:
        """A number nobody is known by may belong to a member known by lid alone; else to a new or a former one."""
        try:
            return Whose.MEMBER, self._members.find(self._group, number, also_left=True).person_id
        except MemberNotFound:
            pass
        if self.members_without_number:
            return Whose.UNMATCHED, None
        if self._group.listed_at is not None and author.last_at <= self._group.listed_at:
            return Whose.FORMER, None
        return Whose.MEMBER, self._members.put(self._group, MemberEntry(pn=number), self._now)

    def _member(self, said: str) -> Member:
        """Raises MemberNotFound, or ValueError for a name that several have."""
        known = person_id(said) or phone_id(said)
        if known:
            return self._members.find(self._group, known, also_left=True)
        named = self._members.named(self._group, said)
        if len(named) > 1:
            raise ValueError(f"{len(named)} members are called {said!r}; give the lid or the phone number")
        if not named:
            raise MemberNotFound
        return named[0]


def _number(author: UnmatchedAuthor) -> str | None:
    return phone_id(author.name) if "+" in author.name else None
