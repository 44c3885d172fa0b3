"""What the server says when it stands: where it is, and what to try."""

from __future__ import annotations

import json
from importlib.metadata import version

from sqlalchemy.engine import make_url

from runner.settings import Settings
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


def banner(settings: Settings, port: int, *, demo: bool, tokens: bool) -> str:
    """For a terminal. Three of its lines work when pasted. tokens: there are some, so that each call needs one."""
    shown_host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{shown_host}:{port}"
    database = make_url(settings.url).render_as_string(hide_password=True)
    lines = [
        f"cancellable-jobs {version('cancellable-jobs')} answers at {url}",
        f"  home      {visible(str(settings.home))}",
        f"  database  {visible(database)}",
        f"  gateway   {visible(_gateway(settings))}",
        f"  access    {WITH_TOKENS if tokens else WITHOUT_TOKENS}",
        "  Ctrl-C stops the jobs at their next checkpoint, and then the server",
        "",
        "Try:",
        *(f"  {command}{FROM_STDIN if tokens else ''}" for command in _commands(url, demo)),
    ]
    return "\n".join(lines)


def _gateway(settings: Settings) -> str:
    """Which it is and where; and why it is the roster, if somebody may have meant another."""
    match settings.gateway:
        case "evolution":
            return f"evolution, instance {settings.evolution_instance_name} at {settings.evolution_api_url}"
        case "waha":
            return f"waha, session {settings.waha_session} at {settings.waha_url}"
        case "roster" if missing := [] if "gateway" in settings.model_fields_set else _missing(settings):
            return f"roster, since {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set for evolution"
        case name:
            return name


def _missing(settings: Settings) -> list[str]:
    """Of Evolution's three variables, if some are there and some are not."""
    given = {
        "EVOLUTION_API_URL": settings.evolution_api_url,
        "EVOLUTION_API_KEY": settings.evolution_api_key.get_secret_value(),
        "EVOLUTION_INSTANCE_NAME": settings.evolution_instance_name,
    }
    missing = [name for name, value in given.items() if not value]
    return missing if len(missing) < len(given) else []


def _commands(url: str, demo: bool) -> list[str]:
    if not demo:
        return [f"curl {url}/readyz", f"curl {url}/admin/groups", f"curl {url}/admin/jobs"]
    start = f"-H 'Content-Type: application/json' -d '{json.dumps(DEMO_START)}'"
    return [
        f"curl -X POST {url}/admin/jobs/start {start}",
        f"curl '{url}/admin/jobs?status=running'",
        f"curl '{url}/admin/members?groupWhatsappId={DEMO_START['groupWaId']}'",
    ]
