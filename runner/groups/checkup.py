"""A checkup of a gateway: is it connected, may we remove people, and who would be exempt. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runner.clock import iso
from runner.gateway import (
    AuthFailed,
    BadRequest,
    GatewayError,
    GroupGateway,
    Listing,
    Participant,
    Reception,
    SendsEvents,
    TellsVersion,
)
from runner.groups.accounts import own_account, secrets_of
from runner.groups.group import Group, GroupRows
from runner.groups.hearing import HearingRows, Limits
from runner.groups.identity import person_id, shown
from runner.groups.kin import may_be_alike
from runner.groups.listing import SuspiciousListing, check_listing
from runner.groups.silence import MEMBER
from runner.groups.whitelist import WhitelistRows
from runner.settings import Settings
from runner.store import Store


@dataclass(frozen=True)
class Remark:
    """One thing that was looked at. ``next_step``: what to do, where it is not fine; ``is_known``: False where nobody
    could say whether it is, which is no fault by itself.
    """

    is_fine: bool
    words: str
    next_step: str | None = None
    is_known: bool = True


@dataclass(frozen=True)
class Exempt:
    """Somebody in the group whom no job removes, and why."""

    participant: Participant
    reason: str


def check_connection(gateway: GroupGateway) -> Remark:
    """Whether it answers, takes the key, and is connected."""
    try:
        connection = gateway.connection()
    except (AuthFailed, BadRequest) as error:
        return Remark(False, f"{gateway.via}: {error}", "correct the variables, and try again")
    if not connection.is_open:
        return Remark(False, f"{gateway.via}: {connection.words}", "see that the gateway runs and is connected")
    return Remark(True, f"{gateway.via}: {connection.words}")


def check_version(gateway: GroupGateway) -> list[Remark]:
    """Which version it is, and what that is known not to tell."""
    if not isinstance(gateway, TellsVersion):
        return []
    software = gateway.software()
    if software is None:
        words = "which version it is could not be asked, so it counts as one that does not tell who votes in polls"
        return [Remark(True, words, is_known=False)]
    told = "tells who votes in polls" if software.shows_votes else "does not tell who votes in polls"
    first = Remark(True, f"it is {software.name}, which {told}", is_known=software.shows_votes)
    return [first, *(Remark(True, f"{software.name}: {loss}", is_known=False) for loss in software.losses)]


def check_sending(gateway: GroupGateway, settings: Settings, store: Store) -> list[Remark]:
    """Whether messages of groups can come in by webhook, where this server takes webhooks of that gateway."""
    if not isinstance(gateway, SendsEvents):
        return []
    name, secret = secrets_of(settings).get(gateway.via, ("", "-"))
    if not secret:
        return [
            Remark(True, f"no webhooks are taken, since {name} is not set: who is silent is known by exports alone")
        ]
    said = gateway.sending(Reception(secret, settings.public_url))
    remarks = [Remark(one.next_step is None, one.words, one.next_step, one.is_known) for one in said]
    account = own_account(settings)
    return [*remarks, _arrived(store, settings, account)] if account else remarks


def _arrived(store: Store, settings: Settings, account: str) -> Remark:
    """Nothing but an event that came in shows that the next one may."""
    with store.read() as tx:
        line = HearingRows(tx, Limits.of(settings)).find(account)
    if line is None:
        return Remark(True, f"no event of {account} has arrived here yet", is_known=False)
    words = f"the last event of {account} arrived at {iso(line.heard_at)}"
    if line.group_heard_at is None:
        return Remark(True, f"{words}, and no message of a group yet", is_known=False)
    return Remark(True, f"{words}, the last message of a group at {iso(line.group_heard_at)}")


def check_group(store: Store, wa_id: str, listing: Listing) -> Iterator[Remark]:
    """What its list says of the group and of our rights there."""
    yield Remark(True, f"the group is listed: {listing.name or 'without a name'}, {len(listing.participants)} people")
    yield _trustworthy(store, wa_id, listing)
    if listing.is_community:
        step = "name one of the groups in it"
        yield Remark(False, "this is a community, the parent of other groups: nobody can be removed there", step)
    if listing.is_announcement:
        yield Remark(True, "only admins write in this group, so the silence of the others says nothing")
    yield _rights(listing)


def list_group(gateway: GroupGateway, wa_id: str) -> Listing | Remark:
    """The group now, or why there is none."""
    try:
        return gateway.list_group(wa_id)
    except GatewayError as error:
        return Remark(False, f"the group cannot be listed: {error}", _next_step(error))


def exempt(store: Store, wa_id: str, listing: Listing) -> Sequence[Exempt]:
    """Those of the list who would be left alone whatever their activity, in the order of the list."""
    protected = set[str]()
    with store.read() as tx:
        group = GroupRows(tx).find(wa_id)
        for entry in WhitelistRows(tx).list(group) if group else ():
            protected.update(known for known in (entry.lid, entry.pn) if known)
    unlisted = protected.difference(*(_ids(one) for one in listing.participants))
    reasons = ((one, _reason(one, protected, unlisted)) for one in listing.participants)
    return [Exempt(one, reason) for one, reason in reasons if reason]


def _reason(one: Participant, protected: set[str], unlisted: set[str]) -> str | None:
    """``unlisted``: those on the whitelist whom the list shows by no such id; they may be there by another spelling."""
    if one.is_me:
        return "ourselves"
    if one.role != MEMBER:
        return "the owner" if one.role == "superadmin" else "an admin"
    ids = _ids(one)
    if not protected.isdisjoint(ids):
        return "on the whitelist"
    alike = sorted(shown(entry) for entry in unlisted if any(may_be_alike(entry, known) for known in ids))
    return f"may be {' or '.join(alike)}, on the whitelist" if alike else None


def _ids(one: Participant) -> set[str]:
    return {known for text in (one.id, one.lid, one.pn) if text and (known := person_id(text))}


def _trustworthy(store: Store, wa_id: str, listing: Listing) -> Remark:
    with store.read() as tx:
        group: Group | None = GroupRows(tx).find(wa_id)
    if group is None:
        return Remark(True, "no member of it is known here yet, so a job would remove nobody")
    try:
        check_listing(listing, store, group)
    except SuspiciousListing as error:
        return Remark(False, str(error), "bring the member list up to date, or see what the gateway shows of the group")
    return Remark(True, "the list agrees with what is known here")


def _rights(listing: Listing) -> Remark:
    me = listing.me
    if listing.lacks_us:
        return Remark(False, "we are not in this group", "let an admin add the number of the gateway")
    if me is None:
        words = "which of them is ourselves is not said, so whether we may remove people is not known"
        return Remark(True, words, is_known=False)
    if me.role == MEMBER:
        return Remark(False, f"we ({me.pn or me.id}) are no admin there", "let an admin make that number an admin")
    return Remark(True, f"we ({me.pn or me.id}) are an admin there and may remove people")


def _next_step(error: GatewayError) -> str:
    if error.retryable:
        return "wait a little, and try again"
    return "see that the id is right and that the gateway's number is in the group"
