"""What the gateways at a distance have in common: when a removal is sent at all, and what its end means."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from runner.gateway import (
    AuthFailed,
    BadRequest,
    Connection,
    GatewayError,
    GroupGone,
    Listing,
    Outcome,
    OutcomeKind,
    RateLimited,
    Transient,
)
from runner.gateways.channel import Answer, Channel, NoAnswer
from runner.gateways.people import codes_of
from runner.gateways.refusals import NOT_IN_IT, UNKNOWN, never_connected, not_connected, outcomes_of, refusal_of
from runner.identity import person_id

_LOOK = 0.1
"""The part of a call's time that the look at the connection before it may take."""

_ENOUGH = 0.85
"""With less than this part left a removal is not sent: the gateway could still be at it when its time is over."""

_NO_ID = Outcome(OutcomeKind.REFUSED, "400", "this is no id of a person that could be sent")

Texts = Sequence[str]


class Distant:
    """One gateway behind a channel. What differs is what its adapter says: see Evolution and WAHA."""

    def __init__(self, channel: Channel, call_seconds: float) -> None:
        self.channel = channel
        self.call_seconds = call_seconds

    def look(
        self, path: str, params: Mapping[str, str] | None = None, *, seconds: float | None = None, most_bytes: int = 0
    ) -> Answer:
        """A call that changes nothing, so that whatever goes wrong may be tried again."""
        limits = {"most_bytes": most_bytes} if most_bytes else {}
        try:
            return self.channel.ask("GET", path, params=params, seconds=seconds or self.call_seconds, **limits)
        except NoAnswer as error:
            raise Transient(str(error), nothing_sent=True) from None

    def look_briefly(self, path: str) -> Answer:
        """Of what the gateway says by itself, without asking anybody else."""
        return self.look(path, seconds=_LOOK * self.call_seconds)

    def connection(self, look: Callable[[float], Connection]) -> Connection:
        """``look(seconds)``, and not open where nobody answers. Raises AuthFailed and BadRequest."""
        try:
            return look(_LOOK * self.call_seconds)
        except (AuthFailed, BadRequest):
            raise
        except GatewayError as error:
            return Connection(False, str(error))

    def remove(
        self,
        ids: Sequence[str],
        seconds_left: Callable[[], float],
        connection: Callable[[], Connection],
        send: Callable[[Sequence[str], float], dict[str, Outcome]],
    ) -> dict[str, Outcome]:
        """Sends only what is an id, while there is time enough and the gateway is connected.

        Whether it is connected is asked before, since afterwards nobody can tell: a connection that was closed before
        the call and one that was closed before its answer leave the same text.
        """
        outcomes = {known: _NO_ID for known in ids if person_id(known) != known}
        going = [known for known in ids if known not in outcomes]
        if not going:
            return outcomes
        end = time.monotonic() + self.call_seconds

        def left() -> float:
            return min(seconds_left(), end - time.monotonic())

        self._see_that_there_is_time(left())
        state = connection()
        if not state.is_open:
            raise not_connected(state.words)
        self._see_that_there_is_time(left())
        try:
            return outcomes | send(going, left())
        except NoAnswer:
            return outcomes | dict.fromkeys(going, UNKNOWN)

    def _see_that_there_is_time(self, left: float) -> None:
        if left < _ENOUGH * self.call_seconds:
            raise Transient(
                "This machine is too busy: too little time was left for the call, again and again, and nothing was "
                "sent. See to it, and retry the job",
                nothing_sent=True,
            )

    def judge(
        self,
        answer: Answer,
        rows: Any,
        ids: Sequence[str],
        refusal: GatewayError | None,
        listing: Callable[[], Listing],
        texts: Texts = (),
    ) -> dict[str, Outcome]:
        """What a removal's answer says of each: by its ``rows``, unknown for everybody if there are none, with the
        reason where the gateway failed as a whole.

        ``refusal``: what it certainly is where it is no success. ``listing``: the group now, asked for where only our
        role in it says what the rows mean.
        """
        is_success = answer.status in (200, 201)
        if refusal and not is_success:
            raise refusal
        if not is_success:
            return dict.fromkeys(ids, _failed(answer, texts))
        codes = codes_of(rows, ids)
        return outcomes_of(codes, ids, lambda: _are_admin(listing)) if codes else dict.fromkeys(ids, UNKNOWN)


def _failed(answer: Answer, texts: Texts) -> Outcome:
    """Of the whole request, and WhatsApp may have done a part of it: a listing has to say."""
    said = first_of(reversed(texts), answer.sample)
    words = f"the gateway failed ({answer.status}{f': {said}' if said else ''})"
    return Outcome(OutcomeKind.UNKNOWN, str(answer.status), words)


def _are_admin(listing: Callable[[], Listing]) -> bool | None:
    """None where no list will come, or it does not show who of them we are.

    Nobody was removed, so what only keeps the list from coming for the moment is raised. So is GroupGone for a list
    without us: not our role is wanting then, and whether it is so must be looked at again.
    """
    try:
        listed = listing()
    except (AuthFailed, BadRequest):
        return None
    size = len(listed.participants)
    if not size or listed.size not in (None, size):
        raise Transient("nobody could be removed, and the list that would say why is cut short", nothing_sent=True)
    if listed.me is None and listed.lacks_us:
        raise GroupGone(NOT_IN_IT)
    return None if listed.me is None else listed.me.role != "member"


def refused(answer: Answer, texts: Texts, *, of_removal: bool, names: str) -> GatewayError | None:
    """What is certain of an answer that is no success: nothing was done. None: it is not certain.

    ``names``: the variables to look at when nothing is found under the address.
    """
    if 300 <= answer.status < 400 or answer.status == 401:
        return _turned_away(answer.status, names)
    if known := refusal_of(texts, of_removal=of_removal):
        return known
    if no_such_call := next((text for text in texts if re.match(r"Cannot [A-Z]+ /", text)), None):
        return BadRequest(f"what answers there does not have this call ({no_such_call[:80]}); see {names}")
    if answer.status == 429:
        return RateLimited("the gateway asks for a pause (429)", answer.retry_after)
    if never_connected(texts):
        return not_connected("it never was; scan its code with the phone")
    return None


def _turned_away(status: int, names: str) -> GatewayError:
    if status == 401:
        return AuthFailed(f"the gateway does not take the key (401); see that {names} belong together")
    return BadRequest(
        f"the gateway's address leads elsewhere ({status}) and is not followed; name the final one: {names}"
    )


def not_understood(answer: Answer, texts: Iterable[str]) -> Transient:
    """Of a look, which changes nothing. ``texts``: what it says, the likeliest first."""
    said = first_of(texts, answer.sample)
    return Transient(f"the gateway answered {answer.status}, which is not understood: {said}", nothing_sent=True)


def segment(text: str) -> str:
    """As one part of a path, whatever is in it."""
    return quote(text, safe="@") if text.strip(".") else text.replace(".", "%2E")


def texts_in(*values: Any) -> list[str]:
    """Every text in these values, in lists too, in order."""
    found: list[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            found.extend(texts_in(*value))
    return found


def first_of(texts: Iterable[str], otherwise: str) -> str:
    return next((text[:200] for text in texts if text), otherwise)
