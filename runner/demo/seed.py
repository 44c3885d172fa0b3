"""The demo's group, made by the same imports that anybody's group comes by."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from runner.clock import Clock
from runner.demo.chat import chat_text, matches_text, members_text
from runner.demo.people import GROUP, NAME, PEOPLE, DemoPerson
from runner.errors import MemberNotFound
from runner.groups.group import Group, GroupRows
from runner.groups.imports import import_chat, import_members
from runner.groups.member import MemberRows
from runner.groups.unmatched import MatchRows
from runner.groups.whitelist import WhitelistRows
from runner.store import Store, Transaction

_MINUTE_MS = 60_000


@dataclass(frozen=True)
class DemoFiles:
    """What somebody with a group would have: its member list, its chat, and who is who in the chat."""

    members: Path
    chat: Path
    matches: Path


def write_demo_files(folder: Path, clock: Clock, *, began: int | None = None, gone: Container[str] = ()) -> DemoFiles:
    """The files as they would be made now, in this machine's time; the export's own time says that, too.

    ``began``: UTC milliseconds of the day from which all days are counted back; None: today. ``gone``: the numbers
    of those who are not in the group any more, and so do not speak there.
    """
    now = clock.now_ms()
    start = (now if began is None else began) // _MINUTE_MS * _MINUTE_MS
    files = DemoFiles(folder / "members.csv", folder / "chat.txt", folder / "matches.csv")
    files.members.write_text(members_text(start), encoding="utf-8")
    files.chat.write_text(chat_text(start, now, gone), encoding="utf-8")
    files.matches.write_text(matches_text(), encoding="utf-8")
    os.utime(files.chat, ns=(now * 1_000_000, now * 1_000_000))
    return files


def seed_demo(store: Store, clock: Clock) -> None:
    """Makes the group. At a later start its chat goes on to that moment, and whatever a user did stays done.

    A group of this id that is not the demo's is left alone. Cut short, it is completed at the next start.
    """
    with store.read() as tx:
        group = GroupRows(tx).find(GROUP)
        if group and not _is_demo(tx, group):
            return
        is_complete = group is not None and bool(MatchRows(tx).all(group))
        gone = _gone(tx, group) if group else set()
    with TemporaryDirectory() as folder:
        files = write_demo_files(Path(folder), clock, began=group.created_at if group else None, gone=gone)
        if group is None:
            import_members(store, files.members, GROUP, name=NAME)
        if not is_complete:
            _whitelist(store)
        import_chat(store, files.chat, GROUP, matches=None if is_complete else files.matches)


def _is_demo(tx: Transaction, group: Group) -> bool:
    """Its numbers are nobody's, so whoever has them comes from here."""
    return _knows(tx, group, PEOPLE[0], also_left=True)


def _gone(tx: Transaction, group: Group) -> set[str]:
    return {person.phone for person in PEOPLE if not _knows(tx, group, person, also_left=False)}


def _knows(tx: Transaction, group: Group, person: DemoPerson, *, also_left: bool) -> bool:
    try:
        MemberRows(tx).find(group, person.whatsapp_id, also_left=also_left)
    except MemberNotFound:
        return False
    return True


def _whitelist(store: Store) -> None:
    with store.write() as tx:
        group = GroupRows(tx).get(GROUP)
        for person in PEOPLE:
            if person.whitelisted:
                WhitelistRows(tx).add(group, MemberRows(tx).find(group, person.whatsapp_id).person_id)
