"""Text from outside, made safe to show: in an answer, in a log line, on a terminal."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor, ring the bell, end the line
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi marks: they make text read other than it is
    "\u2028\u2029\ufeff\ud800-\udfff]"  # more line ends, a byte order mark, halves of characters
)


def visible(text: str, limit: int | None = None) -> str:
    """``text`` with everything that acts instead of being seen written as an escape; cut at ``limit``."""
    cut = text if limit is None or len(text) <= limit else text[:limit] + "…"
    return _UNSAFE.sub(_escape, cut)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
