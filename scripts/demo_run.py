"""The demo: imports a chat, rehearses a removal, begins it, stops it half-way, and checks what is said of it."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import httpx
from rich.console import Console

from runner.clock import Clock
from runner.demo.people import GROUP, PEOPLE
from runner.demo.seed import write_demo_files
from runner.settings import MIN_DELAY_MS
from scripts.demo_server import DemoServer, NotAsPromised, throw_away_server, wait_for
from scripts.demo_show import Json, Show
from web.client import is_over
from web.outcomes import number_of
from web.printing import Bar

WINDOW_MS = 2_592_000_000
INACTIVE = 8
_JOB_SECONDS = 120.0


class Demo:
    """One way through, on a server that is up. Every step raises NotAsPromised when it saw something else."""

    def __init__(self, server: DemoServer, show: Show, delay_ms: int) -> None:
        self._server = server
        self._show = show
        self._delay_ms = delay_ms
        self._client = httpx.Client(base_url=server.url, timeout=30, trust_env=False)

    def run(self) -> None:
        with self._client:
            self._import()
            dry = self._rehearse()
            cancelled = self._begin_and_cancel(dry)
            self._check(cancelled, dry)
        self._say_what_next()

    # -- the steps -------------------------------------------------------------------------------------------

    def _import(self) -> None:
        self._show.step("1. A group: the list of its members, and its chat as WhatsApp exports it")
        files = write_demo_files(self._server.home, Clock())
        self._command("import", "members", files.members.name, "--group", GROUP)
        self._command("import", "chat", files.chat.name, "--group", GROUP, "--match-names", files.matches.name)
        for person in PEOPLE:
            if person.whitelisted:
                body = {"groupId": GROUP, "phoneNumber": person.phone}
                self._show.say(f"{person.name} is never to be removed:")
                self._show.post(f"{self._server.url}/admin/lists/whitelist", body)
                self._post("/admin/lists/whitelist", body)

    def _rehearse(self) -> Json:
        self._show.step("2. A dry run: the whole way of the job, changing nothing")
        job = self._follow(self._start(batchSize=4, dryRun=True), is_over)
        promise(job["status"] == "completed", f"The dry run is {_end_of(job)}.")
        result = job["result"]
        self._show_people(result)
        promise(
            len(result["wouldRemove"]) == INACTIVE, f"It names {len(result['wouldRemove'])} people, not {INACTIVE}."
        )
        promise(result["removedWhatsappIds"] == [], "The dry run says that it removed somebody.")
        promise(self._history() == [], "The dry run left something in the removal history.")
        return job

    def _begin_and_cancel(self, dry: Json) -> Json:
        self._show.step("3. The real run, for those on that list alone; cancelled half-way")
        job_id = self._start(batchSize=2, dryRun=False, reviewed=dry["id"])
        half = self._follow(job_id, lambda seen: seen["progress"]["processed"] * 2 >= INACTIVE or is_over(seen))
        promise(half["status"] == "running", f"Half-way the job is {_end_of(half)}.")
        path = f"/admin/jobs/{job_id}/cancel"
        self._show.post(self._server.url + path)
        self._show.facts(self._post(path))
        return self._follow(job_id, is_over)

    def _check(self, job: Json, dry: Json) -> None:
        self._show.step("4. What it says of itself, and whether that is so")
        result, cancellation = job["result"], job["cancellation"]
        self._show.facts({"status": job["status"], "result": result, "cancellation": cancellation})
        removed = result["removedWhatsappIds"]
        promise(job["status"] == "cancelled", f"The job is {job['status']}, not cancelled.")
        promise(cancellation["phase"] == "stopped", f"The cancellation stands at {cancellation['phase']}, not stopped.")
        promise(_time(cancellation["stoppedAt"]) <= _time(cancellation["deadlineAt"]), "It ended after its deadline.")
        took = _time(cancellation["stoppedAt"]) - _time(cancellation["requestedAt"])
        self._show.say(
            f"From the cancel until its processes were seen to be gone: {took / timedelta(milliseconds=1):.0f} ms."
        )
        promise(len(removed) == INACTIVE // 2, f"It removed {len(removed)} people, not the half of {INACTIVE}.")
        promise("unknownWhatsappIds" not in result, "It does not know what became of somebody.")
        promise(set(removed) < {one["id"] for one in dry["result"]["wouldRemove"]}, "It removed somebody not reviewed.")
        self._check_books(job, removed)

    def _check_books(self, job: Json, removed: list[str]) -> None:
        """History, member list and queue, each asked for by itself."""
        history = self._history()
        rows = [(number_of(_id_of(one)), one["user"]["name"], one["outcome"], one["reason"]) for one in history]
        self._show.table("Removal history", ("number", "name", "outcome", "why"), rows)
        booked = sorted(_id_of(entry) for entry in history if entry["jobId"] == job["id"])
        promise(booked == sorted(removed), "Result and removal history do not name the same people.")
        left = {_id_of(member) for member in self._members()}
        promise(left.isdisjoint(removed), "Somebody who was removed is still a member.")
        queued = {_id_of(entry) for entry in self._get("/admin/removalQueue", groupWaId=GROUP)}
        promise(len(queued) == INACTIVE - len(removed) and queued <= left, "The others are not in the removal queue.")
        self._show.say(
            f"Result and history name the same {len(removed)} people, once each; none of them is a member any more; "
            f"the other {len(queued)} are in the queue."
        )

    def _say_what_next(self) -> None:
        self._show.step("5. What next")
        body = {"type": "removal_queue", "groupWaId": GROUP, "batchSize": 2, "delayMs": self._delay_ms, "dryRun": False}
        self._show.say("This goes on with those who are still in the queue:")
        self._show.post(f"{self._server.url}/admin/jobs/start", body)
        self._show.say(
            "Nothing was sent to WhatsApp: this group is a list kept here. "
            "README.md, 'A real group, in six steps', goes on."
        )

    # -- what the steps are made of ----------------------------------------------------------------------------

    def _command(self, *words: str) -> None:
        self._show.command("runner", *words)
        self._show.say(self._server.run(*words).rstrip())

    def _start(self, **given: Any) -> str:
        wanted = {"type": "removal_workflow", "groupWaId": GROUP, "batchSize": 0, "delayMs": self._delay_ms}
        body = wanted | {"dryRun": None, "inactivityWindowMs": WINDOW_MS} | given
        self._show.post(f"{self._server.url}/admin/jobs/start", body)
        answer = self._post("/admin/jobs/start", body)
        self._show.facts(answer)
        return str(answer["jobId"])

    def _follow(self, job_id: str, until: Callable[[Json], bool]) -> Json:
        """A bar until ``until`` is true of the job; returns the job as it then was."""
        with Bar() as bar:

            def look() -> Json | None:
                job: Json = self._get(f"/admin/jobs/{job_id}/status")
                bar.show(job)
                return job if until(job) else None

            return wait_for(look, f"job {job_id} came so far", _JOB_SECONDS)

    def _show_people(self, result: Json) -> None:
        would = result["wouldRemove"]
        self._show.people("Would be removed", would)
        named = {one["id"] for one in would}
        whitelist = {_id_of(entry) for entry in self._get("/admin/lists/whitelist", groupId=GROUP)}
        staying = [member for member in self._members() if _id_of(member) not in named]
        reasons = [(number_of(_id_of(one)), one["user"]["name"], why_staying(one, whitelist)) for one in staying]
        self._show.table("Stays", ("number", "name", "why"), reasons)
        self._show.say(f"In its own words: {result['watched']}.")

    def _members(self) -> list[Json]:
        return list(self._get("/admin/members", groupWhatsappId=GROUP))

    def _history(self) -> list[Json]:
        return list(self._get("/admin/removalHistory", groupWaId=GROUP))

    def _get(self, path: str, **query: str) -> Any:
        return _answer(self._client.get(path, params=query))

    def _post(self, path: str, body: Json | None = None) -> Any:
        return _answer(self._client.post(path, json=body))


def promise(kept: bool, sentence: str) -> None:
    if not kept:
        raise NotAsPromised(sentence)


def why_staying(member: Json, whitelist: Container[str]) -> str:
    """Why somebody is not on the list: said by what the server tells of them."""
    since = (datetime.now(UTC) - timedelta(milliseconds=WINDOW_MS)).isoformat()
    if member["role"] != "MEMBER":
        return f"{member['role'].lower()} of the group"
    if _id_of(member) in whitelist:
        return "on the whitelist"
    if member.get("lastActiveAt", "") > since:
        return f"active, on {member['lastActiveAt'][:10]}"
    if "joinDate" in member:
        return f"unknown: silent, but here only since {member['joinDate'][:10]}"
    return "unknown: silent, but nobody says since when they are here"


def _answer(response: httpx.Response) -> Any:
    promise(
        response.is_success, f"{response.request.method} {response.url.path}: {response.status_code} {response.text}"
    )
    return response.json()


def _end_of(job: Json) -> str:
    error = job.get("result", {}).get("error")
    return f"{job['status']}: {error}" if error else str(job["status"])


def _id_of(entry: Json) -> str:
    return str(entry["user"]["whatsappId"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def main() -> int:
    """0: all was as promised. 1: it was not, and a sentence says what. 130: Ctrl-C before the end."""
    given = _arguments()
    show = Show(Console(highlight=False))
    settings = {} if given.delay_ms >= MIN_DELAY_MS else {"RUNNER_MIN_DELAY_MS": str(given.delay_ms)}
    signal.signal(signal.SIGTERM, _leave)
    try:
        with throw_away_server(settings) as server:
            Demo(server, show, given.delay_ms).run()
            if not given.once:
                _stay(server, show)
    except (NotAsPromised, httpx.HTTPError) as error:
        show.warn(f"The demo did not go as promised. {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    show.say("The server is stopped, and its folder gone.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="The whole way on a made-up group.")
    parser.add_argument("--once", action="store_true", help="end when it is through; else the server stays up")
    parser.add_argument("--delay-ms", type=int, default=MIN_DELAY_MS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _stay(server: DemoServer, show: Show) -> None:
    show.step(f"The server is at {server.url} until Ctrl-C; its home is {server.home}, its log server.log in there.")
    with contextlib.suppress(KeyboardInterrupt):
        code = server.wait()
        raise NotAsPromised(f"The server ended by itself with {code} and said:\n{server.last_words()}")


def _leave(number: int, _frame: object) -> NoReturn:
    """As an exception, so that the server is ended on the way out."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
