"""The contract of a webhook: what a gateway tells by itself, in one form whichever gateway it was.

A variant in ``webhooks/`` reads what its gateway sends. It never raises for what it cannot understand: that is
counted under the event's name. Nothing of what people said is kept, and the body itself (it may hold the
gateway's key) is neither stored nor logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one thing in an event, as it is counted. failed: of a whole event, by a fault of ours."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    UNKNOWN_GROUP = "unknown_group"
    NOT_A_GROUP = "not_a_group"
    NOT_A_MESSAGE = "not_a_message"
    NOT_USED = "not_used"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    FAILED = "failed"


class Sign(StrEnum):
    """What an event says of the connection behind the gateway.

    traffic: it stands, or there was nothing to tell of. opened, closed: it does so now. lost: it is being made anew,
    or in a state that is not known here; nobody knows when it went. out: the device is logged out, so that nothing of
    groups comes, whatever else does, until it is linked again. none: nothing but that events come in.
    """

    TRAFFIC = "traffic"
    OPENED = "opened"
    CLOSED = "closed"
    LOST = "lost"
    OUT = "out"
    NONE = "none"


class Step(StrEnum):
    JOINED = "joined"
    LEFT = "left"
    PROMOTED = "promoted"
    DEMOTED = "demoted"


@dataclass(frozen=True)
class Someone:
    """At least one id, as ``identity.person_id`` gives them. ``name``: what they call themselves."""

    lid: str | None
    pn: str | None
    name: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(known for known in (self.lid, self.pn) if known)


@dataclass(frozen=True)
class Heard:
    """Somebody wrote, reacted or sent something at ``at`` (UTC ms, never in the future).

    ``who`` None: ourselves, by an id that was not said. ``key``: by which the same message of theirs is known again,
    None: by nothing. ``of_poll``: it is a poll, or a vote in one.
    """

    group_wa_id: str
    who: Someone | None
    at: int
    key: str | None
    is_me: bool = False
    of_poll: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Moved:
    """Somebody came, went, or has another role, at ``at``. ``who`` None: ourselves, by an id that was not said;
    ``is_me``: ourselves, by these ids.
    """

    group_wa_id: str
    who: Someone | None
    step: Step
    at: int
    key: str | None
    is_me: bool = False


@dataclass(frozen=True)
class Renumbered:
    """Whoever was ``old`` is ``new`` from now on."""

    group_wa_id: str
    old: Someone
    new: Someone
    at: int
    key: str | None


Event = Heard | Moved | Renumbered


@dataclass(frozen=True)
class Notice:
    """One webhook. ``account``: gateway and instance, ``evolution/name``; None: it was not said.

    ``event``: its name, as it is counted: at most 40 of ``a-z0-9-``. ``left_out``: what is in it besides ``events``.
    ``is_news``: it is of the kind by which messages come in as they are written, whoever writes them.
    """

    account: str | None
    event: str
    sign: Sign
    events: tuple[Event, ...] = ()
    left_out: tuple[Outcome, ...] = ()
    is_news: bool = False

    @property
    def tells_of_group(self) -> bool:
        """Whether somebody else's message in a group came in with it, so that others would have come in, too."""
        return self.is_news and any(isinstance(one, Heard) and not one.is_me for one in self.events)

    @property
    def told_at(self) -> int | None:
        """When the last of what it tells of was, which may be long before it comes in. None: it has no time."""
        return max((one.at for one in self.events), default=None)
