"""WAHA: a server of the user's own that speaks to WhatsApp through one of three engines. Needs 2025.11 or later."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runner.gateway import (
    BadRequest,
    Connection,
    GatewayError,
    GroupGone,
    Listing,
    Outcome,
    Participant,
    Reception,
    Sending,
    Software,
    Transient,
)
from runner.gateways.access import Access
from runner.gateways.channel import LIST_BYTES, Answer, Channel
from runner.gateways.distant import Distant, first_of, not_understood, refused, segment, texts_in
from runner.gateways.people import lacks_us, participant_of, plain_name, with_flags
from runner.gateways.refusals import NOT_IN_IT, connection_lost, not_connected
from runner.gateways.sending import waha_sending
from runner.gateways.versions import waha_software
from runner.identity import PN, person_id

NAMES = "WAHA_URL, WAHA_API_KEY and WAHA_SESSION"
_STATES = {
    "WORKING": "connected to WhatsApp",
    "SCAN_QR_CODE": "the session waits for its code to be scanned with the phone",
    "STARTING": "the session is starting; wait",
    "STOPPED": "the session is stopped; start it in WAHA",
    "FAILED": "the session has failed; restart it in WAHA",
}
_MOST_LOOKUPS = 20
_DESCRIBED_SECONDS = 3600.0
"""How long a description holds: a job of days must see when only admins may write."""
_EMPTY = {"", "null", "{}", "[]"}
_LOOK_AGAIN_SECONDS = 5.0
"""An engine that has just begun answers 200 with nothing for a group that is there: only later that means something."""


@dataclass(frozen=True)
class _Session:
    state: str
    me: tuple[str, ...]


class WahaGateway:
    """A ``GroupGateway``. What a removal answers is not documented and differs by engine: NOWEB and GOWS have a row for
    each person, WEBJS says ``{"status": 200}`` whatever happened, so that only a listing can tell.
    """

    via = "waha"

    def __init__(self, access: Access, call_seconds: float) -> None:
        self._distant = Distant(Channel(access, "X-Api-Key"), call_seconds)
        self._session = segment(access.name)
        self._descriptions: dict[str, tuple[float, dict[str, Any]]] = {}
        self._empty_since: dict[str, float] = {}
        self._numbers: dict[str, str | None] = {}

    @property
    def call_seconds(self) -> float:
        return self._distant.call_seconds

    def connection(self) -> Connection:
        """By the session's status."""
        found = self._distant.connection(self._state)
        if not found.is_open:
            self._empty_since.clear()
        return found

    def sending(self, ours: Reception | None = None) -> Sequence[Sending]:
        """What it is set to send by webhook."""
        return waha_sending(self._distant.look, self._session, ours)

    def software(self) -> Software | None:
        """By ``server/version`` and the session."""
        return waha_software(self._distant.look_briefly, self._session)

    def list_group(self, group_wa_id: str) -> Listing:
        """By ``participants/v2``, and once an hour for each group its description. Its size is not said.

        Raises GroupGone, NotConnected, AuthFailed, RateLimited, BadRequest or Transient.
        """
        empty_since = self._empty_since.pop(group_wa_id, None)  # only if nothing is said again does it count on
        session = self._look_at_session()
        me = session.me
        described = self._description(group_wa_id, session.state, empty_since)
        answer = self._distant.look(f"{self._group(group_wa_id)}/participants/v2", most_bytes=LIST_BYTES)
        if answer.status != 200:
            raise _failure(answer)
        listing = Listing(_name(described), None, tuple(self._people(answer, me)))
        if not listing.participants:
            self._descriptions.pop(group_wa_id)  # whether there is such a group at all must be asked anew
        inner = described.get("groupMetadata")
        raw = described | inner if isinstance(inner, dict) else described
        return with_flags(_about_us(listing, me), raw)

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        """By ``participants/remove``, once. Raises only where it is certain that nobody was removed."""

        def send(going: Sequence[str], seconds: float) -> dict[str, Outcome]:
            answer = self._distant.channel.ask(
                "POST",
                f"{self._group(group_wa_id)}/participants/remove",
                body={"participants": [{"id": sent_id(known)} for known in going]},
                seconds=seconds,
            )
            return self._outcomes(answer, group_wa_id, going)

        return self._distant.remove(ids, seconds_left, self.connection, send)

    def _outcomes(self, answer: Answer, group_wa_id: str, ids: Sequence[str]) -> dict[str, Outcome]:
        refusal = _certain(answer, of_removal=True)
        return self._distant.judge(
            answer, answer.body, ids, refusal, lambda: self.list_group(group_wa_id), _texts(answer)
        )

    def _state(self, seconds: float) -> Connection:
        state = self._look_at_session(seconds).state
        return Connection(state == "WORKING", _STATES.get(state, f"the session is in a state of its own: {state[:40]}"))

    def _look_at_session(self, seconds: float | None = None) -> _Session:
        answer = self._distant.look(f"/api/sessions/{self._session}", seconds=seconds)
        session = answer.body
        if answer.status != 200:
            raise _failure(answer)
        if not isinstance(session, dict) or not isinstance(session.get("status"), str):  # its config holds secrets
            raise Transient("what the gateway says of the session is not understood", nothing_sent=True)
        me = session.get("me")
        texts = [me.get(name) for name in ("id", "lid")] if isinstance(me, dict) else []
        return _Session(session["status"], tuple(known for text in texts if text and (known := person_id(str(text)))))

    def _description(self, group_wa_id: str, state: str, empty_since: float | None) -> dict[str, Any]:
        at, described = self._descriptions.pop(group_wa_id, (0.0, {}))
        if not described or time.monotonic() - at >= _DESCRIBED_SECONDS:
            at = time.monotonic()
            answer = self._distant.look(self._group(group_wa_id), most_bytes=LIST_BYTES)
            if answer.status == 200 and answer.sample.strip() in _EMPTY:
                raise self._nothing_said(group_wa_id, state, empty_since)
            if answer.status != 200 or not isinstance(answer.body, dict):
                raise _failure(answer)
            described = answer.body
        self._descriptions[group_wa_id] = (at, described)
        return described

    def _nothing_said(self, group_wa_id: str, state: str, since: float | None) -> GatewayError:
        """Of a group. It is gone when a session at work says so again after a wait, and nothing else in between."""
        if state == "WORKING":
            self._empty_since[group_wa_id] = time.monotonic() if since is None else since
            if since is not None and time.monotonic() - since >= _LOOK_AGAIN_SECONDS:
                return GroupGone(NOT_IN_IT)
        said = "the gateway says nothing of this group: it has not read it yet, or we are not in it any more"
        return Transient(said, nothing_sent=True)

    def _people(self, answer: Answer, me: tuple[str, ...]) -> Sequence[Participant]:
        """Without those who have left, who are listed too. Who shows no number may be ourselves: admins are asked."""
        if not isinstance(answer.body, list):
            raise not_understood(answer, _texts(answer))
        left = [isinstance(raw, dict) and raw.get("role") == "left" for raw in answer.body]
        people = [participant_of(raw, me) for raw, gone in zip(answer.body, left, strict=True) if not gone]
        read = [one for one in people if one]
        if len(read) != len(people):
            raise Transient("the gateway lists somebody without an id that can be read", nothing_sent=True)
        return read if any(one.is_me for one in read) else [self._maybe_me(one, me) for one in read]

    def _maybe_me(self, one: Participant, me: tuple[str, ...]) -> Participant:
        if one.role == "member" or one.pn or not one.lid or not any(known.endswith(PN) for known in me):
            return one
        number = self._number(one.lid)
        return Participant(one.id, one.lid, number, one.role, number in me, one.name) if number else one

    def _number(self, lid: str) -> str | None:
        """The number behind a lid; asked once, and of twenty people at most."""
        if lid not in self._numbers and len(self._numbers) < _MOST_LOOKUPS:
            answer = self._distant.look(f"/api/{self._session}/lids/{segment(lid)}")
            said = answer.body.get("pn") if answer.status == 200 and isinstance(answer.body, dict) else None
            self._numbers[lid] = person_id(said) if isinstance(said, str) else None
        return self._numbers.get(lid)

    def _group(self, group_wa_id: str) -> str:
        return f"/api/{self._session}/groups/{segment(group_wa_id)}"


