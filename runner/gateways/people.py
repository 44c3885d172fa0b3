"""Reading people out of what gateways answer, in all the spellings that were seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.gateway import Listing, Participant
from runner.identity import LID, person_id

_ID_FIELDS = ("id", "jid", "lid", "phoneNumber", "pn")
_ROLES = {"superadmin": "superadmin", "admin": "admin", "participant": "member", "member": "member"}
_ROW_IDS = ("jid", "phone_number", "phoneNumber", "lid", "JID", "PhoneNumber", "LID")
_LONGEST_NAME = 200


def participant_of(raw: Any, me: Iterable[str]) -> Participant | None:
    """One person of a listing; None if there is no id in it. ``me``: our own ids.

    The fields are called id, jid and lid (Evolution 2.3.4), id and phoneNumber (2.3.6) or id and pn (WAHA), in any
    mixture; which of them is a lid shows in the id itself.
    """
    if not isinstance(raw, dict):
        return None
    ids = _ids(raw, _ID_FIELDS)
    if not ids:
        return None
    lid = next((known for known in ids if known.endswith(LID)), None)
    pn = next((known for known in ids if not known.endswith(LID)), None)
    return Participant(ids[0], lid, pn, _role(raw), not set(ids).isdisjoint(me), plain_name(raw.get("name")))


def lacks_us(people: Sequence[Participant], me: Iterable[str]) -> bool:
    """Whether we would be seen in the list by one of our ids, and are not there."""
    if any(one.is_me for one in people):
        return False
    shows = {LID: all(one.lid for one in people), "": all(one.pn for one in people)}
    return any(shows[LID if known.endswith(LID) else ""] for known in me)


def codes_of(rows: Any, ids: Iterable[str]) -> dict[str, str | None]:
    """The code beside each of ``ids`` in a removal's answer; None where the rows contradict each other.

    Rows of Baileys (Evolution, WAHA's NOWEB) have ``status``, and the same as ``error`` below ``content.attrs``; rows
    of whatsmeow (WAHA's GOWS) have ``Error``, 0 where all is well.
    """
    wanted, codes = set(ids), dict[str, str | None]()
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            code = _code(row)
            for known in wanted.intersection(_row_ids(row)):
                codes[known] = code if codes.get(known, code) == code else None
    return codes


def plain_name(text: Any) -> str | None:
    """As much of it as is kept; None if it is none."""
    if not isinstance(text, str):
        return None
    kept = text[:_LONGEST_NAME].replace("\0", "")  # PostgreSQL takes no NUL, and nothing half of a surrogate pair
    return kept.encode("utf-8", "replace").decode() or None


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def with_flags(listing: Listing, raw: Mapping[str, Any]) -> Listing:
    """What the group's own description says of its kind, by the names that Baileys and whatsmeow have for it."""
    said = {name for name in _FLAGS if raw.get(name) is True}
    return Listing(
        listing.name,
        listing.size,
        listing.participants,
        is_community=not said.isdisjoint(_COMMUNITY),
        is_announcement=not said.isdisjoint(_ANNOUNCEMENT),
        lacks_us=listing.lacks_us,
    )


_COMMUNITY = frozenset({"isCommunity", "isParentGroup", "IsParent"})
_ANNOUNCEMENT = frozenset({"isCommunityAnnounce", "announce", "defaultSubgroup", "IsDefaultSubGroup", "IsAnnounce"})
_FLAGS = _COMMUNITY | _ANNOUNCEMENT


def _ids(raw: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    texts = [text for name in fields if isinstance(text := raw.get(name), str)]
    return [known for text in texts if (known := person_id(text))]


def _role(raw: Mapping[str, Any]) -> str:
    """Whoever has a role that is not known here is left alone, as an admin is."""
    said = raw.get("role") or raw.get("admin") or "member"
    return _ROLES.get(said, "admin") if isinstance(said, str) else "admin"


def _code(row: Mapping[str, Any]) -> str:
    """What stands as an error counts, also beside a status that says 200."""
    content = row.get("content")
    attributes = content.get("attrs") if isinstance(content, dict) else None
    error = attributes.get("error") if isinstance(attributes, dict) else None
    if error is None and "Error" in row:
        error = row["Error"] or 200
    return str(row.get("status", "") if error is None else error)


def _row_ids(row: Mapping[str, Any]) -> list[str]:
    content = row.get("content")
    attributes = content.get("attrs") if isinstance(content, dict) else None
    return _ids(row, _ROW_IDS) + (_ids(attributes, _ROW_IDS) if isinstance(attributes, dict) else [])
