"""The client's verbs: ingest, start, status, cancel, list, wait. Loaded by the command line alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
import typer

from runner.settings import Settings
from runner.token import PREFIX, is_token
from web.client import Client, NotReachable, Refused
from web.configuration import WrongConfiguration, read_settings
from web.neighbours import others_on_the_group, outlook
from web.outcomes import print_outcome
from web.printing import Bar, complain, note, print_jobs, print_json, print_preview, say
from web.sweeping import cancel_all

FAILED, USAGE, CANCELLED, REFUSED, UNREACHABLE, TOO_LONG = 1, 2, 3, 4, 5, 6
CODES = (
    "Exit codes: 0 done (wait: the job completed) · 1 the job failed · 2 wrong usage · 3 the job was cancelled · "
    "4 the server refused · 5 nobody answers · 6 wait: the time was up"
)

Url = Annotated[str | None, typer.Option(help="The server. Default: what RUNNER_HOST and RUNNER_PORT say.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", show_default=False)]


def add_verbs(app: typer.Typer) -> None:
    for verb in (ingest, start, status, cancel, pause, resume, retry, wait):
        app.command(epilog=CODES)(verb)
    app.command("list", epilog=CODES)(list_jobs)


def ingest(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="Its id: digits@g.us", show_default=False)],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Takes a group in from its gateway, or brings its members up to date."""
    with _client(url) as client:
        answer = client.ingest(group)
    if as_json:
        print_json(answer)
        return
    say(f"In {answer['group'].get('name') or group}: {answer['members']} people")
    if answer["gone"]:
        say(f"Of those who were in it before, {answer['gone']} are gone")
    if "gatewayVersion" in answer:
        votes = "tells" if answer.get("showsVotes") else "does not tell"
        say(f"The gateway is {answer['gatewayVersion']}, which {votes} who votes in polls")
    for warning in answer.get("warnings", []):
        say(warning)
    say("Who has been silent is not on its list: import an export of the chat, or connect webhooks")


