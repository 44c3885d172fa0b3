"""Reading the fields of a webhook, whatever is in them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.groups.identity import LID, person_id
from runner.webhook import Event, Notice, Outcome, Sign, Someone

OTHER = "other"
_NAME_OF_EVENT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST_EVENT, _LONGEST_NAME, _LONGEST_INSTANCE, _LONGEST_KEY = 40, 200, 80, 100
_PLAIN_KEY = re.compile(r"[A-Za-z0-9@._:-]+", re.ASCII)
_FIRST_MS = 100_000_000_000
"""A time above it is in milliseconds: as seconds it would be the year 5138."""
_OF_POLL = re.compile(r"poll(?:Creation|Update|Result)", re.IGNORECASE)
_LAST_MS = 100_000_000_000_000


def object_of(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; None if there is none."""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def event_name(value: Any) -> str | None:
    """``messages.upsert`` and ``MESSAGES_UPSERT`` are ``messages-upsert``; ``other`` for what is no name."""
    if not isinstance(value, str) or not value:
        return None
    plain = re.sub(r"[._]", "-", value.lower())
    return plain if len(plain) <= _LONGEST_EVENT and _NAME_OF_EVENT.fullmatch(plain) else OTHER


def text_of(value: Any, limit: int = _LONGEST_NAME) -> str | None:
    """As much of it as can be kept; None if it is no text, or empty."""
    if not isinstance(value, str):
        return None
    cut = value[:limit].replace("\0", "").encode("utf-8", "replace").decode().strip()
    return cut or None


def notice_of(
    account: str | None, event: str, sign: Sign, found: Sequence[Event | Outcome], *, is_news: bool
) -> Notice:
    """By what was found in it. Where nothing of it could be read, it says nothing of the connection either."""
    events = tuple(one for one in found if not isinstance(one, Outcome))
    left_out = tuple(one for one in found if isinstance(one, Outcome))
    if Outcome.UNREADABLE in left_out and not events:
        sign = Sign.NONE
    return Notice(account, event, sign, events, left_out, is_news=is_news)


def account_of(gateway: str, instance: Any) -> str | None:
    name = text_of(instance, _LONGEST_INSTANCE)
    return f"{gateway}/{name}" if name else None


def is_of_poll(said: Any, depth: int = 4) -> bool:
    """Whether a message as the engine has it is a poll or a vote, also within others, as one that disappears is."""
    if depth < 0 or not isinstance(said, dict):
        return False
    return any(_OF_POLL.match(name) or is_of_poll(inside, depth - 1) for name, inside in said.items())


def moment(value: Any, received_at: int) -> int:
    """A time in UTC ms, from seconds or milliseconds: a number, its digits, or the halves of a 64-bit one.

    What is no time, and what lies ahead of the receipt, is the receipt.
    """
    number = _number(value)
    if number is None or not 0 < number < _LAST_MS:
        return received_at
    return min(received_at, int(number if number >= _FIRST_MS else number * 1000))


def _number(value: Any) -> float | int | None:
    if isinstance(value, dict):
        low, high = value.get("low"), value.get("high", 0)
        if isinstance(low, int) and isinstance(high, int):
            return (high << 32) + (low & 0xFFFFFFFF)
        return None
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if abs(value) <= _LAST_MS else None
    return value if math.isfinite(value) else None


def someone(texts: Iterable[Any], name: Any = None) -> Someone | None:
    """Who is meant by these ids; None if there is none among them. A number that repeats the lid's digits is none."""
    ids = [known for text in texts if isinstance(text, str) and (known := person_id(text[:200]))]
    lid = next((known for known in ids if known.endswith(LID)), None)
    digits = lid and lid.partition("@")[0]
    pn = next((known for known in ids if not known.endswith(LID) and known.partition("@")[0] != digits), None)
    return Someone(lid, pn, text_of(name)) if lid or pn else None


def key_of(value: Any) -> str | None:
    """A message's id as it is kept: its digest where it is too long or has anything odd in it."""
    if not isinstance(value, str) or not value:
        return None
    return value if len(value) <= _LONGEST_KEY and _PLAIN_KEY.fullmatch(value) else digest(value)


def digest(*parts: Any) -> str:
    said = json.dumps(parts, sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
