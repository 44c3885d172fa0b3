"""Evolution API v2: a server of the user's own that speaks to WhatsApp. Seen with 2.3.6; reads 2.3.4 too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runner.gateway import (
    BadRequest,
    Connection,
    GatewayError,
    Listing,
    Outcome,
    Reception,
    Sending,
    Software,
    Transient,
)
from runner.gateways.access import Access
from runner.gateways.channel import LIST_BYTES, Answer, Channel
from runner.gateways.distant import Distant, not_understood, refused, segment, texts_in
from runner.gateways.people import lacks_us, participant_of, plain_name, whole, with_flags
from runner.gateways.refusals import connection_lost, not_connected, whatsapp_is_silent
from runner.gateways.sending import evolution_sending
from runner.gateways.versions import evolution_software
from runner.identity import person_id

NAMES = "EVOLUTION_API_URL, EVOLUTION_API_KEY and EVOLUTION_INSTANCE_NAME"
_LIST_TIMES = 130 / 75
"""So many times a call's time: Evolution asks WhatsApp twice for a list, for the members and the picture, and
waits 60 s each time."""

_STATES = {
    "open": "connected to WhatsApp",
    "connecting": "the instance is connecting to WhatsApp; wait, or scan its code with the phone",
    "close": "the instance is not connected to WhatsApp; connect it in Evolution's manager and scan the code",
}


class EvolutionGateway:
    """A ``GroupGateway``. ``call_seconds`` must exceed 60: so long does Evolution itself wait for WhatsApp.

    Who we are is asked of ``fetchInstances``, which Evolution documents and gateways.md does not have. Where that does
    not say, nobody in a listing is known to be ourselves; we are an admin of the group then, or could remove nobody,
    and admins are left alone.
    """

    via = "evolution"

    def __init__(self, access: Access, call_seconds: float) -> None:
        self._distant = Distant(Channel(access, "apikey"), call_seconds)
        self._name = access.name
        self._instance = segment(access.name)
        self._me: tuple[str, ...] | None = None

    @property
    def call_seconds(self) -> float:
        return self._distant.call_seconds

    def connection(self) -> Connection:
        """By ``connectionState``."""
        return self._distant.connection(self._state)

    def sending(self, ours: Reception | None = None) -> Sequence[Sending]:
        """What it is set to send by webhook."""
        return evolution_sending(self._distant.look, self._instance, ours)

    def software(self) -> Software | None:
        """By ``GET /``."""
        return evolution_software(self._distant.look_briefly)

    def list_group(self, group_wa_id: str) -> Listing:
        """By ``findGroupInfos``. Raises GroupGone, NotConnected, AuthFailed, RateLimited, BadRequest or Transient."""
        path = f"/group/findGroupInfos/{self._instance}"
        seconds = self.call_seconds * _LIST_TIMES
        answer = self._distant.look(path, {"groupJid": group_wa_id}, seconds=seconds, most_bytes=LIST_BYTES)
        if answer.status != 200:
            raise self._failure(answer)
        return _listing(answer, group_wa_id, self._ourselves())

    def remove(self, group_wa_id: str, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        """By ``updateParticipant``, once. Raises only where it is certain that nobody was removed."""

        def send(going: Sequence[str], seconds: float) -> dict[str, Outcome]:
            answer = self._distant.channel.ask(
                "POST",
                f"/group/updateParticipant/{self._instance}",
                params={"groupJid": group_wa_id},
                body={"action": "remove", "participants": list(going)},
                seconds=seconds,
            )
            return self._outcomes(answer, group_wa_id, going)

        return self._distant.remove(ids, seconds_left, self.connection, send)

    def _outcomes(self, answer: Answer, group_wa_id: str, ids: Sequence[str]) -> dict[str, Outcome]:
        rows = answer.body.get("updateParticipants") if isinstance(answer.body, dict) else None
        refusal = _certain(answer, of_removal=True)
        return self._distant.judge(answer, rows, ids, refusal, lambda: self.list_group(group_wa_id), _texts(answer))

    def _state(self, seconds: float) -> Connection:
        answer = self._distant.look(f"/instance/connectionState/{self._instance}", seconds=seconds)
        instance = answer.body.get("instance") if isinstance(answer.body, dict) else None
        state = instance.get("state") if isinstance(instance, dict) else None
        if answer.status == 200 and isinstance(state, str):
            return Connection(
                state == "open", _STATES.get(state, f"the instance is in a state of its own: {state[:40]}")
            )
        raise _certain(answer, of_removal=False) or _not_understood(answer)

    def _failure(self, answer: Answer) -> GatewayError:
        """Why a listing did not come. A text that is not known means "not connected" or "try again"."""
        if error := _certain(answer, of_removal=False):
            return error
        if connection_lost(_texts(answer)):
            return not_connected("its connection was closed")
        if whatsapp_is_silent(_texts(answer)):
            return Transient("WhatsApp did not answer the gateway in time", nothing_sent=True)
        state = self.connection()
        return _not_understood(answer) if state.is_open else not_connected(state.words)

    def _ourselves(self) -> tuple[str, ...]:
        if self._me is None:
            try:
                answer = self._distant.look("/instance/fetchInstances", {"instanceName": self._name})
            except GatewayError:
                return ()
            owner = _owner(answer.body, self._name)
            self._me = (owner,) if owner else ()
        return self._me


def _listing(answer: Answer, group_wa_id: str, me: tuple[str, ...]) -> Listing:
    group = answer.body
    if not isinstance(group, dict) or group.get("id") != group_wa_id or not isinstance(group.get("participants"), list):
        raise _not_understood(answer)
    people = [one for raw in group["participants"] if (one := participant_of(raw, me))]
    if len(people) != len(group["participants"]):
        raise Transient("the gateway lists somebody without an id that can be read", nothing_sent=True)
    name, size = plain_name(group.get("subject")), whole(group.get("size"))
    return with_flags(Listing(name, size, tuple(people), lacks_us=lacks_us(people, me)), group)


def _certain(answer: Answer, *, of_removal: bool) -> GatewayError | None:
    texts = _texts(answer)
    if error := refused(answer, texts, of_removal=of_removal, names=NAMES):
        return error
    if answer.status == 404 and any("instance does not exist" in text for text in texts):
        return BadRequest(f"Evolution has no instance of that name; see {NAMES}")
    if answer.status == 400 and any(isinstance(fault, dict) and "property" in fault for fault in _messages(answer)):
        return BadRequest(f"Evolution does not take the request: {answer.sample}")
    return None


def _messages(answer: Answer) -> list[Any]:
    """``response.message``: a string, or a list of strings, of faults, or of lists of them."""
    response = answer.body.get("response") if isinstance(answer.body, dict) else None
    said = response.get("message") if isinstance(response, dict) else None
    messages = said if isinstance(said, list) else [said]
    return [one for message in messages for one in (message if isinstance(message, list) else [message])]


def _texts(answer: Answer) -> list[str]:
    return texts_in(_messages(answer))


def _not_understood(answer: Answer) -> Transient:
    return not_understood(answer, reversed(_texts(answer)))


def _owner(instances: Any, name: str) -> str | None:
    """Ours among the instances: their other fields hold keys, and are not looked at."""
    for instance in instances if isinstance(instances, list) else ():
        if isinstance(instance, dict) and instance.get("name") == name and isinstance(instance.get("ownerJid"), str):
            return person_id(instance["ownerJid"])
    return None
