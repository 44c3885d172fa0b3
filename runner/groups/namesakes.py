"""Namesakes: members who may be the author of messages that nobody could match yet.

Until a person has said whose messages these are, none of them is known to be silent.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

from sqlalchemy import select

from runner.clock import iso
from runner.groups.group import Group
from runner.groups.identity import phone_id
from runner.groups.kin import in_words, may_be_alike
from runner.groups.silence import MAY_GO, silent
from runner.groups.spelling import fold
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.store import Transaction
from runner.stores.group_schema import memberships, people

MOST_OFFERED = 5
_NEAR = 0.6
_MOST_PAIRS = 3_000_000
_MOST_SAID = 50


class Named(Protocol):
    """A member, as far as it matters here."""

    @property
    def name(self) -> str | None: ...

    @property
    def pn(self) -> str | None: ...


Somebody = TypeVar("Somebody", bound=Named)


def number_of(author: str) -> str | None:
    """The phone id of an author who is a number."""
    return phone_id(author) if "+" in author else None


def may_be(author: str, member: Named) -> bool:
    """Whether these may be one person's: by a number in another spelling, or a name that is near."""
    number = number_of(author)
    if number and member.pn and may_be_alike(number, member.pn):
        return True
    return bool(member.name) and nearness(author, member.name or "") > 0


def offered(author: str, members: Iterable[Somebody]) -> list[Somebody]:
    """Of those who may be this author the likeliest, at most five; whose number may be it come first."""
    number = number_of(author)
    return sorted(
        (one for one in members if may_be(author, one)),
        key=lambda one: (not (number and one.pn and may_be_alike(number, one.pn)), -nearness(author, one.name or "")),
    )[:MOST_OFFERED]


@lru_cache(maxsize=200_000)
def nearness(author: str, name: str) -> float:
    """From above 0 to 1: of two names that are near each other, or share a word; else 0."""
    one, other = fold(author), fold(name)
    if not one or not other:
        return 1.0 if author == name else 0.0
    if one == other:
        return 1.0
    shared = not _words(one).isdisjoint(_words(other))
    compared = difflib.SequenceMatcher(None, one, other)
    if not shared and (compared.real_quick_ratio() < _NEAR or compared.quick_ratio() < _NEAR):
        return 0.0
    ratio = compared.ratio()
    return max(ratio, 0.01) if shared or ratio >= _NEAR else 0.0


@lru_cache(maxsize=20_000)
def _words(folded: str) -> frozenset[str]:
    bare = ("".join(one for one in word if one.isalnum()) for word in folded.split())
    return frozenset(folded.split()) | frozenset(filter(None, bare))


@dataclass(frozen=True)
class OpenAuthors:
    """The unanswered authors of a group's exports, the latest first."""

    authors: Sequence[UnmatchedAuthor]

    @classmethod
    def of(cls, tx: Transaction, group: Group) -> OpenAuthors:
        found: list[UnmatchedAuthor] = []
        while page := UnmatchedRows(tx).list(group, after=found[-1].name if found else ""):
            found += page
        return cls(sorted(found, key=lambda author: -author.last_at))

    def heard_since(self, member: Named, since: int) -> UnmatchedAuthor | None:
        """The latest who may be this member and wrote after ``since``, UTC ms."""
        for author in self.authors:
            if author.last_at <= since:
                return None
            if may_be(author.name, member):
                return author
        return None


def maybe_heard(tx: Transaction, group: Group, since: int) -> dict[int, UnmatchedAuthor]:
    """By person id those who would count as silent since then, UTC ms, and the open author whom each may be.

    In a group so large that to compare all of them would take long, by whoever has the very name alone: each is looked
    at again before anything is done.
    """
    recent = OpenAuthors([author for author in OpenAuthors.of(tx, group).authors if author.last_at > since])
    if not recent.authors:
        return {}
    query = select(people.c.id, people.c.name, people.c.pn).join_from(memberships, people)
    rows = tx.connection.execute(query.where(memberships.c.group_id == group.id, MAY_GO, silent(since))).all()
    if len(rows) * len(recent.authors) <= _MOST_PAIRS:
        return {row.id: author for row in rows if (author := recent.heard_since(row, since))}
    names = {fold(author.name): author for author in recent.authors}
    return {row.id: author for row in rows if row.name and (author := names.get(fold(row.name)))}


def doubts_of_names(tx: Transaction, group: Group, since: int) -> list[str]:
    """Who counts as unknown because of an open name, in sentences."""
    said = []
    for person, author in maybe_heard(tx, group, since).items():
        row = tx.connection.execute(select(people.c.name, people.c.lid, people.c.pn).where(people.c.id == person)).one()
        who = in_words(row.name, row.pn or row.lid)
        said.append(
            f"{author.name} wrote on {iso(author.last_at)} and may be {who}, whose silence is therefore unknown"
        )
        if len(said) == _MOST_SAID:
            return [*said, "and more, as long as names in chats are matched to nobody"]
    return said
