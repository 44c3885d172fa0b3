"""The contract of a gateway: the way to a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable


class OutcomeKind(StrEnum):
    """removed, already_gone: the person is out. refused: the gateway would not. unknown: nobody can say yet.

    later: the gateway wants us to slow down, and has not done it for this person; they come again, and the job waits.
    """

    REMOVED = "removed"
    ALREADY_GONE = "already_gone"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    LATER = "later"


WANT_OF_RIGHTS = frozenset({"401", "403"})
"""The codes of who is refused because we may not: we are not an admin, or they are protected."""


@dataclass(frozen=True)
class Outcome:
    """What became of one person. ``code`` and ``reason`` are the gateway's, for ``refused`` and ``later``; and for
    ``unknown`` where it failed as a whole, and may have removed some of them.
    """

    kind: OutcomeKind
    code: str | None = None
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """An answer came, and was an error of the whole request: once it is settled, asking again needs a pause."""
        return self.kind is OutcomeKind.UNKNOWN and self.reason is not None


@dataclass(frozen=True, slots=True)
class Participant:
    """One person as the group lists them. ``id`` is what the group itself uses; remove by it.

    ``role``: member, admin or superadmin.
    """

    id: str
    lid: str | None
    pn: str | None
    role: str
    is_me: bool = False
    name: str | None = None


@dataclass(frozen=True)
class Listing:
    """A group as it is now. ``size`` is the gateway's own count, None where it gives none.

    ``is_community``: the parent of other groups; nobody can be removed there. ``is_announcement``: only admins write,
    so silence says nothing. ``lacks_us``: the gateway knows who we are and would show us, and we are not listed.
    """

    name: str | None
    size: int | None
    participants: tuple[Participant, ...]
    is_community: bool = False
    is_announcement: bool = False
    lacks_us: bool = False

    @property
    def me(self) -> Participant | None:
        return next((one for one in self.participants if one.is_me), None)


@dataclass(frozen=True)
class Connection:
    """Whether the gateway reaches the group's network now; ``words``: how it stands and what to do, for people."""

    is_open: bool
    words: str


@dataclass(frozen=True)
class Sending:
    """One thing about what the gateway sends by itself, for people. ``next_step``: what to do, where it is not fine;
    ``is_known``: False where it could not be asked.
    """

    words: str
    next_step: str | None = None
    is_known: bool = True


@dataclass(frozen=True)
class Software:
    """Which version a gateway is, by its own word. ``name``: ``Evolution 2.3.6``. ``shows_votes``: whether it tells who
    votes in a poll. ``losses``: what else this version is known not to tell, for people.
    """

    name: str
    shows_votes: bool
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reception:
    """How this server takes webhooks of a gateway: what a webhook must prove, and where the world reaches us; "": not
    said. It does not show its secret.
    """

    secret: str = field(repr=False)
    public_url: str = ""


class GatewayError(Exception):
    """The root of what a gateway may raise; the message is for people, and never has a key in it.

    ``nothing_sent``: it is certain that nothing was changed; ``retryable``: and another try may do better. An error
    without ``nothing_sent`` is never tried again: what became of its call is found out by a listing.
    """

    nothing_sent = False
    retryable = False


class NotConnected(GatewayError):
    """The gateway is not reached, or does not reach the group's network."""

    nothing_sent = True
    retryable = True


class AuthFailed(GatewayError):
    """The gateway does not take our key."""

    nothing_sent = True


class GroupGone(GatewayError):
    """There is no such group, or we are not in it."""

    nothing_sent = True


class NotAdmin(GatewayError):
    """We may not remove people from this group."""

    nothing_sent = True


class BadRequest(GatewayError):
    """The gateway will never do what was asked: wrong address, unknown instance, a call it does not have."""

    nothing_sent = True


class RateLimited(GatewayError):
    """Slow down. ``after_seconds``: how long the gateway asks for, None where it does not say."""

    nothing_sent = True
    retryable = True

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Transient(GatewayError):
    """Worth another try, if ``nothing_sent``; else the outcome is unknown and must be settled by a listing."""

    def __init__(self, message: str, *, nothing_sent: bool = False) -> None:
        super().__init__(message)
        self.nothing_sent = self.retryable = nothing_sent


class GroupGateway(Protocol):
    """The way to a group. Opened in the process that uses it; not shared between threads."""

    @property
    def via(self) -> str:
        """Its name in history: roster, evolution, waha."""

    @property
    def call_seconds(self) -> float:
        """The longest a ``remove`` may take; a call not answered by then has an unknown outcome."""

    def connection(self) -> Connection:
        """How it stands now; not open also where nobody answers. Raises AuthFailed and BadRequest."""

    def list_group(self, group_wa_id: str) -> Listing:
        """The group now. Raises GroupGone when there is none."""

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        """Remove the people with these ids, one outcome for each id.

        Refuses to send (a ``GatewayError`` with ``nothing_sent``) when ``seconds_left()`` is not enough. A timeout or
        an empty answer after sending gives ``unknown`` outcomes, never an error that would be retried.
        """


@runtime_checkable
class SendsEvents(Protocol):
    """A gateway that sends events by itself, and can be asked whether messages of groups are among them."""

    def sending(self, ours: Reception | None = None) -> Sequence[Sending]:
        """What it is set to send, and whether it can come in here as ``ours`` says; at least one.

        Raises nothing: what it does not answer could not be asked.
        """


@runtime_checkable
class TellsVersion(Protocol):
    """A gateway that says which version it is."""

    def software(self) -> Software | None:
        """None where it does not say. Raises nothing."""
