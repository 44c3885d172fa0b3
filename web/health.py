"""Whether the server lives, and whether it can do its work."""

from __future__ import annotations

import falcon

from runner.manager import JobManager

ADVISORY = frozenset({"progress"})
"""What may be missing: without live progress jobs are as safe as with it."""


class Liveness:
    """It answers, so it lives. Touches nothing that could block."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "ok"}


class Readiness:
    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 with each part and "ok"; 503 when a part that is needed says what is wrong."""
        checks = self._manager.readiness()
        ready = all(state == "ok" for name, state in checks.items() if name not in ADVISORY)
        if not ready:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", "5")
        resp.media = {"status": "ready" if ready else "not ready", "checks": checks}
