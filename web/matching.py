"""Going through names in a chat that no member has, one by one, with whoever sits at the terminal."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from runner.clock import iso
from runner.groups.group import GroupRows
from runner.groups.identity import NumberFault, read_person, read_phone
from runner.groups.kin import in_words, may_be_alike
from runner.groups.member import Member, MemberRows
from runner.groups.namesakes import offered
from runner.groups.spelling import spelled
from runner.groups.unmatched import UnmatchedAuthor
from runner.store import Store
from web.import_summary import counted
from web.printing import say
from web.visible import visible

_PAGE = 1000


@contextmanager
def ask_for_matches(
    store: Store, group_wa_id: str, open_names: Sequence[UnmatchedAuthor], country: str | None = None
) -> Iterator[Path | None]:
    """A file of the answers as an import reads it; None when nothing was answered. It is gone afterwards."""
    members = _members(store, group_wa_id)
    say("For each name: a member's name, phone number or id; 0 for no member; Enter to leave it open")
    answers = [(author.name, said) for author in open_names if (said := _ask(author, members, country)) is not None]
    if not answers:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="runner-") as folder:
        path = Path(folder) / "answers.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("author", "member"), *answers])
        yield path


def _ask(author: UnmatchedAuthor, members: Sequence[Member], country: str | None) -> str | None:
    """What the answer file says of this author: a member, empty for no member; None: left open."""
    say("")
    say(f"{author.name}: {counted(author.messages, 'message')}, the last {iso(author.last_at)}")
    likely = offered(author.name, members)
    if likely:
        say("  Perhaps one of these; the number before the name will do:")
    for place, member in enumerate(likely, 1):
        say(f"  {place}  {in_words(member.name, member.pn or member.lid)}")
    while True:
        said = str(typer.prompt(visible(author.name, 40), default="", show_default=False)).strip()
        if said == "":
            return None
        if said == "0":
            return ""
        if said.isdecimal() and 1 <= int(said) <= len(likely):
            return likely[int(said) - 1].shown_id
        fault = _fault(said, members, country)
        if fault is None:
            return said
        say(f"  {fault}; again, or Enter to leave it open")


def _fault(said: str, members: Sequence[Member], country: str | None) -> str | None:
    """What is wrong with an answer; None: it is one member and no more. Several of one name have to be told apart by
    their ids.
    """
    named = [one for one in members if one.name == said] or [
        one for one in members if one.name and spelled(one.name) == spelled(said)
    ]
    if named:
        return None if len(named) == 1 else f"{len(named)} members are called so: give the number or the id"
    if not any(one.isdigit() for one in said):
        return "Nobody in this group"
    try:
        known = read_person(said) if "@" in said else read_phone(said, country)
    except NumberFault as fault:
        return f"This {fault}"
    if any(known in (one.lid, one.pn) for one in members):
        return None
    likely = [in_words(one.name, one.pn) for one in members if one.pn and may_be_alike(known, one.pn)]
    return f"Nobody in this group; it may be {' or '.join(likely)}" if likely else "Nobody in this group"


def _members(store: Store, group_wa_id: str) -> list[Member]:
    found: list[Member] = []
    with store.read() as tx:
        group = GroupRows(tx).get(group_wa_id)
        while page := MemberRows(tx).list(group, after=found[-1].person_id if found else None, limit=_PAGE):
            found += page
    return found
