"""What a gateway's texts and codes mean. WhatsApp documents none of them; these were seen, or read in its clients.

HTTP codes tell little: the same 404 is "no such group" or "not connected", the same 400 "wrong request" or "slow down".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from runner.gateway import (
    WANT_OF_RIGHTS,
    BadRequest,
    GatewayError,
    GroupGone,
    NotAdmin,
    NotConnected,
    Outcome,
    OutcomeKind,
    RateLimited,
)

UNKNOWN = Outcome(OutcomeKind.UNKNOWN)

_REFUSED_BY_WHATSAPP = re.compile(
    r"(?:^|\bError: |\bstatus \d{3}: )"
    r"(rate-overlimit|resource-limit|forbidden|not-authorized|item-not-found|gone"
    r"|not-acceptable|not-allowed|bad-request|locked)\b"
)
_NEVER_CONNECTED = re.compile(r"TypeError: .*\bgroup[A-Z]\w+|store doesn't contain a device JID")
_CONNECTION_LOST = re.compile(r"Connection (?:Closed|Lost|Terminated)|websocket not connected|websocket disconnected")
_SILENT = re.compile(r"TypeError: .*'attrs'|Error: Timed Out")
_NO_SUCH_GROUP = re.compile(r"that group does not exist|you're not participating in that group")

_SLOW_DOWN = {"419", "429"}
_REASONS = {
    "401": "WhatsApp does not let us remove this person (401)",
    "403": "WhatsApp does not let us remove this person (403)",
    "406": "WhatsApp removes this person for nobody (406), as it does with the creator of a group",
}
_SLOW = "WhatsApp asks for a pause: too many requests"
NOT_ADMIN = "we are not an admin of this group; make the number an admin there, and retry the job"
_MAYBE_NOT_ADMIN = (
    "WhatsApp lets us remove nobody of the batch, and whether we are an admin of this group cannot be told; make the "
    "number an admin there, or, where it is one, put whom WhatsApp protects on the whitelist, and retry the job"
)
NOT_IN_IT = "there is no such group, or we are not in it any more"


def refusal_of(texts: Iterable[str], *, of_removal: bool) -> GatewayError | None:
    """What WhatsApp refused, by the gateway's texts; None where they do not say. Nothing was done in any of these."""
    for text in texts:
        if _NO_SUCH_GROUP.search(text):
            return GroupGone(NOT_IN_IT)
        if found := _REFUSED_BY_WHATSAPP.search(text):
            return _refusal(found[1], of_removal)
    return None


def _refusal(word: str, of_removal: bool) -> GatewayError:
    match word:
        case "rate-overlimit" | "resource-limit":
            return RateLimited(f"{_SLOW} ({word})")
        case "item-not-found" | "gone":
            return GroupGone(f"{NOT_IN_IT} ({word})")
        case "forbidden" | "not-authorized":
            return NotAdmin(f"{NOT_ADMIN} ({word})") if of_removal else GroupGone(f"{NOT_IN_IT} ({word})")
        case _:
            return BadRequest(f"WhatsApp does not do what was asked ({word})")


def never_connected(texts: Iterable[str]) -> bool:
    """The gateway has no connection at all, so nothing went out."""
    return any(_NEVER_CONNECTED.search(text) for text in texts)


def connection_lost(texts: Iterable[str]) -> bool:
    """The connection went away: before a call went out, or while its answer was awaited. The texts are the same."""
    return any(_CONNECTION_LOST.search(text) for text in texts)


def whatsapp_is_silent(texts: Iterable[str]) -> bool:
    """WhatsApp gave the gateway no answer within its 60 s: Baileys then reads the attributes of nothing."""
    return any(_SILENT.search(text) for text in texts)


def outcome_of(code: str) -> Outcome:
    """By the code that stands beside one person in a removal's answer."""
    if code == "200":
        return Outcome(OutcomeKind.REMOVED)
    if code == "404":
        return Outcome(OutcomeKind.ALREADY_GONE)
    if code in _SLOW_DOWN or re.fullmatch(r"5\d\d", code):
        return Outcome(OutcomeKind.LATER, code, f"{_SLOW} ({code})")
    if re.fullmatch(r"[1-9]\d\d", code):
        return Outcome(
            OutcomeKind.REFUSED, code, _REASONS.get(code, f"WhatsApp refuses to remove this person ({code})")
        )
    return UNKNOWN


def outcomes_of(
    codes: Mapping[str, str | None], ids: Sequence[str], are_admin: Callable[[], bool | None]
) -> dict[str, Outcome]:
    """One outcome for each of ``ids`` by their codes; unknown for whoever has none.

    Raises RateLimited when everybody is put off, NotAdmin when everybody is refused for want of rights. Their codes do
    not say whether it is we who lack the right, or people whom WhatsApp protects, of whom a batch may have several:
    ``are_admin`` is asked, and may raise what is raised where nobody was removed. None: it cannot be told; then it is
    taken for our want, since nobody is given up by that.
    """
    outcomes = {known: outcome_of(codes.get(known) or "") for known in ids}
    if all(outcome.kind is OutcomeKind.LATER for outcome in outcomes.values()):
        raise RateLimited(next(iter(outcomes.values())).reason or _SLOW)
    if all(outcome.code in WANT_OF_RIGHTS for outcome in outcomes.values()) and not (admin := are_admin()):
        code = next(iter(outcomes.values())).code
        raise NotAdmin(f"{NOT_ADMIN if admin is False else _MAYBE_NOT_ADMIN} ({code} for everybody)")
    return outcomes


def not_connected(words: str) -> NotConnected:
    return NotConnected(f"the gateway is not connected to WhatsApp: {words}")
