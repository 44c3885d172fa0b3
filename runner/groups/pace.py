"""How fast people may be asked for: caps an hour and a day, allowed hours, and what that makes of a long queue.

Pure rules; what was asked for lately comes in as an argument. Times are UTC milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runner.groups.activity import unit_of
from runner.job import JsonDict
from runner.settings import Settings, hours_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
GROUP, ACCOUNT = "group", "account"
_MOST_DAYS = 400

Asked = Sequence[tuple[int, int]]
"""Removals asked for: (when, how many people), the oldest first."""


@dataclass(frozen=True)
class Cap:
    """At most ``people`` asked for in any ``window_ms``, in one group or by the account in all its groups."""

    scope: str
    people: int
    window_ms: int

    @property
    def setting(self) -> str:
        return f"RUNNER_PACE_{self.scope}_PER_{'HOUR' if self.window_ms == HOUR_MS else 'DAY'}".upper()

    def free_at(self, now: int, people: int, asked: Asked) -> int:
        """When so many more may be asked for; more than the cap itself counts as the cap."""
        within = [(at, count) for at, count in asked if at > now - self.window_ms]
        total, free = sum(count for _, count in within), now
        for at, count in within:
            if total + min(people, self.people) <= self.people:
                break
            total, free = total - count, at + self.window_ms
        return free

    def __str__(self) -> str:
        span = "hour" if self.window_ms == HOUR_MS else "day"
        whose = "in this group" if self.scope == GROUP else "in all groups together"
        return f"{self.people} people an {span} {whose}" if span == "hour" else f"{self.people} people a {span} {whose}"


@dataclass(frozen=True)
class Hours:
    """Every day from ``start`` to ``end``, over midnight where that is earlier; in ``zone``, None: this machine's."""

    start: time
    end: time
    zone: ZoneInfo | None

    def window(self, at: int) -> tuple[int, int]:
        """The first one that is not over at ``at``: when it opens, and when it closes."""
        today = datetime.fromtimestamp(at / 1000, self.zone).date()
        over_midnight = timedelta(days=self.end <= self.start)
        for days in (-1, 0, 1, 2):
            day = today + timedelta(days=days)
            opens, closes = self._ms(day, self.start), self._ms(day + over_midnight, self.end)
            if closes > max(at, opens):
                return opens, closes
        raise AssertionError("there is one every day")

    def open_at(self, at: int) -> int:
        """``at``, or when it is allowed next."""
        return max(at, self.window(at)[0])

    def _ms(self, day: date, at: time) -> int:
        return round(datetime.combine(day, at, self.zone).timestamp() * 1000)

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True)
class Pace:
    """What is on. ``jitter``: a share of the delay that comes on top of it by chance."""

    jitter: float = 0.0
    caps: tuple[Cap, ...] = ()
    hours: Hours | None = None

    @property
    def is_on(self) -> bool:
        return bool(self.jitter or self.caps or self.hours)

    @property
    def holds_up(self) -> bool:
        """Whether a batch may have to wait for more than its delay."""
        return bool(self.caps or self.hours)

    @property
    def smallest(self) -> Cap | None:
        return min(self.caps, key=lambda cap: cap.people, default=None)

    def due(self, now: int, people: int, asked: Mapping[str, Asked]) -> tuple[int, str] | None:
        """When so many may be asked for, and why not now; None: now."""
        at, why = now, ""
        for cap in self.caps:
            free = cap.free_at(now, people, asked[cap.scope])
            if free > at:
                at, why = free, f"No more than {cap} are removed"
        if self.hours is not None and (opens := self.hours.open_at(at)) > at:
            zone = f" ({self.hours.zone.key})" if self.hours.zone else ""
            at, why = opens, f"People are removed between {self.hours}{zone} only"
        return (at, why) if at > now else None

    def ends_at(self, now: int, people: int, asked: Mapping[str, Asked], ms_each: float) -> int:
        """When so many will have been asked for, ``ms_each`` apart where nothing else holds them up; about."""
        return max((self._ends_at(now, people, asked, ms_each, scope) for scope in (GROUP, ACCOUNT)), default=now)

    def _ends_at(self, now: int, people: int, asked: Mapping[str, Asked], ms_each: float, scope: str) -> int:
        """As if it all had begun with the oldest of those asked for that still count."""
        mine = [cap for cap in self.caps if cap.scope == scope]
        longest = max((cap.window_ms for cap in mine), default=0)
        lately = [(at, count) for at, count in asked[scope] if at > now - longest]
        began = lately[0][0] if lately else now
        left = people + sum(count for _, count in lately)
        fits = 1
        for _ in range(_MOST_DAYS):
            opens, closes = self._day(began)
            fits = self._fits(mine, closes - opens, ms_each)
            if left <= fits or not fits:
                return max(now, round(opens + self._lasts(mine, left, ms_each)))
            left, began = left - fits, max(closes, opens + DAY_MS) if self.hours is None else closes
        return round(began + left / fits * DAY_MS)

    def _day(self, at: int) -> tuple[int, int]:
        if self.hours is None:
            return at, at + DAY_MS
        opens, closes = self.hours.window(at)
        return max(at, opens), closes

    def _fits(self, caps: Iterable[Cap], ms: int, ms_each: float) -> int:
        """How many people in one stretch without a break of at most a day."""
        by_delay = int(ms / ms_each) + 1 if ms_each else 2**53
        by_caps = (cap.people if cap.window_ms == DAY_MS else self._by_hours(cap, ms, ms_each) for cap in caps)
        return min([by_delay, *by_caps])

    def _by_hours(self, cap: Cap, ms: int, ms_each: float) -> int:
        whole, rest = divmod(ms, HOUR_MS)
        in_rest = min(cap.people, int(rest / ms_each) + 1 if ms_each else cap.people) if rest else 0
        return whole * cap.people + in_rest

    def _lasts(self, caps: Iterable[Cap], people: int, ms_each: float) -> float:
        """From the first to the last of so many, within one day."""
        spans = [(people - 1) * ms_each if people else 0.0]
        for cap in caps:
            whole, rest = divmod(max(people, 1) - 1, cap.people)
            spans.append(whole * cap.window_ms + min(rest * ms_each, cap.window_ms))
        return max(spans)

    def on_wire(self) -> JsonDict:
        said: JsonDict = {"jitter": self.jitter} if self.jitter else {}
        said |= {f"{cap.scope}Per{'Hour' if cap.window_ms == HOUR_MS else 'Day'}": cap.people for cap in self.caps}
        if self.hours is not None:
            said["hours"] = str(self.hours)
            if self.hours.zone is not None:
                said["timeZone"] = self.hours.zone.key
        return said


def pace_of(settings: Settings) -> Pace:
    caps = (
        Cap(GROUP, settings.pace_group_per_hour, HOUR_MS),
        Cap(GROUP, settings.pace_group_per_day, DAY_MS),
        Cap(ACCOUNT, settings.pace_account_per_hour, HOUR_MS),
        Cap(ACCOUNT, settings.pace_account_per_day, DAY_MS),
    )
    hours = None
    if settings.pace_hours:
        zone = ZoneInfo(settings.pace_time_zone) if settings.pace_time_zone else None
        hours = Hours(*hours_of(settings.pace_hours), zone)
    return Pace(settings.pace_jitter, tuple(cap for cap in caps if cap.people), hours)


def about(ms: int) -> str:
    """``5 days``, ``33 minutes``: to the nearest whole unit, never less than one."""
    size, name = unit_of(max(ms, 1000))
    count = max(1, round(ms / size))
    return f"{count} {name}{'' if count == 1 else 's'}"
