"""Authors of imported messages: which member each name stands for, and which names nobody could match yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select

from runner.groups.group import Group
from runner.store import Transaction
from runner.stores.group_schema import author_matches, unmatched_authors


@dataclass(frozen=True)
class UnmatchedAuthor:
    """A name in an export, and its messages. Times are UTC milliseconds."""

    name: str
    messages: int
    first_at: int
    last_at: int
    source: str


class UnmatchedRows:
    """Names without a member, within one transaction. Those a person has answered for are kept, since the answer may be
    corrected, and are not counted.
    """

    def __init__(self, tx: Transaction) -> None:
        self._run = tx.connection.execute

    def list(
        self, group: Group, *, after: str = "", limit: int = 1000, also_answered: bool = False
    ) -> Sequence[UnmatchedAuthor]:
        """By name, behind ``after``."""
        rows = unmatched_authors.c
        query = select(rows.name, rows.messages, rows.first_at, rows.last_at, rows.source)
        query = query.where(rows.group_id == group.id, rows.name > after, *(() if also_answered else (~_ANSWERED,)))
        return [UnmatchedAuthor(*row) for row in self._run(query.order_by(rows.name).limit(limit))]

    def count(self, group: Group) -> int:
        mine = (unmatched_authors.c.group_id == group.id, ~_ANSWERED)
        return self._run(select(func.count()).select_from(unmatched_authors).where(*mine)).scalar_one()

    def names(self, group: Group) -> Sequence[str]:
        """Of all that are kept, also those a person has answered for."""
        mine = unmatched_authors.c.group_id == group.id
        return self._run(select(unmatched_authors.c.name).where(mine)).scalars().all()

    def find(self, group: Group, name: str) -> UnmatchedAuthor | None:
        rows = unmatched_authors.c
        query = select(rows.name, rows.messages, rows.first_at, rows.last_at, rows.source)
        row = self._run(query.where(rows.group_id == group.id, rows.name == name)).first()
        return UnmatchedAuthor(*row) if row else None

    def put(self, group: Group, author: UnmatchedAuthor) -> UnmatchedAuthor:
        """Exports overlap, so what is known of a name is only widened, never added up. Returns what is known now."""
        known = self.drop(group, author.name)
        wider = author
        if known is not None:
            first, last = min(known.first_at, author.first_at), max(known.last_at, author.last_at)
            source = author.source if author.last_at >= known.last_at else known.source
            wider = UnmatchedAuthor(author.name, max(known.messages, author.messages), first, last, source)
        self._run(insert(unmatched_authors).values(group_id=group.id, **vars(wider)))
        return wider

    def drop(self, group: Group, name: str) -> UnmatchedAuthor | None:
        """Takes a name out, and returns what was known of it."""
        known = self.find(group, name)
        if known is not None:
            mine = (unmatched_authors.c.group_id == group.id, unmatched_authors.c.name == name)
            self._run(delete(unmatched_authors).where(*mine))
        return known


_ANSWERED = (
    select(author_matches.c.name)
    .where(author_matches.c.group_id == unmatched_authors.c.group_id, author_matches.c.name == unmatched_authors.c.name)
    .correlate(unmatched_authors)
    .exists()
)


class MatchRows:
    """Names that a person has confirmed, within one transaction. None for a member: confirmed to be none."""

    def __init__(self, tx: Transaction) -> None:
        self._run = tx.connection.execute

    def all(self, group: Group) -> dict[str, int | None]:
        query = select(author_matches.c.name, author_matches.c.person_id)
        return dict(iter(self._run(query.where(author_matches.c.group_id == group.id))))

    def put(self, group: Group, name: str, person: int | None) -> None:
        self.drop(group, name)
        self._run(insert(author_matches).values(group_id=group.id, name=name, person_id=person))

    def drop(self, group: Group, name: str) -> None:
        mine = (author_matches.c.group_id == group.id, author_matches.c.name == name)
        self._run(delete(author_matches).where(*mine))
