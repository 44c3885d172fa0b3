"""A token: who may call from outside, and what they may do. Times are UTC milliseconds.

The text of a token is shown once and kept nowhere: the store has its SHA-256, which needs no stretching, since nobody
guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

ANONYMOUS = "anonymous"
"""Who calls where no token was ever made."""

PREFIX = "runner_"
"""By it a token is recognised where it should not be: in a repository, a chat, a log."""

NAME_FORM = "1 to 64 of the characters A-Z a-z 0-9 . _ @ -, the first a letter"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._@-]{0,63}")
_TEXT = re.compile(PREFIX + r"[0-9a-f]{64}")


class Role(StrEnum):
    """What a token allows; each role may do what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Token:
    """A token as the store holds it. ``id`` is for people: it names an old token whose name was given again."""

    id: int
    name: str
    role: Role
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now_ms < self.expires_at)


def new_token() -> str:
    return PREFIX + secrets.token_hex(32)


def is_token(text: str) -> bool:
    """Whether it has the form of a token; says nothing of whether there is such a one."""
    return _TEXT.fullmatch(text) is not None


def is_token_name(name: str) -> bool:
    """No name is a number (that is an id), nor as long as a token (so that none can be pasted in its place)."""
    return _NAME.fullmatch(name) is not None and name.lower() != ANONYMOUS


def digest_of(text: str) -> str:
    """What is kept of a token: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
