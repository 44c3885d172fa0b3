"""The runner's HTTP face, seen from a program: what the command line's verbs speak through."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

Json = dict[str, Any]

POLL_SECONDS = 0.5
INGEST_SECONDS = 300
CALL_SECONDS = 30.0
OUTAGE_SECONDS = 600
"""So long a server that has answered before is waited for, unless whoever waits has set a limit."""

_PASSING = frozenset({429, 502, 503, 504})
FINISHED = frozenset({"completed", "cancelled", "failed"})


class NotReachable(Exception):
    """Nobody answers there, or what answers is not a runner."""


class Refused(Exception):
    """The server said no. ``status`` is the HTTP status; the message is the server's own sentence."""

    def __init__(self, status: int, message: str, faults: list[Json]) -> None:
        super().__init__(message)
        self.status = status
        self.faults = faults


class Client:
    """One server, by its address. ``token``: sent with every call. Raises NotReachable and Refused."""

    def __init__(self, url: str, token: str = "", transport: httpx.BaseTransport | None = None) -> None:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        if transport is None and not url.lower().startswith("https:"):
            transport = httpx.HTTPTransport()  # without it a proxy of the environment would get the token to read
        self._http = httpx.Client(
            base_url=url, headers=sent, timeout=CALL_SECONDS, transport=transport, follow_redirects=False
        )
        self._url = url

    def start(self, body: Json, key: str | None = None) -> Json:
        headers = {"Idempotency-Key": key} if key else {}
        return self._ask("POST", "/admin/jobs/start", json=body, headers=headers).json()  # type: ignore[no-any-return]

    def status(self, job_id: str, *, within: float = CALL_SECONDS) -> Json:
        path = f"/admin/jobs/{_segment(job_id)}/status"
        return self._ask("GET", path, timeout=within).json()  # type: ignore[no-any-return]

    def cancel(self, job_id: str, reason: str | None = None, *, force: bool = False, dry_run: bool = False) -> Json:
        body: Json = {"json": {"reason": reason}} if reason else {}
        flags = {name: "true" for name, given in (("force", force), ("dryRun", dry_run)) if given}
        answer = self._ask("POST", f"/admin/jobs/{_segment(job_id)}/cancel", params=flags, **body)
        return answer.json()  # type: ignore[no-any-return]

    def turn(self, job_id: str, verb: str) -> Json:
        """``verb``: pause, resume or retry."""
        return self._ask("POST", f"/admin/jobs/{_segment(job_id)}/{verb}").json()  # type: ignore[no-any-return]

    def jobs(self, most: int, **filters: str) -> Iterator[Json]:
        """The newest first, at most ``most``, page by page."""
        path, query = "/admin/jobs", filters | {"limit": str(min(most, 1000))}
        left = most
        while left > 0:
            answer = self._ask("GET", path, params=query)
            page = answer.json()
            yield from page[:left]
            left -= len(page)
            following = answer.links.get("next")
            if following is None:
                return
            path, query = following["url"], {}

    def watch(
        self,
        job_id: str,
        seconds: float | None,
        show: Callable[[Json], None],
        tell: Callable[[str], None] = lambda _sentence: None,
    ) -> Json | None:
        """Looks until the job has ended and, if it was cancelled, its processes are gone.

        ``show`` gets each look. None when ``seconds`` are over first. A server that has answered once may be away after
        that, as in a restart: ``tell`` gets a sentence. Raises NotReachable when ``seconds`` (or, without them,
        OUTAGE_SECONDS of silence) are over meanwhile, and at once where nobody ever answered.
        """
        end = None if seconds is None else time.monotonic() + seconds
        outage: _Outage | None = None
        answered = False
        while True:
            try:
                job = self.status(job_id, within=CALL_SECONDS if end is None else _left(end))
            except (NotReachable, Refused) as error:
                if not answered or not _is_passing(error):
                    raise
                outage = outage or _Outage(end, tell, error)
                outage.go_on(error)
            else:
                if outage is not None:
                    tell(f"{self._url} answers again")
                answered, outage = True, None
                show(job)
                if is_over(job):
                    return job
                if end is not None and time.monotonic() + POLL_SECONDS > end:
                    return None
            time.sleep(POLL_SECONDS)

    def ingest(self, group: str) -> Json:
        """Waits longer than the server does for its gateway."""
        asked = {"groupWaId": group}
        answer = self._ask("POST", "/admin/groups/ingest", json=asked, timeout=INGEST_SECONDS)
        return answer.json()  # type: ignore[no-any-return]

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        if not how.get("params"):
            how.pop("params", None)  # an empty one would strike the query out of ``path``
        try:
            answer = self._http.request(method, path, **how)
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotReachable(f"No answer from {self._url}: {str(error) or type(error).__name__}") from error
        except ValueError as error:
            raise NotReachable(f"What answers at {self._url} is not a runner") from error
        if not answer.is_success:
            said = body if isinstance(body, dict) else {}
            raise Refused(answer.status_code, str(said.get("detail", answer.reason_phrase)), said.get("errors", []))
        return answer


class _Outage:
    """A time without answers, which ``tell`` hears of once."""

    def __init__(self, end: float | None, tell: Callable[[str], None], first: Exception) -> None:
        self._end = time.monotonic() + OUTAGE_SECONDS if end is None else end
        tell(f"{first}. Waiting for it to come back; the job does not need us")

    def go_on(self, error: Exception) -> None:
        """Raises NotReachable once it has lasted for too long."""
        if time.monotonic() + POLL_SECONDS > self._end:
            raise NotReachable(f"{error}, until the time for waiting was over") from error


def _is_passing(error: NotReachable | Refused) -> bool:
    return isinstance(error, NotReachable) or error.status in _PASSING


def _left(end: float) -> float:
    return min(CALL_SECONDS, max(1.0, end - time.monotonic()))


def is_over(job: Json) -> bool:
    """``cancelled`` is said at once; it is over when the tree was proved empty, or somebody would not die."""
    if job["status"] not in FINISHED:
        return False
    return "cancellation" not in job or job["cancellation"]["phase"] in ("stopped", "unconfirmed")


def _segment(job_id: str) -> str:
    return httpx.URL(path="/" + job_id).raw_path.decode().removeprefix("/").replace("/", "%2F").replace("?", "%3F")
