"""Versions: what each account's gateway said it is, and since when it tells who votes in a poll."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from runner.gateway import Software
from runner.store import Transaction
from runner.stores.group_schema import gateway_versions

_LONGEST = 80


@dataclass(frozen=True)
class Version:
    """As it was when it was asked last. ``name`` None: it could not be asked, which counts as one that shows no votes.

    ``votes_since``: UTC ms since when it shows them, as far as is known; 0: no version that does not was seen here;
    None: it does not.
    """

    account: str
    name: str | None
    shows_votes: bool
    votes_since: int | None
    asked_at: int

    @property
    def shown_since(self) -> int | None:
        return self.votes_since if self.shows_votes else None

    def __str__(self) -> str:
        return self.name or f"{title_of(self.account)}, of a version that could not be asked"


class VersionRows:
    """The versions, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._run = tx.connection.execute
        self._now = tx.now

    def find(self, account: str) -> Version | None:
        row = self._run(select(gateway_versions).where(gateway_versions.c.account == account)).first()
        return Version(**row._mapping) if row else None

    def note(self, account: str, software: Software | None) -> Version:
        """It was asked now. None: in vain; what is known of the time before stays, since it is likely the same one."""
        known = self.find(account)
        since = 0 if known is None else known.votes_since
        if software is not None:
            since = None if not software.shows_votes else self._now if since is None else since
        name = software.name[:_LONGEST] if software else None
        said = Version(account, name, software is not None and software.shows_votes, since, self._now)
        self._run(delete(gateway_versions).where(gateway_versions.c.account == account))
        self._run(insert(gateway_versions).values(**vars(said)))
        return said


def title_of(account: str) -> str:
    """``Evolution`` of ``evolution/p2``."""
    gateway = account.partition("/")[0]
    return "WAHA" if gateway == "waha" else gateway.capitalize()
