"""A line: how the events of a gateway's account come in, and until when that is enough for silence to mean anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.settings import Settings
from runner.webhook import Sign

AWAY_MS = {"evolution": 600_000, "waha": 20_000}
"""Evolution tries ten times over about 20 minutes, WAHA as it is told, by itself for half a minute; half of it."""

LATE_MS = {"evolution": 400_000, "waha": 60_000}
"""The longest pause between two tries of an event: so long after an outage some of them may still be to come.

Evolution's are 300 s at most, and then up to a fifth longer by chance: 360 s, and a little for the try itself."""

_NOTICED_MS = 30_000
"""A server that was not seen for longer was away; for WAHA, which tries again for so short a time, half of it.

One that has just started was away in any case, and so was one that answered 503: see ``after_beat``."""

_QUIET_MS = 7_200_000
"""Where nobody looks: for longer without any event the gateway itself may have been away."""

_LOOKED_AT_MS = 900_000
"""A gateway that has not answered for longer is not looked at: else it is every two minutes, and this server is away
for ten at most without a gap."""


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
    it stands. ``alive_at``: when this server was last seen able to take events in. ``group_heard_at``: when somebody
    else's message in any group last came in. ``is_watching``: whether its groups are observed: from such a message to
    the next gap. ``back_at``: when events could come in again after they could not, for however short a time.
    ``looked_at``: when the gateway last said, asked, how it stands; None: nobody asks it, or it does not take our key.
    """

    account: str
    heard_at: int
    open_at: int
    down_since: int | None
    alive_at: int
    extended_at: int = 0
    group_heard_at: int | None = None
    back_at: int | None = None
    looked_at: int | None = None
    is_watching: bool = False

    def breaks_at(self, limits: Limits) -> int | None:
        """After this moment there is a gap, if nothing more is heard; None: there is one since long."""
        if not self.is_watching or self.group_heard_at is None:
            return None
        ends = [self.group_heard_at + limits.silence_ms, max(self.alive_at, self.heard_at) + self._away_ms]
        return min(ends if self.down_since is None else [*ends, self.down_since + limits.reconnect_ms])

    def is_broken(self, now: int, limits: Limits) -> bool:
        """Whether nothing is watched at ``now``, or there is a gap between what was last heard and ``now``."""
        end = self.breaks_at(limits)
        return end is None or now > end

    def after_event(self, sign: Sign, now: int, *, of_group: bool = False) -> Line:
        """``of_group``: it was somebody's message in a group."""
        down = self.down_since
        if sign in (Sign.CLOSED, Sign.OUT):
            down = now if down is None else down
        elif sign is Sign.LOST:
            down = self._lost_since(now) if down is None else down
        elif sign in (Sign.OPENED, Sign.TRAFFIC):
            down = None
        opened = now if sign in (Sign.OPENED, Sign.TRAFFIC) else self.open_at
        group_heard = now if of_group else self.group_heard_at
        is_back = self._was_away(now) or (self.before(sign, now).down_since is not None and down is None)
        after = replace(self, heard_at=now, open_at=opened, down_since=down, alive_at=now, group_heard_at=group_heard)
        after = replace(after, back_at=now if is_back else self.back_at)
        return replace(after, is_watching=self.is_watching or (of_group and down is None))

    def before(self, sign: Sign, now: int) -> Line:
        """What an event tells of the time before it: whoever opens a connection had none, nobody knows since when."""
        unannounced = sign is Sign.OPENED and self.down_since is None
        return replace(self, down_since=self._lost_since(now)) if unannounced else self

    def _lost_since(self, now: int) -> int:
        """When a connection went of which that was not said, at the earliest.

        Where nobody looks, a quiet hour would make a gap of every reconnecting, which is a matter of seconds: there it
        went now, and what was said meanwhile is waited for.
        """
        is_looked_at = self.looked_at is not None and now - self.looked_at <= _LOOKED_AT_MS
        return self.open_at if is_looked_at or now - self.open_at > _QUIET_MS else now

    def after_look(self, is_open: bool, now: int) -> Line:
        """The gateway was asked whether it is connected."""
        if is_open:
            back_at = self.back_at if self.down_since is None else now
            return replace(self, open_at=now, down_since=None, back_at=back_at, looked_at=now)
        down_since = self.open_at if self.down_since is None else self.down_since
        return replace(self, down_since=down_since, looked_at=now)

    def after_gap(self) -> Line:
        """Nothing is watched until the next message in a group."""
        return replace(self, is_watching=False, extended_at=0)

    def after_beat(self, now: int, *, missed: bool = False) -> Line:
        """This server is able to take events in. ``missed``: for a moment before it was not."""
        back_at = now if missed or self._was_away(now) else self.back_at
        return replace(self, alive_at=max(self.alive_at, now), back_at=back_at)

    def late_until(self, now: int) -> int | None:
        """Until when events of an outage may still come: of one that is under way, at least so long; None: none may."""
        if self.down_since is not None or self._was_away(now):
            return now + self._late_ms
        until = None if self.back_at is None else self.back_at + self._late_ms
        return None if until is None or until <= now else until

    def _was_away(self, now: int) -> bool:
        return now - max(self.alive_at, self.heard_at) > min(_NOTICED_MS, self._away_ms // 2)

    @property
    def _late_ms(self) -> int:
        return LATE_MS.get(self.account.partition("/")[0], max(LATE_MS.values()))

    @property
    def _away_ms(self) -> int:
        return AWAY_MS.get(self.account.partition("/")[0], min(AWAY_MS.values()))
