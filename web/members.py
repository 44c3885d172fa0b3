"""Members of a group, and their roles."""

from __future__ import annotations

from typing import Literal

import falcon

from runner.errors import InvalidFields, MemberNotFound
from runner.groups.group import Group
from runner.groups.identity import NumberFault, WithoutCountry, read_person
from runner.groups.member import ROLES, Member, MemberRows
from runner.manager import JobManager
from web.bodies import read_object
from web.faults import RequestBody, validated
from web.group_schemas import member_on_wire
from web.groups import find_group
from web.queries import link_next, read_limit, read_query, read_row_cursor, write_cursor

WIRE_ROLES = tuple(role.upper() for role in ROLES)


class RoleChange(RequestBody):
    user_whatsapp_id: str
    group_whatsapp_id: str
    role: Literal["MEMBER", "ADMIN", "SUPERADMIN"]


class MemberList:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """One member where ``userWhatsappId`` is given, else an array."""
        query = read_query(req, ("groupWhatsappId", "userWhatsappId", "role", "limit", "cursor"))
        if "groupWhatsappId" not in query:
            raise InvalidFields.one("groupWhatsappId", "groupWhatsappId is required")
        if "userWhatsappId" in query:
            self._answer_one(resp, query)
        else:
            self._answer_many(req, resp, query)

    def _answer_one(self, resp: falcon.Response, query: dict[str, str]) -> None:
        if "role" in query:
            raise InvalidFields.one("role", "role and userWhatsappId cannot be asked for together")
        with self._manager.store.read() as tx:
            group = find_group(tx, query["groupWhatsappId"])
            resp.media = member_on_wire(_find(MemberRows(tx), group, query["userWhatsappId"]), group)

    def _answer_many(self, req: falcon.Request, resp: falcon.Response, query: dict[str, str]) -> None:
        limit = read_limit(query.get("limit"))
        after = read_row_cursor(query.get("cursor"))
        role = _role(query.get("role"))
        with self._manager.store.read() as tx:
            group = find_group(tx, query["groupWhatsappId"])
            found = MemberRows(tx).list(group, role=role, after=after, limit=limit + 1)
        if len(found) > limit:
            link_next(resp, req.path, query, write_cursor(found[limit - 1].person_id))
        resp.media = [member_on_wire(member, group) for member in found[:limit]]


class MemberRole:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whoever is an admin here is never removed, whatever the messenger says of them."""
        wanted = validated(RoleChange, read_object(req))
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_whatsapp_id)
            rows = MemberRows(tx)
            rows.set_role(group, _find(rows, group, wanted.user_whatsapp_id).person_id, wanted.role.lower())
            membership = member_on_wire(_find(rows, group, wanted.user_whatsapp_id), group)
        resp.media = {"message": "Member role updated successfully", "membership": membership}


def _find(rows: MemberRows, group: Group, given: str) -> Member:
    """By the very id, as an earlier version may have kept it, or as it is read today. Raises MemberNotFound, and
    InvalidFields for a number without its country code.
    """
    try:
        return rows.find(group, given)
    except MemberNotFound:
        try:
            return rows.find(group, read_person(given))
        except WithoutCountry as fault:
            raise InvalidFields.one("userWhatsappId", f"userWhatsappId {fault}") from None
        except NumberFault:
            raise MemberNotFound from None


def _role(given: str | None) -> str | None:
    if given is not None and given not in WIRE_ROLES:
        raise InvalidFields.one("role", f"role must be one of: {', '.join(WIRE_ROLES)}")
    return None if given is None else given.lower()
