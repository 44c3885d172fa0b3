"""The fresh listing of a group, and when not to believe it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sqlalchemy import select

from runner.errors import RunnerError
from runner.gateway import GroupGateway, Listing, Participant
from runner.groups.group import Group
from runner.groups.identity import LID, person_id
from runner.store import Store
from runner.stores.group_schema import memberships, people

_FEW_MISSING = 5


class SuspiciousListing(RunnerError):
    """The gateway's list of the group cannot be true, so nothing is done by it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The gateway's list of the group cannot be right: {what}. Nobody was removed by it. "
            "See that the gateway is connected and sees the group, bring the member list up to date, and try again"
        )


class WithoutUs(SuspiciousListing):
    """It shows others, and not us."""

    def __init__(self) -> None:
        super().__init__("we are not on it ourselves, so we are no longer in the group")


@runtime_checkable
class ListsPeople(Protocol):
    """A gateway that can tell of some people alone, so that a batch need not read a list of 100,000."""

    def list_people(self, group_wa_id: str, ids: Sequence[str]) -> tuple[Participant, ...]:
        """Those of ``ids`` who are in the group."""


@dataclass(frozen=True)
class Listed:
    """Who of those asked for is in the group now, by any of their ids.

    ``all_lids``, ``all_pns``: everybody on the list has that id, so whoever is not found by it is not there.
    ``is_announcement``: only admins write there. ``is_whole``: also those who were not asked for are shown.
    """

    by_id: dict[str, Participant]
    all_lids: bool = True
    all_pns: bool = True
    is_announcement: bool = False
    is_whole: bool = True

    def find(self, *ids: str | None) -> Participant | None:
        for known in ids:
            if known in self.by_id:
                return self.by_id[known]
        return None

    def find_person(self, lid: str | None, pn: str | None) -> Participant | None:
        """As ``find``, but nobody who is listed with another lid: their number has moved to somebody else."""
        found = self.find(lid, pn)
        theirs = person_id(found.lid or found.id) if found and lid else None
        return None if theirs and theirs.endswith(LID) and theirs != lid else found

    def would_show(self, lid: str | None, pn: str | None) -> bool:
        """Whether somebody with these ids would be found, if they were in the group."""
        return (lid is not None and self.all_lids) or (pn is not None and self.all_pns)


def fresh_listing(gateway: GroupGateway, store: Store, group: Group, ids: Iterable[str | None]) -> Listed:
    """The group now, as far as it concerns ``ids``. Raises SuspiciousListing and what the gateway raises."""
    wanted = sorted({known for known in ids if known})
    if isinstance(gateway, ListsPeople):
        return Listed(_index(gateway.list_people(group.wa_id, wanted)), is_whole=False)
    return check_listing(gateway.list_group(group.wa_id), store, group)


def settling_listing(
    gateway: GroupGateway, store: Store, group: Group, ids: Iterable[str | None], wait: Callable[[], None]
) -> Listed:
    """As ``fresh_listing``, but sure enough to say of somebody who is not on it that they were removed.

    Besides those asked about hardly anybody may be missing; and where the gateway has no count of its own, a second
    list, after ``wait()``, must show the same people.
    """
    wanted = sorted({known for known in ids if known})
    if isinstance(gateway, ListsPeople):
        return Listed(_index(gateway.list_people(group.wa_id, wanted)), is_whole=False)
    listing = gateway.list_group(group.wa_id)
    _check_whole(listing)
    listed = listed_of(listing)
    known = _known_members(listing, listed, store, group, wanted)
    if known.missing > max(_FEW_MISSING, known.members // 10):
        raise SuspiciousListing(f"{known.missing} of our {known.members} members are not on it")
    if listing.lacks_us or known.lacks_us:
        raise WithoutUs
    if listing.size is None:
        wait()
        if _shown(gateway.list_group(group.wa_id)) != _shown(listing):
            raise SuspiciousListing("a second list, right after it, shows other people")
    return listed


def listed_of(listing: Listing) -> Listed:
    people_now = listing.participants
    all_lids = all(one.lid or one.id.endswith(LID) for one in people_now)
    all_pns = all(one.pn or not one.id.endswith(LID) for one in people_now)
    return Listed(_index(people_now), all_lids, all_pns, listing.is_announcement)


def check_listing(listing: Listing, store: Store, group: Group) -> Listed:
    """Raises SuspiciousListing for a list that is empty, disagrees with itself, or lacks too many of our members;
    WithoutUs for one with nothing against it but that, since a list that is cut short may lack anybody.
    """
    _check_whole(listing)
    size, listed = len(listing.participants), listed_of(listing)
    known = _known_members(listing, listed, store, group)
    if known.members and not known.listed:
        raise SuspiciousListing(f"none of our {known.members} members is on it")
    if size * 2 < known.members:
        raise SuspiciousListing(f"it has {size} people where we know of {known.members}")
    if listing.lacks_us or known.lacks_us:
        raise WithoutUs
    return listed


def _check_whole(listing: Listing) -> None:
    """By the list alone."""
    size = len(listing.participants)
    if not size:
        raise SuspiciousListing("it is empty")
    if listing.size is not None and listing.size != size:
        raise SuspiciousListing(f"it names {size} people and says that there are {listing.size}")


@dataclass(frozen=True)
class _Known:
    """Our members, less those whom the list shows by no id of theirs; how many of them are listed, and how many not,
    besides those asked about. ``lacks_us``: we know who we are, and are not listed.
    """

    members: int
    listed: int
    missing: int
    lacks_us: bool


def _known_members(listing: Listing, now: Listed, store: Store, group: Group, asked: Iterable[str] = ()) -> _Known:
    sought, shown, one_kind = set(asked), now.by_id.keys(), now.all_lids or now.all_pns
    joined = memberships.join(people, people.c.id == memberships.c.person_id)
    present = (memberships.c.group_id == group.id, memberships.c.left_at.is_(None))
    query = select(people.c.lid, people.c.pn, memberships.c.is_me).select_from(joined).where(*present)
    members = listed = missing = us = us_listed = 0
    with store.read() as tx:
        for lid, pn, is_me in tx.connection.execute(query):  # all of them: to ask for each by its ids takes far longer
            is_listed = lid in shown or pn in shown
            if one_kind and not (is_listed or now.would_show(lid, pn)):
                continue  # known by the other kind of id alone
            members, listed = members + 1, listed + is_listed
            missing += not is_listed and lid not in sought and pn not in sought
            us, us_listed = us + (is_me and now.would_show(lid, pn)), us_listed + (is_me and is_listed)
    absent = us > 0 and not us_listed and not any(one.is_me for one in listing.participants)
    return _Known(members, listed, missing, absent)


def _shown(listing: Listing) -> set[str]:
    return {one.id for one in listing.participants}


def _index(participants: Iterable[Participant]) -> dict[str, Participant]:
    ids = ((one, known) for one in participants for known in {one.id, one.lid, one.pn} if known)
    return {person_id(known) or known: one for one, known in ids}
