"""Which version a gateway is, and what that version is known not to tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.gateway import GatewayError, Software
from runner.gateways.channel import Answer

_VOTES_SINCE = (2, 3, 7)
_NUMBER = re.compile(r"v?(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?(?P<rest>[0-9A-Za-z.+-]{0,20})", re.ASCII)
_WORD = re.compile(r"[0-9A-Za-z.+-]{1,20}", re.ASCII)

_UNDECIPHERED = "a message that it cannot decipher is not told"
_FOR_EVER = "a message that it could not decipher at first is not told, nor is it when it is deciphered later"
_LOGGED_OUT = (
    "after a log-out of the device it sends no messages of groups, though it says that it is connected, until its "
    "process is started again"
)
_NUMBERS = "that somebody has another number is not told"
_VOTE_EVENTS = frozenset({"poll.vote", "*"})


def evolution_software(look: Callable[[str], Answer]) -> Software | None:
    """By ``GET /``, which needs no key. Raises nothing."""
    said = _text(_object(look, "/"), "version")
    found = _NUMBER.fullmatch(said) if said else None
    if found is None:
        return None
    number = (int(found[1]), int(found[2]), int(found[3] or 0))
    is_early = number == _VOTES_SINCE and found["rest"].startswith("-")  # a trial of it, from before it
    if number < _VOTES_SINCE or is_early:
        return Software(f"Evolution {said}", False, (_FOR_EVER, _LOGGED_OUT, _NUMBERS))
    return Software(f"Evolution {said}", True, (_UNDECIPHERED, _NUMBERS))


def waha_software(look: Callable[[str], Answer], session: str) -> Software | None:
    """By ``server/version`` and the session, of which it matters which events its webhooks send. Raises nothing."""
    server, found = _object(look, "/api/server/version"), _object(look, f"/api/sessions/{session}")
    inside = found.get("engine")
    engine = _text(inside, "engine") if isinstance(inside, dict) else None
    engine = (engine or _text(server, "engine") or "").upper()
    version = _text(server, "version")
    if version is None or not engine:
        return None
    name = f"WAHA {version} ({engine})"
    if engine == "NOWEB":
        return Software(
            name, False, ("its engine NOWEB is said to lose most votes in polls; GOWS and WEBJS tell them",)
        )
    if not _sends_votes(found.get("config")):
        return Software(name, False, ("no webhook of the session sends poll.vote: add it to its events",))
    return Software(name, True)


def _sends_votes(config: Any) -> bool:
    webhooks = config.get("webhooks") if isinstance(config, dict) else None
    rows: Sequence[Any] = webhooks if isinstance(webhooks, list) else ()
    names = [row.get("events") for row in rows if isinstance(row, dict)]
    return any(not _VOTE_EVENTS.isdisjoint(map(str, one)) for one in names if isinstance(one, list))


def _object(look: Callable[[str], Answer], path: str) -> Mapping[str, Any]:
    try:
        answer = look(path)
    except GatewayError:
        return {}
    return answer.body if answer.status == 200 and isinstance(answer.body, dict) else {}


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
