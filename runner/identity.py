"""The ids of people in WhatsApp: lid and phone number, in one spelling."""

from __future__ import annotations

import re

LID, PN = "@lid", "@s.whatsapp.net"

_PERSON = re.compile(r"([0-9]{1,32})(?:[.:_][0-9]{1,5})*@((?:hosted\.)?lid|s\.whatsapp\.net|c\.us|hosted)")


def person_id(text: str) -> str | None:
    """``digits@lid`` or ``digits@s.whatsapp.net``, no device suffix; None if it is neither.

    ``@c.us`` is put right; so are ``@hosted`` and ``@hosted.lid``, the same people writing by a business service.
    """
    found = _PERSON.fullmatch(text.strip())
    if found is None:
        return None
    normal = found[1] + (LID if found[2].endswith("lid") else PN)
    return text if text == normal else normal  # a list of 100,000 people need not be in memory twice
