"""``runner import``: member lists and chat exports. A question is asked rather than a guess made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from runner.groups.export import DateOrder, DateOrderOpen, ExportError
from runner.numbering import is_country_code
from web.configuration import read_settings
from web.database import opened_store
from web.import_summary import shown_database, tell_chat, tell_members
from web.moments import read_moment
from web.printing import complain

if TYPE_CHECKING:  # what needs database code is loaded by the command that runs, not by `runner --help`
    from runner.groups.imports import ChatSummary

QUESTION = 2
CODES = "Exit codes: 0 taken in · 1 refused, nothing changed · 2 a question is open, or wrong usage · 78 configuration"
ASK = Path("ask")

File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False)]
GroupId = Annotated[str, typer.Option("--group", metavar="ID", help="The group's id: digits@g.us", show_default=False)]
Zone = Annotated[str | None, typer.Option("--time-zone", metavar="Z", help="Europe/Lisbon. Default: this machine's.")]
Country = Annotated[
    str | None, typer.Option("--country", metavar="CODE", help="Of numbers that begin with 0, such as 49.")
]

imports = typer.Typer(help="Takes in member lists and chat exports.", no_args_is_help=True)


@imports.command(epilog=CODES)
def members(
    file: File,
    group: GroupId,
    observed_since: Annotated[
        str | None, typer.Option(metavar="DATE", help="All activity since then is known, and on the list.")
    ] = None,
    listed_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the list was made. Default: the file's own time.")
    ] = None,
    time_zone: Zone = None,
    country: Country = None,
) -> None:
    """Takes in a member list (CSV). Without --observed-since it says nothing of anybody's silence."""
    from runner.groups.imports import import_members

    zone = _zone(time_zone)
    since, made = _moment("--observed-since", observed_since, zone), _moment("--listed-at", listed_at, zone)
    code = _country(country)
    with opened_store(ExportError) as store:
        summary = import_members(store, file, group, since, listed_at=made, zone=zone, country=code)
    tell_members(summary, read_settings())


@imports.command(epilog=CODES)
def chat(  # noqa: PLR0913, PLR0917 - each is an option of the command
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
    other_people: Annotated[
        bool, typer.Option("--other-people", help="It is this group's, though few who wrote are members.")
    ] = False,
    country: Country = None,
) -> None:
    """Takes in a chat export (.txt or .zip): who was active when."""
    from runner.groups.imports import import_chat
    from web.matching import ask_for_matches

    zone = _zone(time_zone)
    made = _moment("--exported-at", exported_at, zone)
    code = _country(country)
    matches = None if match_names == ASK else match_names
    with opened_store(ExportError) as store, _saying_where():
        take = partial(import_chat, store, file, group, zone=zone, country=code)
        first = partial(take, other_people=other_people, matches=matches)
        summary, made = _when_made(partial(_take, first, date_order), made, zone)
        if match_names == ASK and summary.unmatched:
            with ask_for_matches(store, group, summary.unmatched, code) as answers:
                if answers is not None:
                    answered = partial(take, date_order=summary.date_order, matches=answers, exported_at=made)
                    summary = _take_answers(answered, other_people)
    tell_chat(summary, read_settings())


@contextmanager
def _saying_where() -> Iterator[None]:
    """That a group is not known here may mean that this is not the server's database."""
    from runner.groups.imports import GroupUnknown, ImportRefused

    try:
        yield
    except GroupUnknown as error:
        place = shown_database(read_settings())
        raise ImportRefused(
            f"{error}. The database is {place}; a server with another RUNNER_HOME has another"
        ) from None


def _when_made(
    take: Callable[..., ChatSummary], made: int | None, zone: tzinfo | None
) -> tuple[ChatSummary, int | None]:
    """Where the file may have been downloaded since it was made, somebody at the terminal is asked; see ``_take``."""
    from runner.groups.export_made import MadeOpen

    try:
        return take(exported_at=made), made
    except MadeOpen as question:
        complain(question)
        if not sys.stdin.isatty():
            raise typer.Exit(QUESTION) from None
        said = typer.prompt("When was it made? A time, or Enter to stop", default="", show_default=False)
        if not said:
            raise typer.Exit(QUESTION) from None
    made = _moment("--exported-at", said, zone)
    return take(exported_at=made), made


def _take(take: Callable[..., ChatSummary], order: DateOrder | None, *, exported_at: int | None) -> ChatSummary:
    """Where the dates can be read in two ways, somebody at the terminal is asked; else the question is the answer."""
    take = partial(take, exported_at=exported_at)
    try:
        return take(date_order=order)
    except DateOrderOpen as question:
        complain(question)
        if not sys.stdin.isatty():
            raise typer.Exit(QUESTION) from None
        said = typer.prompt(f"Which is it: {', '.join(question.orders)}?")
        chosen = next((order for order in question.orders if order == said), None)
        if chosen is None:
            raise typer.Exit(QUESTION) from None
    return take(date_order=chosen)


def _take_answers(take: Callable[..., ChatSummary], other_people: bool) -> ChatSummary:
    """Answers cost somebody time: where they show that few are members, that is asked, and they are not lost."""
    from runner.groups.imports import OtherPeople

    try:
        return take(other_people=other_people)
    except OtherPeople as doubt:
        complain(doubt)
        typer.confirm("Is it this group's chat all the same?", abort=True)
    return take(other_people=True)


def _zone(name: str | None) -> tzinfo | None:
    local = os.environ.get("TZ", "").removeprefix(":")
    if name is None and "/" in local and not local.startswith("/") and not _exists(local):
        # The machine's clock would then be read as UTC, without a word.
        raise typer.BadParameter(f"{_unknown(local)} (TZ); or say --time-zone UTC", param_hint="TZ")
    if name is not None and not _exists(name):
        raise typer.BadParameter(_unknown(name), param_hint="--time-zone")
    return None if name is None else UTC if name.upper() == "UTC" else ZoneInfo(name)


def _exists(name: str) -> bool:
    if name.upper() == "UTC":
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _unknown(name: str) -> str:
    if _exists("Europe/Lisbon"):
        return f"{name} is no time zone, such as Europe/Lisbon"
    return (
        f"{name} cannot be looked up: this machine has no time zone database. Install it ('pip install tzdata', or the "
        "system's package tzdata), and try again"
    )


def _country(code: str | None) -> str | None:
    plain = None if code is None else code.strip().removeprefix("+").removeprefix("00")
    if plain is not None and not is_country_code(plain):
        raise typer.BadParameter("is no country code, such as 49", param_hint="--country")
    return plain


def _moment(option: str, text: str | None, zone: tzinfo | None) -> int | None:
    return None if text is None else read_moment(option, text, zone)
