"""``runner gateway``: looking at the way to a group before anybody is removed. Needs no server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from runner.clock import Clock
from runner.errors import RunnerError
from web.configuration import WrongConfiguration, missing_for_a_gateway
from web.database import read_and_migrate
from web.printing import complain, say

if TYPE_CHECKING:  # what needs database code is loaded by the command that runs, not by `runner --help`
    from runner.gateway import GroupGateway
    from runner.groups.checkup import Exempt, Remark
    from runner.settings import Settings
    from runner.store import Store

WRONG, USAGE, WRONG_CONFIGURATION = 1, 2, 78
CODES = "Exit codes: 0 all is well · 1 something is wrong, and what to do is said · 2 wrong usage · 78 configuration"
_MOST_SHOWN = 50

gateway = typer.Typer(help="The way to a group: RUNNER_GATEWAY.", no_args_is_help=True)


@gateway.callback()
def _gateway() -> None:
    """Keeps ``check`` a word of its own while it is the only one."""


@gateway.command(epilog=CODES)
def check(
    group: Annotated[
        str | None, typer.Argument(metavar="[GROUP]", help="A group's id: digits@g.us", show_default=False)
    ] = None,
) -> None:
    """Looks whether the gateway is connected, takes the key, and sends messages of groups; of a group, whether it is
    listed, whether we may remove people there, and who would be exempt. Changes nothing."""
    from runner.groups.identity import is_group_id

    if group is not None and not is_group_id(group):
        raise typer.BadParameter("must be like 120363403645737238@g.us", param_hint="GROUP")
    with _opened() as (opened, store, settings):
        remarks, exempt = _look(opened, store, settings, group)
        missing = missing_for_a_gateway(settings) if settings.gateway == "roster" else None
    if missing is not None:
        say(f"?      this is the roster, the list kept here, since {missing}")
    for remark in remarks:
        _tell(remark)
    if exempt is not None:
        _tell_exempt(exempt)
    if group is None and all(remark.is_fine for remark in remarks):
        say("Name a group to look at it too: runner gateway check 120363…@g.us")
    raise typer.Exit(0 if all(remark.is_fine for remark in remarks) else WRONG)


def _look(
    opened: GroupGateway, store: Store, settings: Settings, group: str | None
) -> tuple[list[Remark], list[Exempt] | None]:
    from runner.groups.checkup import (
        Remark,
        check_connection,
        check_group,
        check_sending,
        check_version,
        exempt,
        list_group,
    )

    remarks = [check_connection(opened)]
    if not remarks[0].is_fine:
        return remarks, None
    remarks += [*check_version(opened), *check_sending(opened, settings, store)]
    if group is None:
        return remarks, None
    listing = list_group(opened, group)
    if isinstance(listing, Remark):
        return [*remarks, listing], None
    return [*remarks, *check_group(store, group, listing)], list(exempt(store, group, listing))


def _tell(remark: Remark) -> None:
    if remark.is_fine:
        say(f"{'ok' if remark.is_known else '?':6} {remark.words}")
    else:
        say(f"wrong  {remark.words}")
        say(f"       Next: {remark.next_step}")


def _tell_exempt(exempt: list[Exempt]) -> None:
    say(f"Exempt whatever their activity: {len(exempt)}")
    for one in exempt[:_MOST_SHOWN]:
        person = one.participant
        ids = " ".join(dict.fromkeys(known for known in (person.id, person.pn) if known))
        say(f"  {ids}{f' {person.name}' if person.name else ''}: {one.reason}")
    if len(exempt) > _MOST_SHOWN:
        say(f"  and {len(exempt) - _MOST_SHOWN} more")


@contextmanager
def _opened() -> Iterator[tuple[GroupGateway, Store, Settings]]:
    """The gateway that jobs would use, and the server's own database; the server may be running meanwhile."""
    from runner.opening import open_gateway, open_store

    clock = Clock()
    try:
        settings = read_and_migrate()
        store = open_store(settings, clock)
    except (WrongConfiguration, RunnerError, OSError) as error:
        complain(error)
        raise typer.Exit(WRONG_CONFIGURATION) from None
    try:
        yield open_gateway(settings, store, clock), store, settings
    except RunnerError as error:
        complain(error)
        raise typer.Exit(WRONG_CONFIGURATION) from None
    finally:
        store.close()
