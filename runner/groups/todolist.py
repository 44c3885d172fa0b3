"""The to-do list of a roster: whom a job took off it, so that somebody removes them from the real group by hand."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select

from runner.clock import iso
from runner.groups.group import Group
from runner.groups.history import SUCCESS
from runner.store import Transaction
from runner.stores.group_schema import memberships, people, removal_history, roster_removals

COLUMNS = ("name", "number", "last activity (UTC)", "reason", "removed (UTC)")
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_ROSTER = "roster"


@dataclass(frozen=True)
class ToDo:
    """``number``: ``+`` and digits, or the lid of somebody whose number nobody knows. Times are UTC milliseconds."""

    name: str
    number: str
    last_active_at: int | None
    reason: str
    removed_at: int


def to_do(tx: Transaction, group: Group) -> Sequence[ToDo]:
    """Everybody who is off the roster and has not been seen in the group since; the first taken off comes first."""
    off, history = roster_removals.c, removal_history.c
    theirs = (history.group_id == off.group_id, history.person_id == off.person_id, history.outcome == SUCCESS)
    newest = select(history.reason).where(*theirs, history.via == _ROSTER).order_by(history.id.desc()).limit(1)
    member = and_(memberships.c.group_id == off.group_id, memberships.c.person_id == off.person_id)
    columns = (people.c.name, people.c.lid, people.c.pn, memberships.c.last_active_at, off.removed_at)
    query = (
        select(*columns, newest.correlate(roster_removals).scalar_subquery().label("reason"))
        .select_from(roster_removals.join(people, people.c.id == off.person_id).outerjoin(memberships, member))
        .where(off.group_id == group.id)
        .order_by(off.removed_at, off.person_id)
    )
    return [
        ToDo(row.name or "", _number(row.pn) or row.lid, row.last_active_at, row.reason or "", row.removed_at)
        for row in tx.connection.execute(query)
    ]


def to_do_csv(rows: Iterable[ToDo]) -> str:
    """For a spreadsheet: none of its cells is taken for a formula, whatever somebody calls themselves."""
    out = io.StringIO()
    write = csv.writer(out, quoting=csv.QUOTE_ALL).writerow
    write(COLUMNS)
    for row in rows:
        active = "" if row.last_active_at is None else _minute(row.last_active_at)
        cells = (row.name, row.number, active, row.reason, _minute(row.removed_at))
        write([safe_cell(cell) for cell in cells])
    return out.getvalue()


def safe_cell(text: str) -> str:
    """One line. What a spreadsheet would reckon gets an apostrophe before it; a semicolon, where some begin a new
    cell in the midst of a name, becomes a comma.
    """
    plain = "".join(" " if unicodedata.category(one) == "Cc" else "," if one == ";" else one for one in text)
    first = next((one for one in plain if not one.isspace() and unicodedata.category(one) != "Cf"), "")
    return f"'{plain}" if first in _FORMULA else plain


def _number(pn: str | None) -> str:
    return f"+{pn.partition('@')[0]}" if pn else ""


def _minute(at: int) -> str:
    return iso(at)[:16].replace("T", " ")
