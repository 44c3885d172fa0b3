"""Hearing: whether messages of groups come in from a gateway's account without a gap, so that silence means something.

What an account hears of its groups is an observation of each that goes on (``observations.live``). It begins with a
message that somebody else wrote in any group, known here or not: nothing else proves that such messages come in. Where
a gateway ignores groups, or does not send their messages, contacts, presences and private chats still arrive, and so
may who joined, and what we sent ourselves; all this says only that the connection stands.

It is kept going by every event, as long as a message of a group has come within ``silence_ms``: so a quiet hour is no
gap. A gap, after which the next such message begins another, is

- no message of any group for longer than ``silence_ms``. Nobody knows since when none could come, so that the
  observation ends with the last that did;
- a connection that was down for longer than ``reconnect_ms``: what is said while it is down for a moment is sent
  after it, so that the gateway's ordinary reconnecting is none;
- a device that was logged out, for however short: some versions of a gateway say that they are connected again, and
  send no message of a group;
- a server that could not take events in for longer than the gateway tries again (``AWAY_MS``).

After an outage too short for a gap nothing is lost, but some of it may come late: see ``runner.groups.latecomers``.

That the gateway says it is connected, when asked, proves only that: it never lengthens an observation. Until when a
line holds is kept with it (``breaks_at``), so that a job sees a gap although this server, which would end the
observation, was not there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from sqlalchemy import ColumnElement, and_, case, exists, false, func, insert, literal, or_, select, true, update

from runner.groups.group import Group
from runner.groups.line import Limits, Line
from runner.store import Transaction
from runner.stores.group_schema import groups, observations, webhook_accounts, webhook_messages
from runner.webhook import Notice, Sign

__all__ = ["HearingRows", "Limits", "Line"]

EXTEND_MS = 30_000
"""How often the end of what goes on is written: so much less than was heard may be known after a crash."""

OLDEST_MS = 1_800_000
"""How late an event may come: Evolution gives it up after about 25 minutes."""


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

    def event(self, account: str, sign: Sign, *, of_group: bool = False, at: int | None = None) -> None:
        """An event of the account came in now; ``of_group``: somebody's message in one of its groups.

        ``at``: of what it tells; one of before the connection went says nothing of it. None: it is of now.
        """
        now, known = self._now, self.find(account)
        if known is None:
            known = Line(account, now, now, None, now)
            self._insert(known)
        if sign is Sign.TRAFFIC and at is not None and known.down_since is not None and at < known.down_since:
            sign, of_group = Sign.NONE, False
        broken = sign is Sign.OUT or known.before(sign, now).is_broken(now, self._limits)
        if broken:
            self._end(known)
            known = known.after_gap()
        after = known.after_event(sign, now, of_group=of_group)
        stands = after.down_since is None or (sign is Sign.CLOSED and known.down_since is None)
        turned = broken or (known.down_since is None) != (after.down_since is None)
        if after.is_watching and stands and (turned or now - known.extended_at >= EXTEND_MS):
            self._extend(account)
            if after.down_since is None:
                self._begin(groups.c.account == account)
            after = replace(after, extended_at=now)
        self._keep(after)

    def deaf(self, gateways: Collection[str]) -> list[Line]:
        """This server refuses what these send: what is observed by their accounts ends. Returns those."""
        ended = []
        for known in self.lines():
            if known.account.partition("/")[0] in gateways:
                if self._end(known):
                    ended.append(known)
                self._keep(known.after_gap())
        return ended

    def look(self, account: str, is_open: bool) -> None:
        """The gateway was asked now."""
        known = self.find(account)
        if known is None:
            return
        if known.is_broken(self._now, self._limits):
            self._end(known)
            known = known.after_gap()
        self._keep(known.after_look(is_open, self._now))

    def beat(self, *, missed: Callable[[str], bool] = lambda _account: False) -> list[Line]:
        """This server is able to take events in; ``missed``: of which accounts, for however short, it was not.

        Ends what is no longer heard; returns those of whom it ended.
        """
        ended = []
        for known in self.lines():
            now = known
            if known.is_broken(self._now, self._limits):
                now = known.after_gap()
                if self._end(known):
                    ended.append(known)
            self._keep(now.after_beat(self._now, missed=missed(known.account)))
        return ended

    def late_until(self, group: Group) -> int | None:
        """Until when events of an outage may still come, in UTC ms; None: none may, or no silence rests on events."""
        going_on = exists().where(observations.c.group_id == groups.c.id, observations.c.live)
        account = self._run(select(groups.c.account).where(groups.c.id == group.id, going_on)).scalar()
        line = self.find(account) if account else None
        return None if line is None or line.is_broken(self._now, self._limits) else line.late_until(self._now)

    def belongs(self, group: Group, account: str, *, surely: bool = False, at: int | None = None) -> None:
        """The group is heard by this account; ``surely``: also if another heard it until now.

        ``at``: of the event that says so; one of before we were absent, told late, says nothing of now. None: it is so.
        """
        mine = groups.c.id == group.id
        free = mine if surely else and_(mine, groups.c.account.is_(None))
        if at is not None:
            free = and_(free, or_(groups.c.absent_since.is_(None), groups.c.absent_since <= at))
        known = self._run(select(groups.c.account).where(mine)).scalar_one()
        if known == account:
            return
        if not self._run(update(groups).where(free).values(account=account, absent_since=None)).rowcount:
            return
        former = self.find(known) if known else None
        self._end_those(observations.c.group_id == group.id, former.group_heard_at if former else None)
        line = self.find(account)
        if line and line.down_since is None and not line.is_broken(self._now, self._limits):
            self._begin(mine)

    def over(self, group: Group, account: str, *, before: int | None = None) -> None:
        """The account is not in the group, or was not until ``before``: nobody knows since when.

        What was observed ends with the last that was told of this very group.
        """
        heard_by, seen = groups.c.account, webhook_messages.c
        mine = and_(groups.c.id == group.id, or_(heard_by == account, heard_by.is_(None)))
        until = self._now if before is None else min(before, self._now)
        if not self._run(update(groups).where(mine).values(account=None, absent_since=until)).rowcount:
            return
        told = select(func.max(seen.seen_at)).where(seen.group_id == group.id, seen.seen_at < until)
        self._end_those(observations.c.group_id == group.id, self._run(told).scalar())

    def joined(self, group: Group, account: str, at: int, *, surely: bool = False) -> None:
        """We came into the group at ``at``: what was said there before, while we were not, nobody has heard.

        ``surely``: it was this account that did, and not another of ours.
        """
        heard_by = self._run(select(groups.c.account).where(groups.c.id == group.id)).scalar_one()
        if heard_by is not None:
            self.over(group, heard_by, before=at)
        self.belongs(group, account if surely or heard_by is None else heard_by, at=at)

    def lost(self, notice: Notice) -> None:
        """It could not be taken in, and nobody knows what it told: as if it had not come.

        Ends what is observed by its account, with what came before the first that it told; of one that names none, what
        is observed of its groups.
        """
        first = min((event.at for event in notice.events), default=self._now)
        line = self.find(notice.account) if notice.account else None
        if line:
            self._lose(line, first)
        elif notice.account is None:
            named = select(groups.c.id).where(groups.c.wa_id.in_({event.group_wa_id for event in notice.events}))
            self._end_those(observations.c.group_id.in_(named.scalar_subquery()), first - 1)

    def lost_of(self, gateway: str) -> None:
        """The same of an event of which only its gateway is known: of all its accounts, as if it were the oldest that
        may come.
        """
        for line in self.lines():
            if line.account.startswith(f"{gateway}/"):
                self._lose(line, self._now - OLDEST_MS)

    def _lose(self, line: Line, first: int) -> None:
        self._end(replace(line, group_heard_at=min(line.group_heard_at or 0, first - 1)))
        self._keep(line.after_gap())

    def _begin(self, which: ColumnElement[bool]) -> None:
        """An observation that goes on, from now, of each of these groups that has none."""
        going_on = exists().where(observations.c.group_id == groups.c.id, observations.c.live)
        now, source = literal(self._now), literal(SOURCE) + groups.c.account
        begun = select(groups.c.id, now, now, source, true()).where(which, ~going_on)
        self._run(insert(observations).from_select(["group_id", "from_ms", "to_ms", "source", "live"], begun))

    def _extend(self, account: str) -> None:
        heard = and_(observations.c.live, observations.c.group_id.in_(_of(account)), observations.c.to_ms < self._now)
        self._run(update(observations).where(heard).values(to_ms=self._now))

    def _end(self, line: Line) -> int:
        """Of all its groups."""
        return self._end_those(observations.c.group_id.in_(_of(line.account)), line.group_heard_at)

    def _end_those(self, which: ColumnElement[bool], last: int | None) -> int:
        """With the last that was surely heard: after it nobody knows whether more would have come in."""
        rows = observations.c
        known = rows.from_ms if last is None else case((rows.to_ms > last, last), else_=rows.to_ms)
        ended = update(observations).where(rows.live, which)
        to_ms = case((known < rows.from_ms, rows.from_ms), else_=known)
        return self._run(ended.values(live=false(), to_ms=to_ms)).rowcount

    def _insert(self, line: Line) -> None:
        self._run(insert(webhook_accounts).values(account=line.account, **self._values(line)))

    def _keep(self, line: Line) -> None:
        mine = webhook_accounts.c.account == line.account
        self._run(update(webhook_accounts).where(mine).values(self._values(line)))

    def _values(self, line: Line) -> dict[str, int | None]:
        said = {name: value for name, value in vars(line).items() if name not in ("account", "is_watching")}
        return said | {"breaks_at": line.breaks_at(self._limits)}


SOURCE = "events of "

_KEPT = webhook_accounts.c
_COLUMNS = (
    _KEPT.account,
    _KEPT.heard_at,
    _KEPT.open_at,
    _KEPT.down_since,
    _KEPT.alive_at,
    _KEPT.extended_at,
    _KEPT.group_heard_at,
    _KEPT.back_at,
    _KEPT.looked_at,
    _KEPT.breaks_at.is_not(None),
)


def _of(account: str) -> ColumnElement[int]:
    return select(groups.c.id).where(groups.c.account == account).scalar_subquery()