def sent_id(known: str) -> str:
    """Phone ids end in ``@c.us`` there; lids are the same everywhere."""
    return known.removesuffix(PN) + "@c.us" if known.endswith(PN) else known


def _about_us(listing: Listing, me: tuple[str, ...]) -> Listing:
    return Listing(listing.name, listing.size, listing.participants, lacks_us=lacks_us(listing.participants, me))


def _name(described: dict[str, Any]) -> str | None:
    """``subject`` of NOWEB, ``Name`` of GOWS, ``name`` of WEBJS."""
    return next((name for key in ("subject", "Name", "name") if (name := plain_name(described.get(key)))), None)


def _certain(answer: Answer, *, of_removal: bool) -> GatewayError | None:
    texts = _texts(answer)
    if error := refused(answer, texts, of_removal=of_removal, names=NAMES):
        return error
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.status == 422 and "expected" in body:
        state = str(body.get("status"))
        return not_connected(_STATES.get(state, f"the session is {state[:40]}"))
    if answer.status == 404:
        return BadRequest(f"WAHA has no such session; see {NAMES}: {first_of(texts, answer.sample)}")
    if answer.status in (400, 422):
        return BadRequest(f"WAHA does not take the request: {first_of(texts, answer.sample)}")
    return None


def _failure(answer: Answer) -> GatewayError:
    """Why an answer to a look is none. A text that is not known means "try again"."""
    if error := _certain(answer, of_removal=False):
        return error
    texts = _texts(answer)
    return not_connected("its connection was closed") if connection_lost(texts) else not_understood(answer, texts)


def _texts(answer: Answer) -> list[str]:
    """An engine's error stands below ``exception``; what WAHA itself says, in ``message`` or ``error``."""
    body = answer.body if isinstance(answer.body, dict) else {}
    exception = body.get("exception")
    inner = [exception.get("message"), exception.get("details")] if isinstance(exception, dict) else [exception]
    return texts_in(*inner, body.get("message"), body.get("error"))
