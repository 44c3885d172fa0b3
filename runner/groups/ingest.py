"""Ingest: a group's members as its gateway lists them now become members here.

What is known of anybody's activity stays, and none is made up: to be on a list is no sign of life, and when somebody
joined is not on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select

from runner.errors import GatewayRefused, GatewayUnavailable, ListRefused, NotFound
from runner.gateway import GatewayError, GroupGateway, GroupGone, Listing, RateLimited, Software, TellsVersion
from runner.groups.authors import Authors
from runner.groups.group import Group, GroupRows
from runner.groups.hearing import HearingRows, Limits
from runner.groups.intake import Marks, entry_of, ids_of_all, with_no_new_id
from runner.groups.listing import SuspiciousListing, WithoutUs, check_listing
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.settling import ABSENCE_SECONDS
from runner.groups.versions import Version, VersionRows
from runner.store import Store, Transaction
from runner.stores.group_schema import memberships, people

_CHUNK = 400
_ROSTER = "roster"
_ONLY_ADMINS_WRITE = (
    "Only admins write in this group: the others are silent because they must be, and none of them should be "
    "removed for it"
)


class GroupNotThere(NotFound):
    def __init__(self, why: str) -> None:
        super().__init__(f"Group not found: {why}")


class NotOnIt(ListRefused):
    """The list shows others, and not us."""


@dataclass(frozen=True)
class Ingested:
    """``members``: in the group now; ``gone``: whom we thought to be, and are not listed. ``warnings``: sentences.

    ``version``: what the gateway said it is, None where there is none to say it.
    """

    group: Group
    members: int
    gone: int
    warnings: tuple[str, ...]
    version: Version | None = None


def ingest(
    store: Store,
    gateway: GroupGateway,
    wa_id: str,
    account: str | None,
    limits: Limits,
    wait: Callable[[float], None] = time.sleep,
) -> Ingested:
    """Asks the gateway and takes in what it says; the roster is what we have already, so that it changes nothing.

    ``account``: whose events tell of this group from now on. Raises GroupNotThere, ListRefused, GatewayUnavailable,
    GatewayRefused, StoreUnavailable; then nothing was changed, but that a group we are not in, as is said twice with
    a ``wait`` between, is observed no more.
    """
    with store.read() as tx:
        asked_at, known = tx.now, GroupRows(tx).find(wa_id)
        then = ids_of_all(tx, known) if known else None
    try:
        listing = _believed(store, gateway, wa_id, known, wait)
    except (GroupNotThere, NotOnIt):
        if known and account:
            with store.write() as tx:
                HearingRows(tx, limits).over(known, account)
        raise
    software = gateway.software() if isinstance(gateway, TellsVersion) else None
    with store.write() as tx:
        group = GroupRows(tx).create(wa_id, listing.name)
        gone = 0 if gateway.via == _ROSTER else _take(tx, group, listing, asked_at, then)
        if account is not None:
            HearingRows(tx, limits).belongs(group, account, surely=True)
        version = _version(tx, gateway, account, software)
        members = MemberRows(tx).count(group)
        group = GroupRows(tx).get(wa_id)
    return Ingested(group, members, gone, (_ONLY_ADMINS_WRITE,) if listing.is_announcement else (), version)


def _version(tx: Transaction, gateway: GroupGateway, account: str | None, software: Software | None) -> Version | None:
    asked = account is not None and isinstance(gateway, TellsVersion)
    return VersionRows(tx).note(account, software) if asked and account else None


def _believed(
    store: Store, gateway: GroupGateway, wa_id: str, known: Group | None, wait: Callable[[float], None]
) -> Listing:
    """A list that can be believed; or that we are not in the group, which is asked again of one that is known here."""
    try:
        return _listed(store, gateway, wa_id, known)
    except (GroupNotThere, NotOnIt):
        if known is None:
            raise
    wait(ABSENCE_SECONDS)
    return _listed(store, gateway, wa_id, known)


def _listed(store: Store, gateway: GroupGateway, wa_id: str, known: Group | None) -> Listing:
    listing = _list(gateway, wa_id)
    if listing.is_community:
        raise ListRefused(
            "This is a community, not a group: nobody can be removed from it here. Take in the groups that belong to it"
        )
    try:
        check_listing(listing, store, known or Group(0, wa_id, None, 0, 0))
    except WithoutUs as error:
        raise NotOnIt(str(error)) from error
    except SuspiciousListing as error:
        raise ListRefused(str(error)) from error
    return listing


def _list(gateway: GroupGateway, wa_id: str) -> Listing:
    try:
        return gateway.list_group(wa_id)
    except GroupGone as error:
        raise GroupNotThere(str(error)) from error
    except RateLimited as error:
        raise GatewayUnavailable(str(error), error.after_seconds) from error
    except GatewayError as error:
        if error.retryable:
            raise GatewayUnavailable(str(error)) from error
        raise GatewayRefused(str(error)) from error


def _take(tx: Transaction, group: Group, listing: Listing, asked_at: int, then: Marks | None) -> int:
    """How many are gone. What events told while the list was under way is newer than the list."""
    rows = GroupRows(tx)
    if group.name is None and listing.name:
        rows.change(group.id, name=listing.name)
    left_since = _ids(tx, group, memberships.c.left_at >= asked_at)
    entries = [entry for one in listing.participants if (entry := entry_of(one)) is not None]
    MemberRows(tx).put_all(group, (one for one in entries if not {one.lid, one.pn} & left_since), tx.now)
    gone = with_no_new_id(_gone(tx, group, entries, asked_at), then)
    for start in range(0, len(gone), _CHUNK):
        MemberRows(tx).leave(group, gone[start : start + _CHUNK], tx.now)
    rows.listed(group.id)
    Authors(tx, rows.by_id(group.id)).book_unmatched()
    return len(gone)


def _ids(tx: Transaction, group: Group, condition: ColumnElement[bool]) -> set[str | None]:
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    mine = (memberships.c.group_id == group.id, condition)
    query = select(people.c.lid, people.c.pn).select_from(joined).where(*mine)
    return {known for row in tx.connection.execute(query) for known in row if known}


def _gone(tx: Transaction, group: Group, listed: Sequence[MemberEntry], asked_at: int) -> list[Row[Any]]:
    """Members whom the list would show, and does not; nobody of whom we heard since it was asked for."""
    there = {known for one in listed for known in (one.lid, one.pn) if known}
    all_lids, all_pns = all(one.lid for one in listed), all(one.pn for one in listed)
    since = [memberships.c[name] >= asked_at for name in ("joined_at", "last_active_at", "first_seen_at")]
    present = and_(memberships.c.group_id == group.id, memberships.c.left_at.is_(None))
    query = select(people.c.id, people.c.lid, people.c.pn, or_(*since).label("since"))
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    return [
        row
        for row in tx.connection.execute(query.select_from(joined).where(present))
        if not row.since and not {row.lid, row.pn} & there and ((row.lid and all_lids) or (row.pn and all_pns))
    ]
