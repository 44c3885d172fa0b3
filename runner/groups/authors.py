"""Whose messages they are: from the names and numbers of an export to the members of a group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path

from sqlalchemy import select, union

from runner.errors import MemberNotFound
from runner.groups.activity import ActivityRows
from runner.groups.group import Group, GroupRows
from runner.groups.identity import NumberFault, read_person, read_phone
from runner.groups.kin import Kin, KinRows
from runner.groups.member import Member, MemberEntry, MemberRows
from runner.groups.memberlist import ListError, ListFault, read_rows
from runner.groups.namesakes import number_of
from runner.groups.spelling import spelled
from runner.groups.unmatched import MatchRows, UnmatchedAuthor, UnmatchedRows
from runner.numbering import plain_text
from runner.store import Transaction
from runner.stores.group_schema import author_matches, memberships, people

LONGEST_NAME = 300
_LIKE_A_NUMBER = re.compile(r"[+(0-9][0-9 ()./+-]{5,}")
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
class FormerAuthor:
    """Somebody who wrote and is taken not to be in the group any more. ``words``: name and number; times: UTC ms."""

    words: str
    messages: int
    last_at: int


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
        self._kin = KinRows(tx, group)
        self._known: dict[str, Sequence[Kin]] = {}
        self._said_now: frozenset[str] = frozenset()
        self.formers: dict[str, FormerAuthor] = {}
        self.members_without_number = self._members.count_without_number(group)

    def confirm(
        self, path: Path, matches: Iterable[ConfirmedMatch], authors: Iterable[str], country: str | None = None
    ) -> None:
        """Keeps what was said, for this import and the next ones. ``authors``: those of this export; only of them, and
        of those of earlier ones, can anything be said. Raises ListError.
        """
        faults: list[ListFault] = []
        spellings = self._spellings(authors)
        said: dict[str, ConfirmedMatch] = {}
        for match in matches:
            try:
                author = _as_written(match.author, spellings)
                person = self._member(match.member, country).person_id if match.member else None
            except _NoSuchAuthor as error:
                faults.append(ListFault(match.line, "author", str(error)))
            except MemberNotFound:
                faults.append(ListFault(match.line, "member", f"{match.member!r} is nobody in this group"))
            except ValueError as error:
                faults.append(ListFault(match.line, "member", str(error)))
            else:
                if said.setdefault(author, match).member != match.member:
                    faults.append(ListFault(match.line, "author", f"{author!r} is in line {said[author].line} already"))
                self._matches.put(self._group, author, person)
        if faults:
            raise ListError(path, faults)
        self._said_now = frozenset(said)
        self._confirmed = self._matches.all(self._group)

    def _spellings(self, authors: Iterable[str]) -> dict[str, set[str]]:
        """Every author there is, by how the name is spelled."""
        found: dict[str, set[str]] = {}
        for name in chain(authors, self._confirmed, self._unmatched.names(self._group)):
            found.setdefault(spelled(name), set()).add(name[:LONGEST_NAME])
        return found

    def is_known(self, author: UnmatchedAuthor) -> bool | None:
        """Whether they are or ever were in the group; None: nobody can say, for want of an answer or of a list.

        False of a number may be wrong as often as there are ``members_without_number``.
        """
        if author.name in self._confirmed:
            return self._confirmed[author.name] is not None
        number = number_of(author.name)
        if number is None:
            return None
        kin = self._alike(number)
        if any(one.pn == number and one.role is not None for one in kin):
            return True
        return None if self._group.listed_at is None or kin else False

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
        for member in self._members.called(self._group, author.name):
            self._activity.saw(self._group, member.person_id, author.last_at, first_at=author.first_at)

    def book_unmatched(self) -> None:
        """Looks once more at all names that were unmatched so far, and at those whose answer may be another now."""
        after = ""
        while page := self._unmatched.list(self._group, after=after, also_answered=True):
            after = page[-1].name
            self.look_up(author.name for author in page)
            for author in page:
                self.book(author)

    def _whose(self, author: UnmatchedAuthor) -> tuple[Whose, int | None]:
        if author.name in self._confirmed:
            person = self._confirmed[author.name]
            return (Whose.NO_MEMBER if person is None else Whose.MEMBER), person
        number = number_of(author.name)
        return self._whose_number(number, author) if number else (Whose.UNMATCHED, None)

    def _whose_number(self, number: str, author: UnmatchedAuthor) -> tuple[Whose, int | None]:
        """A number nobody is known by may belong to a member known by lid alone, or by another spelling of it; else to
        a new or a former one.
        """
        known = [one for one in self._alike(number) if one.role is not None]
        exact = next((one for one in known if one.pn == number), None)
        if exact and (exact.left_at is None or exact.left_at < author.last_at):
            return Whose.MEMBER, exact.person_id
        if any(one.is_present or not exact for one in known if one is not exact):
            return Whose.UNMATCHED, None
        if exact:
            self._note_former(author, exact.words)
            return Whose.MEMBER, exact.person_id
        if self.members_without_number:
            return Whose.UNMATCHED, None
        if self._group.listed_at is not None and author.last_at <= self._group.listed_at:
            self._note_former(author, author.name)
            return Whose.FORMER, None
        return Whose.MEMBER, self._members.put(self._group, MemberEntry(pn=number), self._now)

    def look_up(self, authors: Iterable[str]) -> None:
        """Reads at once who may have which of their numbers: each one alone is a look at all people."""
        numbers = [number for name in authors if (number := number_of(name)) and number not in self._known]
        found = self._kin.of(numbers)
        self._known |= {number: found.get(number, []) for number in numbers}

    def _alike(self, number: str) -> Sequence[Kin]:
        if number not in self._known:
            self._known[number] = self._kin.of([number]).get(number, [])
        return self._known[number]

    def _note_former(self, author: UnmatchedAuthor, words: str) -> None:
        self.formers[author.name] = FormerAuthor(words, author.messages, author.last_at)

    def _member(self, said: str, country: str | None) -> Member:
        """Raises MemberNotFound, or ValueError for a name that several have, and for a number that may be theirs."""
        if "@" in said or _LIKE_A_NUMBER.fullmatch(plain_text(said)):
            return self._numbered(said, country)
        named = self._members.called(self._group, said)
        if len(named) > 1:
            raise ValueError(f"{len(named)} members are called {said!r}; give the lid or the phone number")
        if not named:
            raise MemberNotFound
        return named[0]

    def _numbered(self, said: str, country: str | None) -> Member:
        try:
            known = read_person(said) if "@" in said else read_phone(said, country)
        except NumberFault as fault:
            named = self._members.called(self._group, said)
            if len(named) == 1:
                return named[0]
            raise ValueError(f"{said!r} {fault}") from None
        try:
            return self._members.find(self._group, known, also_left=True)
        except MemberNotFound:
            likely = [one.words for one in self._alike(known) if one.is_present]
            if not likely:
                raise
        raise ValueError(f"{said!r} is nobody in this group; it may be {' or '.join(likely)}: give that number")


def known_names(tx: Transaction, group_wa_id: str) -> set[str]:
    """Of the members of a group, and those with a colon that somebody has answered for: see ``KnownNames``."""
    group = GroupRows(tx).find(group_wa_id)
    if group is None:
        return set()
    member = memberships.join(people, people.c.id == memberships.c.person_id)
    names = select(people.c.name).select_from(member).where(memberships.c.group_id == group.id)
    answered = select(author_matches.c.name).where(author_matches.c.group_id == group.id)
    found = union(names.where(people.c.name.is_not(None)), answered.where(author_matches.c.name.contains(":")))
    return set(tx.connection.execute(found).scalars())


class _NoSuchAuthor(ValueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} has written nothing in this chat, nor in an earlier one: copy the name from there")


def _as_written(author: str, spellings: dict[str, set[str]]) -> str:
    """The author as the exports spell them. Raises _NoSuchAuthor."""
    found = spellings.get(spelled(author), set())
    if author in found:
        return author
    if len(found) != 1:
        raise _NoSuchAuthor(author)
    return next(iter(found))
