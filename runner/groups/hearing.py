"""Hearing: whether the events of a gateway's account come in without a gap, so that silence means something.

An account is heard while signs of life come in. What it heard of its groups is an observation of each that goes on
(``observations.live``); it ends at a gap, and another begins with the next sign. A gap is

- no event at all for longer than ``silence_ms``: in a quiet group that is no news, but every event of the account
  counts, in whichever chat;
- a connection that was down for longer than ``reconnect_ms``: what is said while it is down for a moment is sent
  after it, so that the gateway's ordinary reconnecting is none;
- a server that could not take events in for longer than the gateway tries again (``away_ms``).

That the gateway says it is connected, when asked, proves only that: it never lengthens an observation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, and_, exists, false, insert, literal, select, true, update
from sqlalchemy.sql.dml import Update

from runner.groups.group import Group
from runner.settings import Settings
from runner.store import Transaction
from runner.stores.group_schema import groups, observations, webhook_accounts
from runner.webhook import Sign

EXTEND_MS = 30_000
"""How often the end of what goes on is written: so much less than was heard may be known after a crash."""

AWAY_MS = {"evolution": 600_000, "waha": 20_000}
"""Evolution tries ten times over about 20 minutes, WAHA as it is told, by itself for half a minute; half of it."""


@dataclass(frozen=True)
class Limits:
    silence_ms: int
    reconnect_ms: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(int(settings.webhook_silence_hours * 3_600_000), int(settings.webhook_reconnect_minutes * 60_000))


@dataclass(frozen=True)
class Line:
    """How an account stands. UTC milliseconds.

    ``heard_at``: its last event. ``open_at``: when its connection was last known to stand. ``down_since``: None while
    it stands. ``alive_at``: when this server was last seen able to take events in.
    """

    account: str
    heard_at: int
    open_at: int
    down_since: int | None
    alive_at: int
    extended_at: int = 0

    @property
    def known_open_at(self) -> int:
        return max(self.open_at, self.heard_at)

    def is_broken(self, now: int, limits: Limits) -> bool:
        """Whether there is a gap between the last event and ``now``."""
        return (
            now - self.heard_at > limits.silence_ms
            or now - max(self.alive_at, self.heard_at) > self._away_ms
            or (self.down_since is not None and now - self.down_since > limits.reconnect_ms)
        )

    def after_event(self, sign: Sign, now: int) -> Line:
        down = self.down_since
        if sign is Sign.CLOSED:
            down = now if down is None else down
        elif sign is Sign.LOST:
            down = self.known_open_at if down is None else down
        elif sign in (Sign.OPENED, Sign.TRAFFIC):
            down = None
        opened = now if sign in (Sign.OPENED, Sign.TRAFFIC) else self.open_at
        return replace(self, heard_at=now, open_at=opened, down_since=down, alive_at=now)

    def before(self, sign: Sign) -> Line:
        """What an event tells of the time before it: whoever opens a connection had none, nobody knows since when."""
        unannounced = sign is Sign.OPENED and self.down_since is None
        return replace(self, down_since=self.known_open_at) if unannounced else self

    def after_look(self, is_open: bool, now: int) -> Line:
        """The gateway was asked whether it is connected."""
        if is_open:
            return replace(self, open_at=now, down_since=None)
        return replace(self, down_since=self.known_open_at if self.down_since is None else self.down_since)

    @property
    def _away_ms(self) -> int:
        return AWAY_MS.get(self.account.partition("/")[0], min(AWAY_MS.values()))


class HearingRows:
    """Accounts and the observations they keep going, within one transaction."""

    def __init__(self, tx: Transaction, limits: Limits) -> None:
        self._run = tx.connection.execute
        self._now = tx.now
        self._limits = limits

    def lines(self) -> list[Line]:
        rows = self._run(select(*_COLUMNS).order_by(webhook_accounts.c.account))
        return [Line(*row) for row in rows]

    def find(self, account: str) -> Line | None:
        row = self._run(select(*_COLUMNS).where(webhook_accounts.c.account == account)).first()
        return Line(*row) if row else None

    def event(self, account: str, sign: Sign) -> None:
        """An event of the account came in now."""
        now, known = self._now, self.find(account)
        if known is None:
            first = Line(account, now, now, None, now).after_event(sign, now)
            self._run(insert(webhook_accounts).values(vars(first)))
            known = first
        broken = known.before(sign).is_broken(now, self._limits)
        if broken:
            self._end(account)
        after = known.after_event(sign, now)
        stands = after.down_since is None or (sign is Sign.CLOSED and known.down_since is None)
        turned = broken or (known.down_since is None) != (after.down_since is None)
        if stands and not (broken and after.down_since) and (turned or now - known.extended_at >= EXTEND_MS):
            self._extend(account)
            if after.down_since is None:
                self._begin(groups.c.account == account)
            after = replace(after, extended_at=now)
        self._keep(after)

    def look(self, account: str, is_open: bool) -> None:
        """The gateway was asked now."""
        known = self.find(account)
        if known is None:
            return
        if known.is_broken(self._now, self._limits):
            self._end(account)
        self._keep(known.after_look(is_open, self._now))

    def beat(self) -> list[Line]:
        """This server is able to take events in. Ends what is no longer heard; returns those of whom it ended."""
        ended = []
        for known in self.lines():
            if known.is_broken(self._now, self._limits) and self._end(known.account):
                ended.append(known)
            self._keep(replace(known, alive_at=max(known.alive_at, self._now)))
        return ended

    def belongs(self, group: Group, account: str, *, surely: bool = False) -> None:
        """The group is heard by this account; ``surely``: also if another heard it until now."""
        mine = groups.c.id == group.id
        free = mine if surely else and_(mine, groups.c.account.is_(None))
        known = self._run(select(groups.c.account).where(mine)).scalar_one()
        if known == account:
            return
        if not self._run(update(groups).where(free).values(account=account)).rowcount:
            return
        self._run(_ended().where(observations.c.group_id == group.id))
        line = self.find(account)
        if line and line.down_since is None and not line.is_broken(self._now, self._limits):
            self._begin(mine)

    def over(self, group: Group, account: str) -> None:
        """The account is no longer in the group."""
        mine = and_(groups.c.id == group.id, groups.c.account == account)
        if self._run(update(groups).where(mine).values(account=None)).rowcount:
            self._run(_ended().where(observations.c.group_id == group.id))

    def _begin(self, which: ColumnElement[bool]) -> None:
        """An observation that goes on, from now, of each of these groups that has none."""
        going_on = exists().where(observations.c.group_id == groups.c.id, observations.c.live)
        now, source = literal(self._now), literal(SOURCE) + groups.c.account
        begun = select(groups.c.id, now, now, source, true()).where(which, ~going_on)
        self._run(insert(observations).from_select(["group_id", "from_ms", "to_ms", "source", "live"], begun))

    def _extend(self, account: str) -> None:
        heard = and_(observations.c.live, observations.c.group_id.in_(_of(account)), observations.c.to_ms < self._now)
        self._run(update(observations).where(heard).values(to_ms=self._now))

    def _end(self, account: str) -> int:
        return self._run(_ended().where(observations.c.group_id.in_(_of(account)))).rowcount

    def _keep(self, line: Line) -> None:
        values = {name: value for name, value in vars(line).items() if name != "account"}
        self._run(update(webhook_accounts).where(webhook_accounts.c.account == line.account).values(values))


SOURCE = "events of "

_COLUMNS = (
    webhook_accounts.c.account,
    webhook_accounts.c.heard_at,
    webhook_accounts.c.open_at,
    webhook_accounts.c.down_since,
    webhook_accounts.c.alive_at,
    webhook_accounts.c.extended_at,
)


def _ended() -> Update:
    return update(observations).where(observations.c.live).values(live=false())


def _of(account: str) -> ColumnElement[int]:
    return select(groups.c.id).where(groups.c.account == account).scalar_subquery()
