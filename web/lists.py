"""The whitelist: whom no job removes."""

from __future__ import annotations

from collections.abc import Sequence

import falcon

from runner.errors import InvalidFields, NotFound
from runner.groups.group import Group, GroupRows
from runner.groups.identity import LID, PN, NumberFault, person_id, read_person, read_phone
from runner.groups.kin import KinRows
from runner.groups.person import PersonRows
from runner.groups.whitelist import Standings, WhitelistRows
from runner.manager import JobManager
from runner.numbering import plain_text
from runner.store import Transaction
from web.bodies import read_object
from web.faults import RequestBody, validated
from web.group_schemas import standing_on_wire, whitelist_entry_on_wire
from web.groups import filter_group, find_group
from web.queries import read_query


class ListedPerson(RequestBody):
    """One person, by one of their ids, and the group by its own."""

    group_id: str
    phone_number: str | None = None
    whatsapp_id: str | None = None


class NotListed(NotFound):
    def __init__(self, alike: Sequence[str] = ()) -> None:
        hint = f"; {' and '.join(alike)} is, and may be the same: name that" if alike else ""
        super().__init__(f"This person is not on the whitelist of this group{hint}")


class Whitelist:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Oldest first; a whitelist is short, so there are no pages."""
        query = read_query(req, ("groupId",))
        with self._manager.store.read() as tx:
            wanted = filter_group(tx, query.get("groupId"))
            groups: dict[int, Group] = {group.id: group for group in GroupRows(tx).list()}
            entries = WhitelistRows(tx).list(wanted)
        resp.media = [whitelist_entry_on_wire(entry, groups[entry.group_id]) for entry in entries]

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Also for somebody who is not in the group yet: they are safe from the moment they join. Says who it is."""
        wanted = validated(ListedPerson, read_object(req))
        known_as = _id_of(wanted)
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_id)
            lid, pn = (known_as, None) if known_as.endswith(LID) else (None, known_as)
            WhitelistRows(tx).add(group, PersonRows(tx).resolve(lid, pn))
            standing = Standings(tx, group).of(known_as)
        resp.media = {"message": "Added to whitelist"} | standing_on_wire(standing)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """404 for somebody who is not on it; nobody is made known by being taken off."""
        wanted = validated(ListedPerson, read_object(req))
        known_as: str | None
        fault: InvalidFields | None = None
        try:
            known_as = _id_of(wanted)
        except InvalidFields as error:
            known_as, fault = _id_of_before(wanted), error
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_id)
            person = PersonRows(tx).find(known_as) if known_as else None
            if person is None or not WhitelistRows(tx).remove(group, person.id):
                raise fault or NotListed(_alike(tx, group, known_as or ""))
        resp.media = {"message": "Removed from whitelist"}


def _alike(tx: Transaction, group: Group, known_as: str) -> list[str]:
    """Who on the whitelist may be meant by another spelling."""
    return [one.words for one in KinRows(tx, group).of([known_as]).get(known_as, ()) if one.whitelisted]


def _id_of_before(wanted: ListedPerson) -> str | None:
    """By which earlier versions kept a number without its country code: it can be taken off."""
    if wanted.phone_number is None:
        return person_id(wanted.whatsapp_id or "")
    digits = "".join(filter(str.isdecimal, plain_text(wanted.phone_number)))
    return digits + PN if digits.startswith("0") else None


def _id_of(wanted: ListedPerson) -> str:
    if (wanted.phone_number is None) == (wanted.whatsapp_id is None):
        raise InvalidFields.one("phoneNumber", "phoneNumber or whatsappId is required, and not both")
    field = "whatsappId" if wanted.phone_number is None else "phoneNumber"
    try:
        return read_person(wanted.whatsapp_id or "") if wanted.phone_number is None else read_phone(wanted.phone_number)
    except NumberFault as fault:
        raise InvalidFields.one(field, f"{field} {fault}") from None
