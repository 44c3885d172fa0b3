"""Refused webhooks are counted: without that, a gateway that sends to the wrong path leaves no trace anywhere."""

from __future__ import annotations

import falcon

from runner.groups.missed import Missed
from runner.groups.refused import Refusal
from web.access import GuardedRouter
from web.webhooks import is_webhook

_BY_STATUS = {403: Refusal.OTHER_SITE, 413: Refusal.TOO_LARGE}


class CountRefusals:
    """By the answer, so that nothing is overlooked, whoever refused it. One that is to come again (5xx) is none.

    A POST where nothing is, outside of ``/admin``, is taken for a webhook with a wrong address.
    """

    def __init__(self, router: GuardedRouter, missed: Missed) -> None:
        self._router = router
        self._missed = missed

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        if (why := self._why(req, resp.status_code)) is not None:
            self._missed.refused(why)

    def _why(self, req: falcon.Request, status: int) -> Refusal | None:
        if req.method != "POST" or not 400 <= status < 500 or req.path.startswith("/admin/"):
            return None
        if self._router.find(req.path, req) is None:
            return Refusal.UNKNOWN_PATH
        if not is_webhook(req.method, req.path):
            return None
        said: Refusal = getattr(req.context, "refusal", _BY_STATUS.get(status, Refusal.OTHER))
        return said
