"""Who may call what: one table of route, method and role. A route that is not in it cannot be added."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import falcon
from falcon.routing import CompiledRouter, map_http_methods

from runner.token import Role
from runner.webhooks.evolution import SIGNS


class Untokened(Enum):
    """Routes that ask for no token of ours."""

    OPEN = "open"
    OWN_SECRET = "a secret of its own"  # noqa: S105 - this says so, and is none
    """What calls it cannot send a token of ours; its resource checks what it sends instead, before anything else."""


Access = Role | Untokened

_VIEWER, _OPERATOR, _ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN

_WEBHOOK: Mapping[str, Access] = {"POST": Untokened.OWN_SECRET}

_JOB = "/admin/jobs/{job_id}"

ROUTES: Mapping[str, Mapping[str, Access]] = {
    "/admin/jobs/start": {"POST": _OPERATOR},
    "/admin/jobs/{job_id}/status": {"GET": _VIEWER},
    "/admin/jobs/{job_id}/cancel": {"POST": _OPERATOR},
    "/admin/jobs/{job_id}/pause": {"POST": _OPERATOR},
    "/admin/jobs/{job_id}/resume": {"POST": _OPERATOR},
    "/admin/jobs/{job_id}/retry": {"POST": _OPERATOR},
    "/admin/jobs": {"GET": _VIEWER},
    _JOB: {"DELETE": _ADMIN},
    "/admin/groups": {"GET": _VIEWER},
    # It ends the membership of whoever the gateway does not list.
    "/admin/groups/ingest": {"POST": _ADMIN},
    "/admin/groups/{group_id}": {"PATCH": _ADMIN},
    "/admin/members": {"GET": _VIEWER},
    "/admin/members/role": {"PATCH": _ADMIN},
    "/admin/lists/whitelist": {"GET": _VIEWER, "POST": _ADMIN, "DELETE": _ADMIN},
    "/admin/removalHistory": {"GET": _VIEWER},
    # Whoever names the people is an admin; whoever lets a job find and remove them, by its rules, is an operator.
    "/admin/removalQueue": {"GET": _VIEWER, "POST": _ADMIN, "DELETE": _ADMIN},
    "/admin/removalQueue/hardcode-populate": {"POST": _ADMIN},
    "/admin/removalQueue/sync": {"POST": _OPERATOR},
    "/admin/removalQueue/run": {"POST": _OPERATOR},
    "/admin/removalQueue/runWorkflow": {"POST": _OPERATOR},
    "/admin/webhooks": {"GET": _VIEWER},
    **dict.fromkeys(("/", "/webhook", "/webhook/{event}", "/webhook/waha"), _WEBHOOK),
    **{f"/{event}": _WEBHOOK for event in SIGNS},
    "/livez": {"GET": Untokened.OPEN},
    # Not open: it takes the database's write lock, and names what is broken. A probe without a token has /livez.
    "/readyz": {"GET": _VIEWER},
}


class RouteWithoutRole(Exception):
    """A mistake in the program, found when the server starts."""

    def __init__(self, path: str, methods: frozenset[str]) -> None:
        named = ", ".join(sorted(methods))
        super().__init__(f"web/access.py must name the roles of exactly the methods that {path} has: {named}")


class GuardedRouter(CompiledRouter):
    """Falcon's router, which takes only routes that stand in the table with each of their methods."""

    def __init__(self, routes: Mapping[str, Mapping[str, Access]] = ROUTES) -> None:
        super().__init__()
        self._access = routes

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Raises RouteWithoutRole."""
        methods = frozenset(map_http_methods(resource, suffix=kwargs.get("suffix")))
        if methods != frozenset(self._access.get(uri_template, ())):
            raise RouteWithoutRole(uri_template, methods)
        super().add_route(uri_template, resource, **kwargs)

    def find(self, uri: str, req: falcon.Request | None = None) -> Any:
        """None also for a word under ``/admin/jobs/`` that is no job: a call that may come there later is no method
        that an existing address lacks.
        """
        found = super().find(uri, req)
        if found is None or found[3] != _JOB or req is None or req.method in self._access[_JOB]:
            return found
        return found if found[2]["job_id"].startswith("job_") else None

    def access_of(self, req: falcon.Request) -> Access:
        """What this request needs. Any token will do to be told that there is no such route or method."""
        found = self.find(req.path, req)
        methods = self._access[found[3] or ""] if found is not None else {}
        if req.method in methods:
            return methods[req.method]
        kinds = set(methods.values())
        return kinds.pop() if len(kinds) == 1 and kinds <= set(Untokened) else Role.VIEWER
