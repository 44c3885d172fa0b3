"""A removal's result for somebody who reads it: people in tables, one a line, and not one long line of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import Box
from rich.table import Table
from rich.text import Text

from web.printing import out, print_job, say
from web.visible import visible

Json = dict[str, Any]

MOST_LINES = 50
MOST_OF_A_NAME, MOST_OF_A_REASON = 60, 300
COLUMNS = ("number", "name", "last heard", "why")

_HEADS = {
    "wouldRemove": "would remove {}",
    "removed": "removed {}",
    "skipped": "left {} alone",
    "refused": "could not remove {}",
    "givenUp": "gave up {}",
    "alreadyGone": "found {} gone",
}
_PHONE = "@s.whatsapp.net"


def print_outcome(job: Json) -> None:
    """The job, as ``print_job`` has it, and first what it failed of; of a removal people in tables, and the warnings
    last, to be seen.
    """
    error = job.get("error")
    if error is None:
        _print_rest(job)
        return
    _print_error(error, job.get("result", {}).get("error"))
    _print_rest({name: value for name, value in job.items() if name != "error"})
    if "traceback" in error:
        say(f"traceback: {len(error['traceback'].splitlines())} lines, with --json")


def _print_error(error: Json, sentence: str | None) -> None:
    """In a result stands what it is called and what it says in one."""
    say(f"failed: {sentence or error['message']}")
    if "file" in error:
        say(f"    at {error['file']}:{error.get('line', '?')}")


def _print_rest(job: Json) -> None:
    result = job.get("result", {})
    lists = {name: result[name] for name in _HEADS if _is_of_people(result.get(name))}
    if job.get("status") == "failed" and not lists.get("wouldRemove"):
        lists.pop("wouldRemove", None)  # it did not come far enough to know that nobody would go
    if not lists and "removedWhatsappIds" not in result:
        print_job(job)
        return
    print_job({name: value for name, value in job.items() if name != "result"})
    told = {*lists, "warnings"} | (set() if result.get("removedWhatsappIds") else {"removedWhatsappIds"})
    told |= {"removedWhatsappIds"} if "removed" in lists else set()
    print_job({name: value for name, value in result.items() if name not in told})
    for name, people in lists.items():
        _print_people(name, people, job["id"])
    for warning in result.get("warnings", []):
        say(f"warning: {warning}")


def people_table(people: Sequence[Json], *, title: str | None = None, box: Box | None = None) -> Table:
    """``people``: rows of a removal's result. Nothing in them acts on the terminal."""
    table = Table(*COLUMNS, box=box, pad_edge=box is not None, title=title, title_justify="left", title_style="")
    for one in people:
        table.add_row(*(Text(cell) for cell in _row(one)))
    return table


def number_of(whatsapp_id: str) -> str:
    """``+447700900103`` for a phone id; anything else as it is."""
    number = whatsapp_id.removesuffix(_PHONE)
    return f"+{number}" if number != whatsapp_id and number.isdecimal() else whatsapp_id


def count_of(people: int) -> str:
    return "nobody" if not people else "1 person" if people == 1 else f"{people} people"


def _print_people(name: str, people: Sequence[Json], job_id: str) -> None:
    say(f"{name}: {_HEADS[name].format(count_of(len(people)))}")
    if not people:
        return
    table = people_table(people[:MOST_LINES])
    if not out.is_terminal:
        # To a file or a pipe each person is one line, however long.
        table.width = table.__rich_measure__(out, out.options.update(width=10_000)).maximum
    out.print(table, soft_wrap=False, crop=False)
    if len(people) > MOST_LINES:
        say(f"… and {len(people) - MOST_LINES} more: runner status {job_id} --json")


def _row(one: Json) -> tuple[str, str, str, str]:
    reason = str(one.get("reason", "")) + (f" ({one['code']})" if "code" in one else "")
    number = number_of(str(one.get("phoneNumber") or one["id"]))
    heard = str(one.get("lastActivity", "never"))[:10]
    name = visible(str(one.get("name", "")), MOST_OF_A_NAME)
    return visible(number, MOST_OF_A_NAME), name, visible(heard), visible(reason, MOST_OF_A_REASON)


def _is_of_people(value: object) -> bool:
    """A type of one's own may mean something else by the same name."""
    return isinstance(value, list) and all(isinstance(one, dict) and "id" in one for one in value)
