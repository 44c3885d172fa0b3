"""The ids of WhatsApp: of people (lid and phone number) and of groups."""

from __future__ import annotations

import re

from runner.identity import LID, PN, person_id

__all__ = ["LID", "PN", "is_group_id", "person_id", "phone_id"]

_GROUP = re.compile(r"[0-9]{1,32}(?:-[0-9]{1,24})?@g\.us")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]*")
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_DIGITS_OF_A_PHONE = range(7, 16)


def phone_id(text: str) -> str | None:
    """The id of a phone number as people write it: ``+55 11 98765-4321``, or an id of its own; None if it is none."""
    plain = _MARKS.sub("", text).replace("\u00a0", " ").replace("\u202f", " ").replace("\u2011", "-").strip()
    if "@" in plain:
        known = person_id(plain)
        return known if known and known.endswith(PN) else None
    digits = "".join(filter(str.isdigit, plain))
    if not _PHONE.fullmatch(plain) or len(digits) not in _DIGITS_OF_A_PHONE:
        return None
    return digits + PN


def is_group_id(text: str) -> bool:
    """``digits@g.us``, or ``digits-digits@g.us`` as older groups have it."""
    return _GROUP.fullmatch(text) is not None
