"""Silence: the one condition by which a member counts as inactive. Sync, dry run and the look again all use it.

A member is *inactive* when nothing was heard of them for the whole window and the whole window was watched: the
group without a gap, and they themselves already in sight before it began. Who was silent but not watched for so
long is *unknown*, and is left alone. Whoever is on the whitelist, an admin, ourselves or gone is neither.

``since`` is the start of the unbroken observation that reaches to now (``ActivityRows.watched_since``), None where
there is none; ``cutoff`` is now minus the window. Both are UTC milliseconds. All conditions are about a row of
``memberships``.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, and_, false, func, literal, or_, select

from runner.stores.group_schema import memberships, whitelist

MEMBER, ADMIN, SUPERADMIN = "member", "admin", "superadmin"
ROLES = (MEMBER, ADMIN, SUPERADMIN)
"""From the least to the most privileged."""

Moment = int | ColumnElement[int]

FIRST_SIGHT: ColumnElement[int] = func.coalesce(
    memberships.c.joined_at, memberships.c.first_active_at, memberships.c.first_seen_at
)
"""When we first knew of them; before it their silence means nothing."""

LAST_SIGN: ColumnElement[int] = func.coalesce(memberships.c.last_active_at, FIRST_SIGHT)

WHITELISTED = (
    select(whitelist.c.person_id)
    .where(whitelist.c.group_id == memberships.c.group_id, whitelist.c.person_id == memberships.c.person_id)
    .correlate(memberships)
    .exists()
)

MAY_GO = and_(
    memberships.c.left_at.is_(None), memberships.c.role == MEMBER, memberships.c.is_me.is_(False), ~WHITELISTED
)
"""In the group, and nobody whom we never remove."""


def silent(cutoff: Moment) -> ColumnElement[bool]:
    """Nothing was heard of them since ``cutoff``."""
    return or_(memberships.c.last_active_at.is_(None), memberships.c.last_active_at <= _moment(cutoff))


def watched(since: int | None, cutoff: Moment) -> ColumnElement[bool]:
    """They would have been heard, had they said anything since ``cutoff``."""
    if since is None:
        return false()
    begins = _moment(cutoff)
    return and_(_moment(since) <= begins, begins >= FIRST_SIGHT)


def inactive(since: int | None, cutoff: Moment) -> ColumnElement[bool]:
    """May be removed for their silence."""
    return and_(MAY_GO, silent(cutoff), watched(since, cutoff))


def unknown(since: int | None, cutoff: Moment) -> ColumnElement[bool]:
    """Silent as far as is known, but that is not known of the whole window."""
    return and_(MAY_GO, silent(cutoff), ~watched(since, cutoff))


def _moment(at: Moment) -> ColumnElement[int]:
    return literal(at, BigInteger) if isinstance(at, int) else at
