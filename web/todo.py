"""``runner todo``: whom to remove by hand, as a file for a spreadsheet. Needs no server."""

from __future__ import annotations

from typing import Annotated

import typer

from web.database import opened_store

CODES = "Exit codes: 0 printed · 1 refused · 2 wrong usage · 78 configuration"


def todo(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="Its id: digits@g.us", show_default=False)],
) -> None:
    """Prints whom jobs took off the roster (CSV): those whom somebody has to remove from the real group by hand."""
    from runner.groups.group import GroupRows
    from runner.groups.todolist import to_do, to_do_csv

    with opened_store() as store, store.read() as tx:
        text = to_do_csv(to_do(tx, GroupRows(tx).get(group)))
    typer.echo(text.encode("utf-8-sig"), nl=False)  # by its first bytes Excel knows that this is UTF-8
