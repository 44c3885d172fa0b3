"""The console script ``runner``: serve, import, gateway, token, todo, and the client's verbs. typer and rich are loaded
from here alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from web.configuration import WrongConfiguration, read_demo_settings
from web.footing import open_streams
from web.gateway import gateway
from web.imports import imports
from web.printing import complain
from web.todo import CODES as TODO_CODES
from web.todo import todo
from web.tokens import tokens
from web.verbs import add_verbs

app = typer.Typer(
    help="Runs jobs in processes of their own, which can be stopped.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
add_verbs(app)
app.command(epilog=TODO_CODES)(todo)
app.add_typer(imports, name="import")
app.add_typer(gateway, name="gateway")
app.add_typer(tokens, name="token")


@app.command("demo-home", epilog="Exit codes: 0 printed · 2 wrong settings")
def print_demo_home() -> None:
    """Prints the home of 'serve --demo', for RUNNER_HOME: so the commands beside it work on the demo."""
    try:
        typer.echo(read_demo_settings().home)
    except WrongConfiguration as error:
        complain(error)
        raise typer.Exit(2) from None


@app.command(
    epilog="Exit codes: 0 stopped in order · 1 unexpected · 3 jobs forced · 4 second signal · 78 configuration"
)
def serve(
    host: Annotated[
        str | None, typer.Option(help="RUNNER_HOST; beyond loopback only with tokens.", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="RUNNER_PORT, 3000.", show_default=False)] = None,
    home: Annotated[Path | None, typer.Option(help="RUNNER_HOME: where it keeps all.", show_default=False)] = None,
    database_url: Annotated[str | None, typer.Option(help="RUNNER_DATABASE_URL.", show_default=False)] = None,
    workflows: Annotated[str | None, typer.Option(help="RUNNER_WORKFLOWS: modules.", show_default=False)] = None,
    max_running: Annotated[int | None, typer.Option(help="RUNNER_MAX_RUNNING.", show_default=False)] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A made-up group to try it on, in a home of its own.")] = False,
) -> None:
    """Starts the server. All its settings are RUNNER_* variables; these flags are the most wanted of them."""
    given = {
        "HOST": host,
        "PORT": port,
        "HOME": home and home.absolute(),
        "DATABASE_URL": database_url,
        "WORKFLOWS": workflows,
        "MAX_RUNNING": max_running,
    }
    os.environ |= {f"RUNNER_{name}": str(value) for name, value in given.items() if value is not None}
    sys.stdout.flush()
    # Not in this process: started from a console script, every job's process would run that script again. -P: a web.py
    # in the current folder is not ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "web", *(["--demo"] if demo else [])])  # noqa: S606


def main() -> None:
    os.umask(0o077)  # a database may be made here, and what is kept in it is people's data
    open_streams()
    app(prog_name="runner")
