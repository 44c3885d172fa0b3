"""Votes: whether it would have been seen here that somebody votes in a poll.

Who does nothing but vote is alive, and looks silent where votes do not come: no chat export says who voted, and of
gateways only some versions tell it. A poll can be voted in long after it was made, so that one of up to 90 days before
the window counts, too; and where a gateway shows no votes, a time that nobody watched may have had one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, insert, select

from runner.clock import iso
from runner.errors import VotesUnseen
from runner.groups.activity import span
from runner.groups.group import Group
from runner.groups.hearing import SOURCE
from runner.groups.versions import Version, VersionRows, title_of
from runner.store import Transaction
from runner.stores.group_schema import observations, polls, removal_queue

OPEN_MS = 90 * 86_400_000
"""For so long before a window a poll may be one in which people still vote."""

_HOW = 'a real run is refused without --ignore-votes (in JSON: "ignoreVotes": true)'


class PollRows:
    """Polls that were seen, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._run = tx.connection.execute

    def saw(self, group: Group, at: int) -> None:
        mine = (polls.c.group_id == group.id, polls.c.at_ms == at)
        if self._run(select(polls.c.at_ms).where(*mine)).first() is None:
            self._run(insert(polls).values(group_id=group.id, at_ms=at))

    def last(self, group: Group, since: int) -> int | None:
        """The last one at ``since`` or later."""
        query = select(func.max(polls.c.at_ms)).where(polls.c.group_id == group.id, polls.c.at_ms >= since)
        return self._run(query).scalar()


class VoteRows:
    """What can be said of one group's votes, within one transaction."""

    def __init__(self, tx: Transaction, group: Group) -> None:
        self._tx = tx
        self._group = group
        self._version = VersionRows(tx).find(group.account) if group.account else None

    def queued_window(self) -> int | None:
        """The longest silence by which anybody is in the queue; None: nobody is there by it."""
        query = select(func.max(removal_queue.c.window_ms)).where(removal_queue.c.group_id == self._group.id)
        return self._tx.connection.execute(query).scalar()

    def check(self, window_ms: int | None) -> None:
        """Before a real run by the silence of that window, and of the queue. Raises VotesUnseen."""
        if (why := self._why(window_ms)) is not None:
            raise VotesUnseen(why)

    def told(self, window_ms: int | None) -> str | None:
        """What a dry run says of it; None: every vote would have been seen, or no poll is known to have been there."""
        if (why := self._why(window_ms)) is not None:
            return f"{why}: whoever only votes looks silent, and {_HOW}"
        if self._group.account and not self._shown_since_before(self._longest(window_ms)):
            return f"{self._where_from()}: whoever only votes looks silent"
        return None

    def _why(self, window_ms: int | None) -> str | None:
        longest = self._longest(window_ms)
        if longest is None:
            return None
        now = self._tx.now
        begin = now - longest
        if self._is_covered(begin, now, self._seen()):
            return None
        if (poll := PollRows(self._tx).last(self._group, begin - OPEN_MS)) is not None:
            return f"{self._where_from()}, and there was a poll on {iso(poll)[:10]}"
        if self._group.account and not self._shown_since_before(longest):
            watched = [(row.from_ms, now if row.live else row.to_ms) for row in self._observations()]
            if not self._is_covered(begin - OPEN_MS, begin, watched):
                return (
                    f"{self._where_from()}, and the {span(OPEN_MS)} before the window were not watched whole, so that "
                    "nobody knows whether there was a poll"
                )
        return None

    def _longest(self, window_ms: int | None) -> int | None:
        windows = [one for one in (window_ms, self.queued_window()) if one is not None]
        return max(windows, default=None)

    def _where_from(self) -> str:
        version, account = self._version, self._group.account
        if account is None:
            return "Who voted in a poll is in no chat export"
        if version is not None and version.shown_since is not None:
            since = f" before {iso(version.shown_since)[:16].replace('T', ' ')} UTC" if version.shown_since else ""
            return f"Not all votes in polls were told by {version}{since}, and no chat export has them"
        return f"Votes in polls do not come from this gateway ({version or _never_asked(account)})"

    def _shown_since_before(self, window_ms: int | None) -> bool:
        since = self._version.shown_since if self._version else None
        return since is not None and since <= self._tx.now - (window_ms or 0)

    def _seen(self) -> list[tuple[int, int]]:
        """When votes came in: while the group was heard by an account, and that told them."""
        found = []
        for row in self._observations():
            if not row.source.startswith(SOURCE) or row.live is None:
                continue
            version = self._of(row.source.removeprefix(SOURCE))
            if version is not None and version.shown_since is not None:
                found.append((max(row.from_ms, version.shown_since), self._tx.now if row.live else row.to_ms))
        return found

    def _of(self, account: str) -> Version | None:
        return self._version if account == self._group.account else VersionRows(self._tx).find(account)

    def _observations(self) -> Sequence[Row[Any]]:
        rows = observations.c
        query = select(rows.from_ms, rows.to_ms, rows.source, rows.live).where(rows.group_id == self._group.id)
        return list(self._tx.connection.execute(query))

    @staticmethod
    def _is_covered(begin: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
        at = begin
        for from_ms, to_ms in sorted(spans):
            if from_ms > at:
                break
            at = max(at, to_ms)
        return at >= end


def _never_asked(account: str) -> str:
    return f"{title_of(account)}, of a version that could not be asked yet"
