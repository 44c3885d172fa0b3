"""Activity: who was heard when, and when anybody was listening at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import and_, case, delete, func, insert, literal, select, update

from runner.clock import iso
from runner.groups.group import Group
from runner.groups.silence import FIRST_SIGHT, unknown
from runner.store import Transaction
from runner.stores.group_schema import groups, memberships, observations, roster_removals, webhook_accounts

_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second"), (1, "millisecond"))
_MINUTE = 60_000


@dataclass(frozen=True)
class Watch:
    """An observation without a gap, in UTC milliseconds. ``until`` may lag behind now by the slack."""

    since: int
    until: int


@dataclass(frozen=True)
class Observation:
    """In UTC milliseconds. ``live``: whether it goes on, of a gateway's events; None: of a file, which is over."""

    from_ms: int
    to_ms: int
    source: str
    live: bool | None


@dataclass(frozen=True)
class Watchfulness:
    """How much of a window was watched, and how many silent people are therefore unknown.

    ``first_at``: when the first of these can be inactive, UTC ms, if they stay silent and the watching goes on; None
    where nobody is unknown, or nothing is watched now. ``advice``: why webhooks do not help, and what to do.
    """

    known_ms: int
    window_ms: int
    lag_ms: int
    unknown: int
    first_at: int | None = None
    advice: str | None = None

    def __str__(self) -> str:
        """``activity known for 3 of 30 days, 41 people unknown, of whom nobody is inactive before 2026-12-24 …``"""
        size, name = unit_of(self.window_ms)
        window, known = _in_units(self.window_ms, size), _in_units(self.known_ms, size)
        people = "person" if self.unknown == 1 else "people"
        plural = "" if window == "1" else "s"
        said = f"activity known for {known} of {window} {name}{plural}, {self.unknown} {people} unknown"
        if self.first_at is not None:
            said += f", of whom nobody is inactive before {iso(self.first_at)[:16].replace('T', ' ')} UTC"
        said += f", nothing known of the last {span(self.lag_ms)}" if self.lag_ms >= _MINUTE else ""
        return said + (f"; {self.advice}" if self.advice else "")


