"""The HTTP face: its routes are its table of contents."""

from __future__ import annotations

from typing import Any

import falcon

from runner.groups.missed import Missed
from runner.manager import JobManager
from web.access import GuardedRouter
from web.errors import add_error_answers
from web.gate import Gate
from web.groups import GroupEntry, GroupList, RemovalHistory
from web.health import Liveness, Readiness
from web.ingests import GroupIngest
from web.jobs import JobEntry, JobList, JobStart, JobState
from web.lists import Whitelist
from web.members import MemberList, MemberRole
from web.middleware import all_middleware
from web.proxies import Proxies
from web.queries import KnownParameters
from web.queue import RemovalQueue, RemovalQueuePopulation, RemovalQueueRun, RemovalQueueSync
from web.refusals import CountRefusals
from web.steering import JobCancel, JobPause, JobResume, JobRetry
from web.webhooks import add_webhooks

QUEUE_DEFAULTS = {"batchSize": 5, "dryRun": True}


def create_app(manager: JobManager, missed: Missed | None = None) -> falcon.App[falcon.Request, falcon.Response]:
    """The application over a manager that has been started. Knows nothing that the manager does not.

    ``missed``: is told of webhooks that are turned away.

    Each route has its roles in ``web/access.py``. Raises RouteWithoutRole.
    """
    router = GuardedRouter()
    missed = missed or Missed()
    app = falcon.App(middleware=[CountRefusals(router, missed), *_checks(manager, router)], router=router)
    add_error_answers(app)

    app.add_route("/admin/jobs/start", JobStart(manager))
    app.add_route("/admin/jobs/{job_id}/status", JobState(manager))
    app.add_route("/admin/jobs/{job_id}/cancel", JobCancel(manager))
    app.add_route("/admin/jobs/{job_id}/pause", JobPause(manager))
    app.add_route("/admin/jobs/{job_id}/resume", JobResume(manager))
    app.add_route("/admin/jobs/{job_id}/retry", JobRetry(manager))
    app.add_route("/admin/jobs", JobList(manager))
    app.add_route("/admin/jobs/{job_id}", JobEntry(manager))

    app.add_route("/admin/groups", GroupList(manager))
    app.add_route("/admin/groups/ingest", GroupIngest(manager))
    app.add_route("/admin/groups/{group_id}", GroupEntry(manager))
    app.add_route("/admin/members", MemberList(manager))
    app.add_route("/admin/members/role", MemberRole(manager))
    app.add_route("/admin/lists/whitelist", Whitelist(manager))
    app.add_route("/admin/removalHistory", RemovalHistory(manager))

    queue_run = RemovalQueueRun(manager, "removal_queue", "Removal queue run started", QUEUE_DEFAULTS)
    workflow_run = RemovalQueueRun(manager, "removal_workflow", "Removal workflow started", {})
    app.add_route("/admin/removalQueue", RemovalQueue(manager))
    app.add_route("/admin/removalQueue/sync", RemovalQueueSync(manager))
    app.add_route("/admin/removalQueue/hardcode-populate", RemovalQueuePopulation(manager))
    app.add_route("/admin/removalQueue/run", queue_run)
    app.add_route("/admin/removalQueue/runWorkflow", workflow_run)

    add_webhooks(app, manager, missed)

    app.add_route("/livez", Liveness())
    app.add_route("/readyz", Readiness(manager))
    return app


def _checks(manager: JobManager, router: GuardedRouter) -> list[Any]:
    """What a request passes before its resource, in order."""
    proxies = Proxies(manager.settings.proxy_networks)
    gate = Gate(manager.store, manager.clock, router, proxies)
    return [*all_middleware(manager.settings, proxies), gate, KnownParameters()]
