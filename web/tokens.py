"""``runner token``: makes, lists and revokes tokens, on the database itself: no token is needed to make the first."""

from __future__ import annotations

import re
import sys
import time
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from runner.clock import iso
from runner.job import JsonDict
from runner.token import NAME_FORM, Role, Token, is_token_name
from web.database import opened_store
from web.moments import read_moment
from web.printing import complain, out, print_json, say

CODES = "Exit codes: 0 done · 1 refused, nothing changed · 2 wrong usage · 78 configuration"
EXPIRES = "--expires"
COLUMNS = ("id", "name", "role", "state", "createdAt", "expiresAt")

_SPAN = re.compile(r"([0-9]{1,5})([hd])", re.ASCII)
_UNITS_MS = {"h": 3_600_000, "d": 86_400_000}

tokens = typer.Typer(help="Makes and revokes the tokens that calls are made with.", no_args_is_help=True)


@tokens.command(epilog=CODES)
def new(
    name: Annotated[str, typer.Argument(show_default=False, help="Who it is for: jobs say so of whoever asked.")],
    role: Annotated[
        Role,
        typer.Option(help="viewer reads; operator also starts and stops jobs; admin may do all.", show_default=False),
    ],
    expires: Annotated[
        str | None, typer.Option(EXPIRES, metavar="30d|12h|DATE", help="When it ends. Default: never.")
    ] = None,
) -> None:
    """Makes a token and prints it, once: only its hash is kept."""
    if not is_token_name(name):
        raise typer.BadParameter(f"must be {NAME_FORM}, and not 'anonymous'", param_hint="NAME")
    from runner.stores.tokens import TokenRows

    now_ms = time.time_ns() // 1_000_000
    until = None if expires is None else read_expiry(expires, now_ms)
    with opened_store() as store, store.write() as tx:
        text = TokenRows(tx).add(name, role, until)
    print(text)
    if sys.stdout.isatty():
        complain("it is not shown again; the verbs take it from RUNNER_TOKEN, in the environment or in .env")


@tokens.command("list", epilog=CODES)
def list_tokens(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Lists all tokens ever made, the oldest first; never the tokens themselves."""
    from runner.stores.tokens import TokenRows

    with opened_store() as store, store.read() as tx:
        found, now_ms = TokenRows(tx).list(), tx.now
    rows = [_shown(token, now_ms) for token in found]
    if as_json:
        print_json(rows)
    elif rows:
        _print_table(rows)
    else:
        say("No tokens: everything is open to this machine, and to no other")


@tokens.command(epilog=CODES)
def revoke(named: Annotated[str, typer.Argument(metavar="NAME|ID", show_default=False)]) -> None:
    """Makes a token worthless at once, also in a running server."""
    from runner.stores.tokens import TokenRows

    with opened_store() as store, store.write() as tx:
        token = TokenRows(tx).revoke(named)
    say(f"The token of {token.name} (id {token.id}, {token.role}) is revoked")


def read_expiry(text: str, now_ms: int) -> int:
    """UTC milliseconds. Raises typer.BadParameter, also for what is over already."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        until = now_ms + int(span[1]) * _UNITS_MS[span[2]]
    elif text[:1].isdigit() and "-" in text:
        until = read_moment(EXPIRES, text)
    else:
        raise typer.BadParameter("must be like 30d, 12h, 2026-01-31 or 2026-01-31T18:00", param_hint=EXPIRES)
    if until <= now_ms:
        raise typer.BadParameter("must lie ahead: such a token would never work", param_hint=EXPIRES)
    return until


def _shown(token: Token, now_ms: int) -> JsonDict:
    state = "valid" if token.is_valid(now_ms) else "expired" if token.revoked_at is None else "revoked"
    times = {"createdAt": token.created_at, "expiresAt": token.expires_at, "revokedAt": token.revoked_at}
    said = {name: iso(at) for name, at in times.items() if at is not None}
    return {"id": token.id, "name": token.name, "role": token.role.value, "state": state} | said


def _print_table(rows: list[JsonDict]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(str(row.get(column, ""))) for column in COLUMNS))
    out.print(table)
