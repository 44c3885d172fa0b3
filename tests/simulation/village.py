"""Two groups of people who speak, leave and are made admins, as the store knows them and as they really are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runner.clock import Clock
from runner.groups.activity import ActivityRows
from runner.groups.group import Group, GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.groups.silence import ADMIN, MEMBER, SUPERADMIN
from runner.groups.whitelist import WhitelistRows
from runner.store import Transaction
from runner.stores.database import SqlStore
from tests.simulation.store import database

VILLAGES = ("120363000000000011@g.us", "120363000000000012@g.us")
WINDOW_MS = 30 * 86_400_000
_DAY_MS = 86_400_000
_US, _OWNER, _ADMIN, _NEW_ADMIN = range(4)
_WHITELISTED = (4, 5)
_SILENT, _QUEUED, _LIVELY = range(6, 18), range(18, 24), range(24, 30)
EVERYBODY = range(30)


def villager(village: int, number: int) -> str:
    return f"7{village}{number:05d}@lid"


US = frozenset(villager(village, _US) for village in range(len(VILLAGES)))


def real_roles(village: int) -> dict[str, str]:
    """Who is really in it. One has been made an admin, and the store has not heard of it."""
    roles = {_US: ADMIN, _OWNER: SUPERADMIN, _ADMIN: ADMIN, _NEW_ADMIN: ADMIN}
    return {villager(village, number): roles.get(number, MEMBER) for number in EVERYBODY}


@dataclass(frozen=True)
class Records:
    """What is written in the store from outside of all jobs: by an operator, or by what was heard of a group."""

    clock: Clock

    def fill(self) -> None:
        """Twelve who have been silent for too long, six queued by hand, six who have not; and the exempt."""
        with self._store().write() as tx:
            for village, wa_id in enumerate(VILLAGES):
                _fill(tx, village, GroupRows(tx).create(wa_id, f"village {village}"))

    def heard(self, wa_id: str, known: str) -> None:
        """They said something just now."""
        with self._store().write() as tx:
            group, person = _of(tx, wa_id, known)
            ActivityRows(tx).saw(group, person, tx.now)

    def whitelist(self, wa_id: str, known: str) -> None:
        with self._store().write() as tx:
            WhitelistRows(tx).add(*_of(tx, wa_id, known))

    def made_admin(self, wa_id: str, known: str) -> None:
        with self._store().write() as tx:
            MemberRows(tx).set_role(*_of(tx, wa_id, known), ADMIN)

    def queue(self, wa_id: str, known: str) -> None:
        with self._store().write() as tx:
            group, person = _of(tx, wa_id, known)
            QueueRows(tx).add(group, [person], "asked for by hand")

    def bring_up_to_date(self, wa_id: str, there: Collection[str]) -> None:
        """Who is not there has left."""
        with self._store().write() as tx:
            group = GroupRows(tx).get(wa_id)
            gone = [one.person_id for one in MemberRows(tx).list(group) if one.shown_id not in there]
            MemberRows(tx).leave(group, gone, tx.now)

    def _store(self) -> SqlStore:
        """Of the server's engine: no transaction is open while somebody else has the turn."""
        store = SqlStore(database().url, self.clock, pooled=True)
        store.engine.dispose()
        store.engine = database().of_server
        return store


def _of(tx: Transaction, wa_id: str, known: str) -> tuple[Group, int]:
    group = GroupRows(tx).get(wa_id)
    return group, MemberRows(tx).find(group, known, also_left=True).person_id


def _fill(tx: Transaction, village: int, group: Group) -> None:
    long_ago = tx.now - 400 * _DAY_MS
    MemberRows(tx).put_all(group, [_entry(village, number, tx.now) for number in EVERYBODY], long_ago)
    ActivityRows(tx).observed(group, long_ago, tx.now, "a chat")
    for number in _WHITELISTED:
        WhitelistRows(tx).add(group, MemberRows(tx).find(group, villager(village, number)).person_id)
    people = [MemberRows(tx).find(group, villager(village, number)).person_id for number in _QUEUED]
    QueueRows(tx).add(group, people, "asked for by hand")


def _entry(village: int, number: int, now: int) -> MemberEntry:
    known_role = MEMBER if number == _NEW_ADMIN else real_roles(village)[villager(village, number)]
    days = 2 if number in _LIVELY else 60 + number
    return MemberEntry(
        lid=villager(village, number),
        name=f"V{number}",
        role=known_role,
        last_active_at=now - days * _DAY_MS,
        is_me=number == _US,
    )