class ActivityRows:
    """Activity and observations, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def saw(self, group: Group, person: int, at: int, *, first_at: int | None = None) -> bool:
        """They were active at ``at`` (and as early as ``first_at``); only ever widens what is known.

        Whoever was away and is heard later is back since then. Returns False for a person who never was a member.
        """
        mine = and_(memberships.c.group_id == group.id, memberships.c.person_id == person)
        first = at if first_at is None else min(at, first_at)
        columns = memberships.c
        values = {
            "first_active_at": case((columns.first_active_at < first, columns.first_active_at), else_=first),
            "last_active_at": case((columns.last_active_at > at, columns.last_active_at), else_=at),
        }
        known = self._run(update(memberships).where(mine).values(values)).rowcount > 0
        if known:
            self._bring_back(group, person, at)
        return known

    def _bring_back(self, group: Group, person: int, at: int) -> None:
        removed = roster_removals.c
        off = (removed.group_id == group.id, removed.person_id == person)
        self._run(delete(roster_removals).where(*off, removed.removed_at < at))
        away = and_(memberships.c.group_id == group.id, memberships.c.person_id == person, memberships.c.left_at < at)
        self._run(update(memberships).where(away).values(left_at=None, joined_at=at))

    def not_heard_before(self, group: Group, at: int, source: str, *, new_since: int) -> None:
        """Members new since ``new_since`` were on no list at ``at``: what ``source`` had heard of them was nobody's."""
        heard = select(observations.c.id).where(observations.c.group_id == group.id, observations.c.source == source)
        new = and_(memberships.c.group_id == group.id, memberships.c.first_seen_at >= new_since)
        unheard = and_(new, memberships.c.joined_at < at, heard.exists())
        self._run(update(memberships).where(unheard).values(joined_at=at))

    def observed(self, group: Group, from_ms: int, to_ms: int, source: str) -> None:
        """Everything said in the group between the two was seen; what overlaps from the same source becomes one."""
        rows = observations.c
        same = and_(rows.group_id == group.id, rows.source == source, rows.from_ms <= to_ms, rows.to_ms >= from_ms)
        known = self._run(select(func.min(rows.from_ms), func.max(rows.to_ms), func.count()).where(same)).one()
        earliest, latest = (from_ms, to_ms) if known[0] is None else (min(from_ms, known[0]), max(to_ms, known[1]))
        if known[2] == 1 and (earliest, latest) == (known[0], known[1]):
            return
        self._run(delete(observations).where(same))
        values = {"group_id": group.id, "from_ms": earliest, "to_ms": latest, "source": source}
        self._run(insert(observations).values(values))

    def watched_since(self, group: Group, now: int, slack_ms: int) -> Watch | None:
        """The observation without a gap that reaches to within ``slack_ms`` of ``now``; None if there is none.

        What was observed may touch or overlap; a gap of a millisecond breaks it. Nothing counts beyond ``now``. The
        slack is for what goes on, and for files, which are always of yesterday: of a gateway's events that have
        stopped it is known that nobody listened since. They have stopped also where the account's line says so and
        this server, which would end the observation, has not come to it: it was away, or the machine was suspended.
        """
        watch: Watch | None = None
        reaches = now - slack_ms - 1
        for one in self.observations(group, now):
            if watch is None:
                watch = Watch(one.from_ms, min(one.to_ms, now))
            elif one.to_ms >= watch.since:
                watch = Watch(min(one.from_ms, watch.since), watch.until)
            else:
                break
            reaches = reaches if one.live is False else max(reaches, one.to_ms)
        return watch if watch and reaches >= now - slack_ms else None

    def is_watched(self, group: Group, from_ms: int, to_ms: int) -> bool:
        """Whether all between the two is observed, what goes on included."""
        until = from_ms
        for one in sorted(self.observations(group, to_ms), key=lambda one: one.from_ms):
            if one.from_ms <= until:
                until = max(until, to_ms if one.live else one.to_ms)
        return until >= to_ms

    def observations(self, group: Group, now: int) -> list[Observation]:
        """Those begun by ``now``, the latest first; what has ended unseen as ``HearingRows`` would end it."""
        rows, line = observations.c, webhook_accounts.c
        joined = observations.join(groups, groups.c.id == rows.group_id).outerjoin(
            webhook_accounts, line.account == groups.c.account
        )
        columns = (rows.from_ms, rows.to_ms, rows.source, rows.live, line.breaks_at, line.group_heard_at)
        query = select(*columns).select_from(joined).where(rows.group_id == group.id, rows.from_ms <= now)
        found: list[Observation] = []
        for row in self._run(query):
            one = Observation(row.from_ms, row.to_ms, row.source, row.live)
            if row.live and (row.breaks_at is None or row.breaks_at < now):
                last = row.from_ms if row.group_heard_at is None else row.group_heard_at
                one = replace(one, to_ms=max(row.from_ms, min(row.to_ms, last)), live=False)
            found.append(one)
        return sorted(found, key=lambda one: (-one.to_ms, one.from_ms))

    def watchfulness(self, group: Group, window_ms: int, now: int, slack_ms: int) -> Watchfulness:
        """What can be said about a window that ends at ``now``."""
        watch = self.watched_since(group, now, slack_ms)
        since = watch.since if watch else None
        start = literal(since or 0, FIRST_SIGHT.type)
        begins = case((start < FIRST_SIGHT, FIRST_SIGHT), else_=start)
        query = select(func.count(), func.min(begins)).select_from(memberships)
        mine = (memberships.c.group_id == group.id, unknown(since, now - window_ms))
        count, first = self._run(query.where(*mine)).one()
        known = min(window_ms, now - watch.since) if watch else 0
        lag = now - watch.until if watch else 0
        advice = None if watch else self._advice(group)
        return Watchfulness(known, window_ms, lag, count, first + window_ms if watch and count else None, advice)

    def _advice(self, group: Group) -> str | None:
        """For a group that is not watched, of a gateway that sends events; else None."""
        query = select(webhook_accounts.c.group_heard_at).where(webhook_accounts.c.account == group.account)
        row = self._run(query).first()
        if row is None:
            return None
        since = "yet" if row.group_heard_at is None else f"since {iso(row.group_heard_at)[:16].replace('T', ' ')} UTC"
        return (
            f"no group message has come in by webhook {since}: run 'runner gateway check' to see whether the gateway "
            "sends them"
        )


def unit_of(ms: int) -> tuple[int, str]:
    """The largest unit that goes into ``ms`` at least once, with its length in milliseconds."""
    return next(((size, name) for size, name in _UNITS if ms >= size), _UNITS[-1])


def span(ms: int) -> str:
    """``30 days``, ``1 hour``, ``2.5 seconds``: rounded down, so that nothing is said to be longer than it was."""
    size, name = unit_of(ms)
    number = _in_units(ms, size)
    return f"{number} {name}{'' if number == '1' else 's'}"


def _in_units(ms: int, size: int) -> str:
    tenths = ms * 10 // size
    return f"{tenths / 10:g}" if tenths % 10 and tenths < 1000 else str(tenths // 10)
