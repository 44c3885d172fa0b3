"""Taking a group in from its gateway."""

from __future__ import annotations

import threading
import time

import falcon

from runner.errors import GatewayUnavailable, InvalidFields
from runner.groups.accounts import own_account
from runner.groups.group import is_group_id
from runner.groups.hearing import Limits
from runner.groups.ingest import ingest
from runner.groups.member import MemberRows
from runner.groups.versions import Version
from runner.groups.whitelist import WhitelistRows
from runner.job import JsonDict
from runner.manager import JobManager
from runner.opening import open_gateway
from web.bodies import read_object
from web.faults import RequestBody, validated
from web.group_schemas import group_on_wire, person_on_wire, whitelist_entry_on_wire

AT_ONCE = 2
"""So many threads may wait for a gateway; the others answer requests."""

MOST_SHOWN = 1000


class IngestRequest(RequestBody):
    group_wa_id: str


def version_on_wire(version: Version | None) -> JsonDict:
    """``gatewayVersion`` in words, also where it could not be asked; none where a gateway has none."""
    return {} if version is None else {"gatewayVersion": str(version), "showsVotes": version.shows_votes}


class GroupIngest:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """``users`` and ``whitelist`` are the first 1000 of each; all are found under their own addresses."""
        wa_id = validated(IngestRequest, read_object(req)).group_wa_id
        if not is_group_id(wa_id):
            raise InvalidFields.one("groupWaId", "groupWaId must be a group id: digits@g.us or digits-digits@g.us")
        if not self._turns.acquire(blocking=False):
            raise GatewayUnavailable(f"it is asked for {AT_ONCE} groups at this moment")
        try:
            resp.media = self._ingest(wa_id)
        finally:
            self._turns.release()

    def _wait(self, seconds: float) -> None:
        """As it is said, or shorter: somebody waits for the answer."""
        time.sleep(seconds * min(1.0, self._manager.settings.retry_seconds))

    def _ingest(self, wa_id: str) -> JsonDict:
        manager = self._manager
        gateway = open_gateway(manager.settings, manager.store, manager.clock)
        limits = Limits.of(manager.settings)
        taken = ingest(manager.store, gateway, wa_id, own_account(manager.settings), limits, self._wait)
        with manager.store.read() as tx:
            users = MemberRows(tx).list(taken.group, limit=MOST_SHOWN)
            whitelist = WhitelistRows(tx).list(taken.group)[:MOST_SHOWN]
        answer: JsonDict = {
            "group": group_on_wire(taken.group),
            "users": [person_on_wire(member, member.person_id) for member in users],
            "whitelist": [whitelist_entry_on_wire(entry, taken.group) for entry in whitelist],
            "members": taken.members,
            "gone": taken.gone,
        }
        answer |= version_on_wire(taken.version)
        return answer | ({"warnings": list(taken.warnings)} if taken.warnings else {})
