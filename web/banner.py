"""What the server says when it stands: where it is, and what to try."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version

from sqlalchemy.engine import make_url

from runner.groups.pace import pace_of
from runner.settings import AT_A_DISTANCE, Settings
from web.configuration import missing_for_a_gateway
from web.visible import visible

DEMO_START = {
    "type": "removal_workflow",
    "groupWaId": "120363403645737238@g.us",
    "batchSize": 5,
    "delayMs": 10_000,
    "dryRun": True,
    "inactivityWindowMs": 2_592_000_000,
}

WITH_TOKENS = "with a token, which the lines below take from RUNNER_TOKEN"
WITHOUT_TOKENS = "open to this machine alone; 'runner token new' makes a token, and then each call needs one"
FROM_STDIN = ' -H @- <<< "Authorization: Bearer $RUNNER_TOKEN"'
"""Not as an argument: everybody on a machine can read what programs are started with."""

_OF_DEMO = " (the demo's own; your group, jobs and tokens are not in it)"


def banner(settings: Settings, port: int, *, demo: bool, tokens: bool, going_on: Sequence[str] = ()) -> str:
    """For a terminal. The lines under Try work when pasted. tokens: there are some, so that each call needs one;
    going_on: a line for each job that an earlier server left.
    """
    shown_host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{shown_host}:{port}"
    database = make_url(settings.url).render_as_string(hide_password=True)
    lines = [
        f"cancellable-jobs {version('cancellable-jobs')} answers at {url}",
        f"  home      {visible(str(settings.home))}{_OF_DEMO if demo else ''}",
        f"  database  {visible(database)}",
        f"  gateway   {visible(_gateway(settings, demo))}",
        f"  pace      {_pace(settings)}",
        f"  access    {WITH_TOKENS if tokens else WITHOUT_TOKENS}",
        "  Ctrl-C stops the server; its jobs go on when it is started again: cancel them first if they must not",
        *(["", "Going on from before:", *(f"  {visible(line)}" for line in going_on)] if going_on else []),
        "",
        "Try:",
        *(["  runner gateway check"] if settings.gateway in AT_A_DISTANCE else []),
        *(f"  {command}{FROM_STDIN if tokens else ''}" for command in _commands(url, demo)),
    ]
    return "\n".join(lines)


def _gateway(settings: Settings, demo: bool) -> str:
    """Which it is and where; and why it is the roster, if somebody may have meant another."""
    match settings.gateway:
        case "evolution":
            return f"evolution, instance {settings.evolution_instance_name} at {settings.evolution_api_url}"
        case "waha":
            return f"waha, session {settings.waha_session} at {settings.waha_url}"
        case "roster" if demo and settings.gateways_ready:
            return "roster, since the demo's group is on no gateway; RUNNER_GATEWAY names another"
        case "roster" if missing := missing_for_a_gateway(settings):
            return f"roster, since {missing}"
        case name:
            return name


def _pace(settings: Settings) -> str:
    """``50 an hour in a group, 09:00-20:00``."""
    pace = pace_of(settings)
    said = [str(cap).replace("in this group", "in a group") for cap in pace.caps]
    if pace.hours is not None:
        said.append(f"{pace.hours}{f' ({pace.hours.zone.key})' if pace.hours.zone else ''}")
    if pace.jitter:
        said.append(f"each delayMs up to {pace.jitter:.0%} longer")
    return ", ".join(said) or "none but each job's delayMs"


def _commands(url: str, demo: bool) -> list[str]:
    if not demo:
        return [f"curl {url}/readyz", f"curl {url}/admin/groups", f"curl {url}/admin/jobs"]
    start = f"-H 'Content-Type: application/json' -d '{json.dumps(DEMO_START)}'"
    return [
        f"curl -X POST {url}/admin/jobs/start {start}",
        f"curl '{url}/admin/jobs?status=running'",
        f"curl '{url}/admin/members?groupWhatsappId={DEMO_START['groupWaId']}'",
    ]
