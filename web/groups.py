"""Groups: what the removal jobs work on."""

from __future__ import annotations

import re
from typing import Annotated

import falcon
from pydantic import Field, StringConstraints

from runner.errors import GroupNotFound, InvalidFields
from runner.groups.group import Group, GroupRows, is_group_id
from runner.groups.history import HistoryRows
from runner.manager import JobManager
from runner.store import Transaction
from web.bodies import read_object
from web.faults import RequestBody, validated
from web.group_schemas import group_on_wire, history_entry_on_wire
from web.queries import link_next, read_limit, read_query, read_row_cursor, write_cursor

TEN_YEARS_IN_MINUTES = 10 * 366 * 24 * 60

_ROW_ID = re.compile(r"[0-9]{1,9}", re.ASCII)


class GroupChange(RequestBody):
    """The only two things of a group that are anybody's to change."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    inactivity_threshold_minutes: int | None = Field(None, ge=1, le=TEN_YEARS_IN_MINUTES)


class GroupList:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, ())
        with self._manager.store.read() as tx:
            resp.media = [group_on_wire(group) for group in GroupRows(tx).list()]


class GroupEntry:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_patch(self, req: falcon.Request, resp: falcon.Response, group_id: str) -> None:
        """``group_id``: the ``id`` of the list, or the group's own id."""
        wanted = validated(GroupChange, read_object(req))
        if wanted.name is None and wanted.inactivity_threshold_minutes is None:
            raise InvalidFields.one(
                "name", "name or inactivityThresholdMinutes is required: there is nothing else to change"
            )
        with self._manager.store.write() as tx:
            group = GroupRows(tx).change(_named(tx, group_id).id, **wanted.model_dump())
        resp.media = {"group": group_on_wire(group)}


class RemovalHistory:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Newest first."""
        query = read_query(req, ("groupWaId", "limit", "cursor"))
        limit = read_limit(query.get("limit"))
        before = read_row_cursor(query.get("cursor"))
        with self._manager.store.read() as tx:
            found = HistoryRows(tx).list(filter_group(tx, query.get("groupWaId")), before=before, limit=limit + 1)
        if len(found) > limit:
            link_next(resp, req.path, query, write_cursor(found[limit - 1].id))
        resp.media = [history_entry_on_wire(entry) for entry in found[:limit]]


def find_group(tx: Transaction, wa_id: str) -> Group:
    """Raises GroupNotFound, also for what no group can be called: no database need see it."""
    if not is_group_id(wa_id):
        raise GroupNotFound
    return GroupRows(tx).get(wa_id)


def filter_group(tx: Transaction, wa_id: str | None) -> Group | None:
    """None for no filter. Raises GroupNotFound for a group nobody knows: that is not the same as all groups."""
    return None if wa_id is None else find_group(tx, wa_id)


def _named(tx: Transaction, group_id: str) -> Group:
    return GroupRows(tx).by_id(int(group_id)) if _ROW_ID.fullmatch(group_id) else find_group(tx, group_id)
