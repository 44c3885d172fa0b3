"""What WAHA's OpenAPI document types of the calls used here, and the limits that Evolution holds requests to."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_STRICT = ConfigDict(strict=True, extra="forbid")


class WahaParticipant(BaseModel):
    model_config = _STRICT
    id: Annotated[str, Field(pattern=r"^[0-9]+@(c\.us|lid)$")]


class WahaParticipantsRequest(BaseModel):
    """``ParticipantsRequest``: the body of add, remove, promote and demote."""

    model_config = _STRICT
    participants: Annotated[list[WahaParticipant], Field(min_length=1)]


class WahaGroupParticipant(BaseModel):
    """One of the answer of ``participants/v2``."""

    model_config = _STRICT
    id: str
    pn: str | None = None
    role: Annotated[str, Field(pattern="^(left|participant|admin|superadmin)$")]


def wrong_for_waha(body: Any) -> str | None:
    try:
        WahaParticipantsRequest.model_validate(body)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    return None


def wrong_for_evolution(body: Any) -> list[dict[str, str]]:
    """As its validator says it: ``{property, message}``. It would write bare numbers anew, so these are wrong here."""
    given = body if isinstance(body, dict) else {}
    faults = []
    if given.get("action") not in ("add", "remove", "promote", "demote"):
        said = "is not one of enum values: add,remove,promote,demote"
        faults.append({"property": "instance.action", "message": said})
    people = given.get("participants")
    if not isinstance(people, list) or not people or len(set(map(str, people))) != len(people):
        said = "does not meet minimum length of 1, or contains duplicate item"
        faults.append({"property": "instance.participants", "message": said})
    for number, known in enumerate(people if isinstance(people, list) else ()):
        if not isinstance(known, str) or len(known) < 10 or not re.search(r"\d", known):
            said = "does not meet minimum length of 10"
            faults.append({"property": f"instance.participants[{number}]", "message": said})
    return faults


def is_full_id(known: str) -> bool:
    return re.fullmatch(r"[0-9]+@(lid|s\.whatsapp\.net)", known) is not None
