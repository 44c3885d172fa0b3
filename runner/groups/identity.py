"""The ids of WhatsApp: of people (lid and phone number) and of groups."""

from __future__ import annotations

import re

from runner.identity import LID, PN, person_id
from runner.numbering import NumberFault, WithoutCountry, plain_text, read_number

__all__ = [
    "LID",
    "PN",
    "NumberFault",
    "WithoutCountry",
    "is_group_id",
    "person_id",
    "phone_id",
    "read_person",
    "read_phone",
    "shown",
]

_GROUP = re.compile(r"[0-9]{1,32}(?:-[0-9]{1,24})?@g\.us")


def read_phone(text: str, country: str | None = None) -> str:
    """The id of a phone number as people write it, or of an id of its own. Raises NumberFault; ``country`` as in
    ``read_number``.
    """
    plain = plain_text(text)
    if "@" not in plain:
        return read_number(text, country) + PN
    known = read_person(plain)
    if known.endswith(LID):
        raise NumberFault("is a lid, and no phone number")
    return known


def phone_id(text: str) -> str | None:
    """As ``read_phone``; None if it is none."""
    try:
        return read_phone(text)
    except NumberFault:
        return None


def read_person(text: str) -> str:
    """An id that somebody gave: ``digits@lid``, or ``digits@s.whatsapp.net`` with a number that may be one.

    Raises NumberFault. What a gateway lists goes by ``person_id``: it knows best.
    """
    known = person_id(text)
    if known is None:
        raise NumberFault("is not a person's id: digits@lid or digits@s.whatsapp.net")
    return known if known.endswith(LID) else read_number(known.removesuffix(PN)) + PN


def shown(known: str) -> str:
    """A phone id as ``+`` and its digits; a lid as it is."""
    return f"+{known.removesuffix(PN)}" if known.endswith(PN) else known


def is_group_id(text: str) -> bool:
    """``digits@g.us``, or ``digits-digits@g.us`` as older groups have it."""
    return _GROUP.fullmatch(text) is not None
