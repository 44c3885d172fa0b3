"""How the demo speaks: commands as they would be typed, answers, tables."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from web.outcomes import people_table

Json = dict[str, Any]
JSON_HEADER = "Content-Type: application/json"


class Show:
    """Writes to one console. Text from outside is shown as it is: nothing in it is taken for a colour."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def warn(self, text: str) -> None:
        self._console.print(Text(text, style="red"))

    def command(self, *words: str) -> None:
        self._console.print(Text("$ " + shlex.join(words), style="cyan"), soft_wrap=True)

    def post(self, url: str, body: Json | None = None) -> None:
        """The curl line for a request."""
        sent = ["-H", JSON_HEADER, "-d", json.dumps(body)] if body is not None else []
        self.command("curl", "-X", "POST", url, *sent)

    def facts(self, found: Json) -> None:
        self._console.print(JSON.from_data(found, indent=2), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(*columns, title=title, title_justify="left", title_style="")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print(table)

    def people(self, title: str, people: Sequence[Json]) -> None:
        """As ``runner status`` shows them."""
        self._console.print(people_table(people, title=title, box=HEAVY_HEAD))
