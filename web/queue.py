"""The removal queue: who is to be removed, and the two jobs that work on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import falcon
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from runner.errors import FieldFault, InvalidFields
from runner.groups.group import Group, GroupRows
from runner.groups.identity import NumberFault, read_person
from runner.groups.kin import KinRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.groups.whitelist import WhitelistRows
from runner.job import JsonDict
from runner.manager import JobManager
from runner.store import Transaction
from runner.stores.jobs import JobRows
from web.bodies import read_object
from web.faults import RequestBody, unknown_field, validated
from web.group_schemas import queue_entry_on_wire
from web.groups import filter_group, find_group
from web.queries import MAX_LIMIT, link_next, read_limit, read_query, read_row_cursor, write_cursor
from web.starts import foretold, start_job

BY_HAND = "put in the queue by hand"
HOUR_MS = 3_600_000


def _person_id(text: str) -> str:
    try:
        return read_person(text)
    except NumberFault as fault:
        raise PydanticCustomError("person_id", "{why}", {"why": str(fault)}) from None


PersonId = Annotated[str, AfterValidator(_person_id)]


class QueueAddition(RequestBody):
    group_id: str
    participants: list[PersonId] = Field(min_length=1)


class QueuePopulation(RequestBody):
    group_id: str
    user_ids: list[PersonId] = Field(min_length=1)


class QueueSync(RequestBody):
    group_wa_id: str
    inactivity_window_ms: int = Field(gt=0, le=2**53 - 1)


class RemovalQueue:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """In the order of removal."""
        query = read_query(req, ("groupWaId", "limit", "cursor"))
        limit = read_limit(query.get("limit"))
        after = read_row_cursor(query.get("cursor")) or 0
        with self._manager.store.read() as tx:
            found = QueueRows(tx).list(filter_group(tx, query.get("groupWaId")), after=after, limit=limit + 1)
            resp.media = _on_wire(tx, found[:limit])
        _link_more(resp, found, limit, query)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 with the entries added. Who is unknown, whitelisted, an admin or queued already is left out; an id that
        only may be a member's, in another spelling of the number, is refused.
        """
        wanted = validated(QueueAddition, read_object(req))
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_id)
            _check_are_members(tx, group, "participants", wanted.participants)
            people = _known_people(tx, wanted.participants)
            added = QueueRows(tx).add(group, list(people.values()), BY_HAND)
            resp.media = _on_wire(tx, added)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Empties the queue of one group; of all of them only when that is said."""
        query = read_query(req, ("groupWaId", "all"))
        if query.get("all", "true") != "true" or ("all" in query) == ("groupWaId" in query):
            raise InvalidFields.one("groupWaId", "Either groupWaId or all=true is required, and not both")
        with self._manager.store.write() as tx:
            count = QueueRows(tx).clear(filter_group(tx, query.get("groupWaId")))
        resp.media = {"message": "Removal queue cleared", "deletedCount": count}


class RemovalQueueSync:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Queues whoever was silent for the whole window while it was watched; answers the group's queue."""
        wanted = validated(QueueSync, read_object(req))
        slack_ms = int(self._manager.settings.observation_slack_hours * HOUR_MS)
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_wa_id)
            QueueRows(tx).sync(group, wanted.inactivity_window_ms, tx.now, slack_ms)
            found = QueueRows(tx).list(group, limit=MAX_LIMIT + 1)
            resp.media = _on_wire(tx, found[:MAX_LIMIT])
        _link_more(resp, found, MAX_LIMIT, {"groupWaId": group.wa_id})


class RemovalQueuePopulation:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Queues the people named, and says who was missing, whitelisted, or left out for another reason."""
        wanted = validated(QueuePopulation, read_object(req))
        with self._manager.store.write() as tx:
            group = find_group(tx, wanted.group_id)
            _check_are_members(tx, group, "userIds", wanted.user_ids)
            resp.media = _populate(tx, group, list(dict.fromkeys(wanted.user_ids)))


class RemovalQueueRun:
    """Starts a tracked job of one type. The bot before this one lost sight of what it started here."""

    def __init__(self, manager: JobManager, job_type: str, message: str, defaults: JsonDict) -> None:
        self._manager = manager
        self._job_type = job_type
        self._message = message
        self._defaults = defaults

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_object(req)
        if "type" in body:
            raise InvalidFields([unknown_field("type", ())])
        job_id = start_job(self._manager, req, resp, {"type": self._job_type, **self._defaults, **body})
        with self._manager.store.read() as tx:
            config = JobRows(tx).get(job_id, archived=True).config
        said = {"message": self._message, "config": config, "jobId": job_id}
        resp.media = said | foretold(self._manager, job_id)


def _populate(tx: Transaction, group: Group, ids: list[str]) -> JsonDict:
    people = _known_people(tx, ids)
    missing = [known_as for known_as in ids if known_as not in people]
    whitelist = WhitelistRows(tx)
    whitelisted = [known_as for known_as, person in people.items() if whitelist.contains(group, person)]
    added = {entry.person_id for entry in QueueRows(tx).add(group, list(people.values()), BY_HAND)}
    others = [known_as for known_as, person in people.items() if person not in added and known_as not in whitelisted]
    return {
        "intended": len(ids),
        "inserted": len(added),
        "missing": len(missing),
        "missingUserIds": missing,
        "skippedWhitelisted": len(whitelisted),
        "skippedWhitelistedIds": whitelisted,
        "skippedOthers": len(others),  # not in the group, an admin, or queued already
        "skippedOtherIds": others,
    }


def _check_are_members(tx: Transaction, group: Group, field: str, ids: Sequence[str]) -> None:
    """Nobody is chosen for removal by a number that only may be theirs. Raises InvalidFields, naming whom it may be."""
    alike, faults = KinRows(tx, group).of(ids), []
    for place, known_as in enumerate(ids):
        present = [one for one in alike.get(known_as, ()) if one.is_present]
        if present and not any(known_as in (one.lid, one.pn) for one in present):
            name = f"{field}[{place}]"
            those = " or ".join(f"{one.words}, {one.shown_id}" for one in present)
            said = f"{name} is no member's id here; it may be that of {those}: name whom you mean by their own id"
            faults.append(FieldFault(name, said))
    if faults:
        raise InvalidFields(faults)


def _known_people(tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
    """Those of the ids that belong to somebody we know, each person once."""
    rows = PersonRows(tx)
    found = ((known_as, rows.find(known_as)) for known_as in ids)
    return {known_as: person.id for known_as, person in found if person is not None}


def _on_wire(tx: Transaction, entries: Sequence[QueueEntry]) -> list[JsonDict]:
    groups = {group.id: group for group in GroupRows(tx).list()}
    return [queue_entry_on_wire(entry, groups[entry.group_id]) for entry in entries]


def _link_more(resp: falcon.Response, found: Sequence[QueueEntry], limit: int, query: dict[str, str]) -> None:
    if len(found) > limit:
        link_next(resp, "/admin/removalQueue", query, write_cursor(found[limit - 1].id or 0))
