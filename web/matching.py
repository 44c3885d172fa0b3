"""Going through names in a chat that no member has, one by one, with whoever sits at the terminal."""

from __future__ import annotations

import csv
import difflib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from runner.clock import iso
from runner.groups.group import GroupRows
from runner.groups.identity import person_id, phone_id
from runner.groups.member import Member, MemberRows
from runner.groups.unmatched import UnmatchedAuthor
from runner.store import Store
from web.import_summary import counted
from web.printing import say
from web.visible import visible

MOST_OFFERED = 5
_PAGE = 1000


@contextmanager
def ask_for_matches(store: Store, group_wa_id: str, open_names: Sequence[UnmatchedAuthor]) -> Iterator[Path | None]:
    """A file of the answers as an import reads it; None when nothing was answered. It is gone afterwards."""
    members = _members(store, group_wa_id)
    say("For each name: a member's name, phone number or id; 0 for no member; Enter to leave it open")
    answers = [(author.name, said) for author in open_names if (said := _ask(author, members)) is not None]
    if not answers:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="runner-") as folder:
        path = Path(folder) / "answers.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("author", "member"), *answers])
        yield path


def candidates(name: str, members: Sequence[Member]) -> list[Member]:
    """Members whose name is near, the nearest first."""
    named = [member for member in members if member.name]
    nearness = {
        member.person_id: difflib.SequenceMatcher(None, name.casefold(), (member.name or "").casefold()).ratio()
        for member in named
    }
    words = set(name.casefold().split())
    shared = {member.person_id for member in named if words & set((member.name or "").casefold().split())}
    near = [member for member in named if nearness[member.person_id] >= 0.6 or member.person_id in shared]
    return sorted(near, key=lambda member: -nearness[member.person_id])[:MOST_OFFERED]


def _ask(author: UnmatchedAuthor, members: Sequence[Member]) -> str | None:
    """What the answer file says of this author: a member, empty for no member; None: left open."""
    say("")
    say(f"{author.name}: {counted(author.messages, 'message')}, the last {iso(author.last_at)}")
    offered = candidates(author.name, members)
    if offered:
        say("  Perhaps one of these; the number before the name will do:")
    for place, member in enumerate(offered, 1):
        say(f"  {place}  {member.name} ({member.pn or member.lid})")
    while True:
        said = str(typer.prompt(visible(author.name, 40), default="", show_default=False)).strip()
        if said == "":
            return None
        if said == "0":
            return ""
        if said.isdecimal() and 1 <= int(said) <= len(offered):
            return offered[int(said) - 1].shown_id
        if _is_somebody(said, members):
            return said
        say("  Nobody in this group; again, or Enter to leave it open")


def _is_somebody(said: str, members: Sequence[Member]) -> bool:
    """One member and no more: several of one name have to be told apart by their ids."""
    known_as = person_id(said) or phone_id(said)
    found = [one for one in members if said == one.name or (known_as is not None and known_as in (one.lid, one.pn))]
    return len(found) == 1


def _members(store: Store, group_wa_id: str) -> list[Member]:
    found: list[Member] = []
    with store.read() as tx:
        group = GroupRows(tx).get(group_wa_id)
        while page := MemberRows(tx).list(group, after=found[-1].person_id if found else None, limit=_PAGE):
            found += page
    return found
