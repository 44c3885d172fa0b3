"""The contract of a gateway: the way to a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class OutcomeKind(StrEnum):
    """removed, already_gone: the person is out. refused: the gateway would not. unknown: nobody can say yet."""

    REMOVED = "removed"
    ALREADY_GONE = "already_gone"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Outcome:
    """What became of one person. ``code`` and ``reason`` are the gateway's, for ``refused``."""

    kind: OutcomeKind
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
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
    """A group as it is now. ``size`` is the gateway's own count, None where it gives none."""

    name: str | None
    size: int | None
    participants: tuple[Participant, ...]


class GatewayError(Exception):
    """The root of what a gateway may raise.

    ``nothing_sent``: it is certain that nothing was changed; ``retryable``: and another try may do better. An error
    without ``nothing_sent`` is never tried again: what became of its call is found out by a listing.
    """

    nothing_sent = False
    retryable = False


class NotConnected(GatewayError):
    nothing_sent = True
    retryable = True


class AuthFailed(GatewayError):
    nothing_sent = True


class GroupGone(GatewayError):
    nothing_sent = True


class NotAdmin(GatewayError):
    nothing_sent = True


class BadRequest(GatewayError):
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

    def list_group(self, group_wa_id: str) -> Listing:
        """The group now. Raises GroupGone when there is none."""

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        """Remove the people with these ids, one outcome for each id.

        Refuses to send (NotConnected) when ``seconds_left()`` is not positive. A timeout or an empty answer
        after sending gives ``unknown`` outcomes, never an error that would be retried.
        """
