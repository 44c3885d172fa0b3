"""The whitelist: whom no job removes."""

from __future__ import annotations

import falcon

from runner.errors import InvalidFields, NotFound
from runner.groups.group import Group, GroupRows
from runner.groups.identity import LID, person_id, phone_id
from runner.groups.person import PersonRows
from runner.groups.whitelist import WhitelistRows
from runner.manager import JobManager
from web.bodies import read_object
from web.faults import RequestBody, validated
from web.group_schemas import whitelist_entry_on_wire
from web.groups import filter_group, find_group
from web.queries import read_query


class ListedPerson(RequestBody):
    """One person, by one of their ids, and the group by its own."""

    group_id: str
    phone_number: str | None = None
    whatsapp_id: str | None = None


class NotListed(NotFound):
    def __init__(self) -> None:
        super().__init__("This person is not on the whitelist of this group")


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
        """Also for somebody who is not in the group yet: they are safe from the moment they join."""
        wanted = validated(ListedPerson, read_object(req))
        known_as = _id_of(wanted)
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_id)
            lid, pn = (known_as, None) if known_as.endswith(LID) else (None, known_as)
            WhitelistRows(tx).add(group, PersonRows(tx).resolve(lid, pn))
        resp.media = {"message": "Added to whitelist"}

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """404 for somebody who is not on it; nobody is made known by being taken off."""
        wanted = validated(ListedPerson, read_object(req))
        known_as = _id_of(wanted)
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_id)
            person = PersonRows(tx).find(known_as)
            if person is None or not WhitelistRows(tx).remove(group, person.id):
                raise NotListed
        resp.media = {"message": "Removed from whitelist"}


def _id_of(wanted: ListedPerson) -> str:
    if (wanted.phone_number is None) == (wanted.whatsapp_id is None):
        raise InvalidFields.one("phoneNumber", "phoneNumber or whatsappId is required, and not both")
    if wanted.phone_number is not None:
        field, known_as = "phoneNumber", phone_id(wanted.phone_number)
        form = "a phone number with its country code, such as +55 11 98765-4321"
    else:
        field, known_as = "whatsappId", person_id(wanted.whatsapp_id or "")
        form = "a person's id: digits@lid or digits@s.whatsapp.net"
    if known_as is None:
        raise InvalidFields.one(field, f"{field} must be {form}")
    return known_as
