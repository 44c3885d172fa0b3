"""``runner import``: member lists and chat exports. A question is asked rather than a guess made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from runner.clock import iso
from runner.groups.export import DateOrder, DateOrderOpen, ExportError
from web.database import opened_store
from web.moments import read_moment
from web.printing import complain, say

if TYPE_CHECKING:  # what needs database code is loaded by the command that runs, not by `runner --help`
    from runner.groups.imports import ChatSummary, MembersSummary

QUESTION = 2
CODES = "Exit codes: 0 taken in · 1 refused, nothing changed · 2 a question is open, or wrong usage · 78 configuration"
ASK = Path("ask")

File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False)]
GroupId = Annotated[str, typer.Option("--group", metavar="ID", help="The group's id: digits@g.us", show_default=False)]
Zone = Annotated[str | None, typer.Option("--time-zone", metavar="Z", help="Europe/Lisbon. Default: this machine's.")]

imports = typer.Typer(help="Takes in member lists and chat exports.", no_args_is_help=True)


@imports.command(epilog=CODES)
def members(
    file: File,
    group: GroupId,
    observed_since: Annotated[
        str | None, typer.Option(metavar="DATE", help="All activity since then is known, and on the list.")
    ] = None,
    time_zone: Zone = None,
) -> None:
    """Takes in a member list (CSV). Without --observed-since it says nothing of anybody's silence."""
    from runner.groups.imports import import_members

    zone = _zone(time_zone)
    since = _moment("--observed-since", observed_since, zone)
    with opened_store(ExportError) as store:
        summary = import_members(store, file, group, since, zone=zone)
    _tell_members(summary)


@imports.command(epilog=CODES)
def chat(
    file: File,
    group: GroupId,
    date_order: Annotated[DateOrder | None, typer.Option(help="Where the file leaves it open.")] = None,
    time_zone: Zone = None,
    match_names: Annotated[
        Path | None, typer.Option(metavar="FILE|ask", help="CSV author,member; or ask: one by one, here.")
    ] = None,
    exported_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the export was made. Default: the file's own time.")
    ] = None,
) -> None:
    """Takes in a chat export (.txt or .zip): who was active when."""
    from runner.groups.imports import import_chat
    from web.matching import ask_for_matches

    zone = _zone(time_zone)
    made = _moment("--exported-at", exported_at, zone)
    matches = None if match_names == ASK else match_names
    with opened_store(ExportError) as store:
        take = partial(import_chat, store, file, group, zone=zone, exported_at=made)
        summary = _take(take, date_order, matches)
        if match_names == ASK and summary.unmatched:
            with ask_for_matches(store, group, summary.unmatched) as answers:
                if answers is not None:
                    summary = take(date_order=summary.date_order, matches=answers)
    _tell_chat(summary)


def _take(take: Callable[..., ChatSummary], order: DateOrder | None, matches: Path | None) -> ChatSummary:
    """Where the dates can be read in two ways, somebody at the terminal is asked; else the question is the answer."""
    try:
        return take(date_order=order, matches=matches)
    except DateOrderOpen as question:
        complain(question)
        if not sys.stdin.isatty():
            raise typer.Exit(QUESTION) from None
        said = typer.prompt(f"Which is it: {', '.join(question.orders)}?")
        chosen = next((order for order in question.orders if order == said), None)
        if chosen is None:
            raise typer.Exit(QUESTION) from None
    return take(date_order=chosen, matches=matches)


def _tell_members(summary: MembersSummary) -> None:
    say(f"{summary.rows} people on the list, {summary.added} of them new; {summary.members} in the group now")
    if not summary.admins:
        say("Nobody on it is an admin: name them in a column role, or they can be removed like everybody else")
    if summary.kept_off:
        say(f"{summary.kept_off} were removed by a job before and stay off: the list does not say they came back later")
    if summary.unmatched:
        say(f"{summary.unmatched} authors of chat exports are still matched to nobody")


def _tell_chat(summary: ChatSummary) -> None:
    say(f"{summary.messages} messages of {summary.authors} authors, dates read as {summary.date_order}")
    said = (
        (summary.matched, "are members"),
        (summary.no_member, "are confirmed to be no members"),
        (summary.former, "are not in the group any more"),
        (summary.left_unmatched, "could not be matched to a member"),
    )
    for count, words in said:
        if count:
            say(f"  {count} {words}")
    say(f"Activity is known from {iso(summary.observed_from)} to {iso(summary.observed_to)}")
    if not summary.exported_at_given:
        say("  The end is the file's own time; if it was copied since, say --exported-at")
    if summary.unread_lines:
        say(f"{summary.unread_lines} lines before the first message were not read")
    if summary.unmatched:
        say("Nobody is removed while these are open; go through them with --match-names ask:")
        for author in summary.unmatched[:20]:
            say(f"  {author.name}: {author.messages} messages, the last {iso(author.last_at)}")
        if len(summary.unmatched) > 20:
            say(f"  and {len(summary.unmatched) - 20} more")


def _zone(name: str | None) -> tzinfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter("is no time zone, such as Europe/Lisbon", param_hint="--time-zone") from None


def _moment(option: str, text: str | None, zone: tzinfo | None) -> int | None:
    return None if text is None else read_moment(option, text, zone)
