"""``runner cancel --all``: counts, asks, and cancels what was counted."""

from __future__ import annotations

import sys
from collections.abc import Callable

import httpx
import typer

from web.client import Client, Json, NotReachable, Refused
from web.printing import complain, note, print_jobs, print_json, say

_STATES = ("running", "pending", "paused")
"""Those that act come first: whoever waits for them cannot begin before they are gone."""

_MOST = 1_000_000
_MOST_SHOWN = 20
USAGE, REFUSED = 2, 4


def cancel_all(
    client: Client,
    reason: str | None,
    *,
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    is_somebody_there: Callable[[], bool] = lambda: sys.stdin.isatty(),
) -> int:
    """The exit code. What is started while it asks is not cancelled. Raises NotReachable, saying how far it came."""
    found = _live(client)
    if dry_run or not found:
        _say_what_would(found, as_json)
        return 0
    if not yes and not is_somebody_there():
        complain(f"{_count(found)} would be cancelled, and nobody is there to ask. Add --yes if that is meant")
        return USAGE
    if not yes and not _agreed(found, force):
        note("Nothing was cancelled")
        return 0
    return _cancel(client, found, reason, force, as_json)


def _live(client: Client) -> list[Json]:
    found = {job["id"]: job for status in _STATES for job in client.jobs(_MOST, status=status)}
    return list(found.values())


def _say_what_would(found: list[Json], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_jobs(found)
    say(f"Would cancel {_count(found)}" if found else "No job is running, waiting or paused")


def _agreed(found: list[Json], force: bool) -> bool:
    print_jobs(found[:_MOST_SHOWN])
    if len(found) > _MOST_SHOWN:
        say(f"… and {len(found) - _MOST_SHOWN} more")
    how = "Kill the processes of" if force else "Cancel"
    return typer.confirm(f"{how} {_count(found)}?", default=False, err=True)


def _cancel(client: Client, found: list[Json], reason: str | None, force: bool, as_json: bool) -> int:
    results: list[Json] = []
    for job in found:
        try:
            answer = client.cancel(job["id"], reason, force=force)
            results.append({"jobId": job["id"], "outcome": "done", "status": answer["status"]})
        except Refused as error:
            if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise
            results.append({"jobId": job["id"], "outcome": "refused", "detail": str(error)})
        except NotReachable as error:
            raise NotReachable(f"{len(results)} of {_count(found)} were asked to stop, then: {error}") from error
    refused = [one for one in results if one["outcome"] == "refused"]
    if as_json:
        print_json(results)
    else:
        for one in refused:
            note(f"{one['jobId']}: {one['detail']}")
        say(f"Cancelled {_count(results, less=len(refused))}; runner list shows when their processes are gone")
    return REFUSED if refused else 0


def _count(found: list[Json], less: int = 0) -> str:
    number = len(found) - less
    return "1 job" if number == 1 else f"{number} jobs"