def start(
    job_type: Annotated[str, typer.Argument(metavar="TYPE", show_default=False)],
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="The config: batchSize=5 dryRun=true", show_default=False),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency-Key: the same key starts one job.")] = None,
    ignore_votes: Annotated[
        bool, typer.Option("--ignore-votes", help="A removal by silence also where votes in polls were not seen.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Starts a job and prints its id; on stderr for whom it waits, and how long it may take where a pace is set."""
    body: dict[str, Any] = {"type": job_type} | dict(_pair(field) for field in fields or ())
    if ignore_votes and body.setdefault("ignoreVotes", True) is not True:
        raise typer.BadParameter("is not ignoreVotes=true", param_hint="--ignore-votes")
    with _client(url) as client:
        answer = client.start(body, key)
        said = [] if as_json else outlook(client, answer)
    if as_json:
        print_json(answer)
    else:
        say(answer["jobId"])
    for line in said:
        note(line)


def status(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Shows a job; of a removal, the people one a line."""
    with _client(url) as client:
        job = client.status(job_id)
    if as_json:
        print_json(job)
    else:
        print_outcome(job)


def cancel(  # noqa: PLR0913, PLR0917 - each is a flag of the command line
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", show_default=False)] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every job that runs, waits or is paused; asks, with the count.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")] = False,
    reason: Annotated[str | None, typer.Option(help="Kept with the job.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Kill its processes now; a batch may be cut.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what a cancel would do.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Cancels a job, or with --all every one: the batch in hand is finished, and no other begun."""
    if (job_id is None) != everything:
        raise typer.BadParameter("name one job, or --all, and not both", param_hint="JOB")
    with _client(url) as client:
        if job_id is None:
            raise typer.Exit(cancel_all(client, reason, force=force, dry_run=dry_run, yes=yes, as_json=as_json))
        answer = client.cancel(job_id, reason, force=force, dry_run=dry_run)
        job = {} if dry_run or as_json else _seen_after(client, job_id)
        in_hand = _in_hand(client, job)
        others = others_on_the_group(client, job)
    if as_json:
        print_json(answer)
    elif dry_run:
        print_preview(answer)
    else:
        say(answer["message"])
        _say_when(job.get("cancellation", {}), force, in_hand)
    if others is not None:
        note(others)


def _seen_after(client: Client, job_id: str) -> dict[str, Any]:
    """The job, for more words about what is done already; that nobody says them is no fault of it."""
    try:
        return client.status(job_id)
    except (Refused, NotReachable):
        return {}


def _in_hand(client: Client, job: dict[str, Any]) -> int:
    """How many items are in hand of a job that is being cancelled: 0 in a delay, and for one that is over by now."""
    if job.get("cancellation", {}).get("phase") in (None, "stopped"):
        return 0
    try:
        return int(client.cancel(job["id"], None, force=False, dry_run=True)["batchInHand"]["items"])
    except (Refused, NotReachable):
        return 0


def _say_when(cancellation: dict[str, Any], force: bool, in_hand: int) -> None:
    if cancellation.get("phase") not in (None, "stopped"):
        batch = f"It finishes the batch in hand ({in_hand} {'item' if in_hand == 1 else 'items'}) and stops"
        how = "Its processes are being killed" if force else batch if in_hand else "Nothing is in hand: it stops now"
        say(f"{how}, at the latest {cancellation['deadlineAt']}")


def pause(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Ends a job's process at its next checkpoint and keeps its place."""
    _turn(job_id, "pause", as_json, url)


def resume(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Lets a paused job go on from its place."""
    _turn(job_id, "resume", as_json, url)


def retry(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Starts a new job where a failed or cancelled one stopped, and prints its id."""
    _turn(job_id, "retry", as_json, url)


def _turn(job_id: str, verb: str, as_json: bool, url: str | None) -> None:
    with _client(url) as client:
        answer = client.turn(job_id, verb)
    if as_json:
        print_json(answer)
    else:
        say(answer["jobId"] if verb == "retry" else answer["message"])


def list_jobs(
    status: Annotated[
        str | None, typer.Option(help="pending, running, paused, completed, cancelled or failed.")
    ] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    group: Annotated[str | None, typer.Option(help="Only jobs on this group.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that ended more than an hour ago.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Lists jobs, newest first."""
    given = {"status": status, "type": job_type, "groupWaId": group, "archived": "true" if everything else None}
    with _client(url) as client:
        jobs = list(client.jobs(limit, **{name: value for name, value in given.items() if value is not None}))
    if as_json:
        print_json(jobs)
    elif jobs:
        print_jobs(jobs)
    else:
        say("No jobs" if everything else "No jobs; with --all also those that ended more than an hour ago")


def wait(
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds; the job goes on after them.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Waits until a job has ended, with a bar; how it ended is the exit code. A restart of the server is waited out."""
    with _client(url) as client, Bar() as bar:
        job = client.watch(job_id, timeout, bar.show, note)
    if job is None:
        complain(f"{job_id} has not ended after {timeout:g} s; it goes on")
        raise typer.Exit(TOO_LONG)
    if as_json:
        print_json(job)
    elif "error" in job.get("result", {}):
        complain(job["result"]["error"])
    else:
        say(job["status"])
    raise typer.Exit({"completed": 0, "cancelled": CANCELLED}.get(job["status"], FAILED))


@contextmanager
def _client(url: str | None) -> Iterator[Client]:
    settings = _settings()
    try:
        yield Client(url or _default_url(settings), _token(settings))
    except Refused as error:
        complain(error)
        if error.status == httpx.codes.UNAUTHORIZED:
            complain("The verbs send the token that RUNNER_TOKEN names, in the environment or in .env")
        for fault in error.faults[1:]:
            complain(fault.get("message"))
        raise typer.Exit(REFUSED) from None
    except NotReachable as error:
        complain(f"{error}. Is 'runner serve' running there?")
        raise typer.Exit(UNREACHABLE) from None


def _settings() -> Settings:
    try:
        return read_settings()
    except WrongConfiguration as error:
        complain(error)
        raise typer.Exit(USAGE) from None


def _token(settings: Settings) -> str:
    """Never from a flag: everybody on the machine can read what programs were started with."""
    text = settings.token.get_secret_value().strip()
    if text and not is_token(text):
        complain(f"RUNNER_TOKEN is no token: one begins with {PREFIX}, and 64 hexadecimal digits follow")
        raise typer.Exit(USAGE)
    return text


def _default_url(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _pair(text: str) -> tuple[str, Any]:
    """``name=value``; the value as JSON where it is JSON, else as it stands."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
