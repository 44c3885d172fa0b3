"""Removals in a random play: the groups as the store knows them, and what people and the gateway do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from runner.clock import Clock
from runner.errors import StoreUnavailable
from runner.groups.activity import ActivityRows
from runner.groups.group import Group, GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.groups.whitelist import WhitelistRows
from runner.store import Transaction
from runner.stores.database import SqlStore
from tests.chaos.fake_gateway import (
    EVERYBODY,
    GROUPS,
    LIVELY,
    QUEUED,
    US,
    WHITELISTED,
    FakeGateway,
    known_role_of,
    neighbour,
)
from tests.chaos.oracle import Errand
from tests.chaos.play import Play
from tests.chaos.removal_oracle import check_removals

_DAY_MS = 86_400_000
_MAY_FAIL = (
    "crashed",
    "The gateway's list of the group",
    "we are not an admin",
    "the gateway",
    "WhatsApp",
    "there is no",
    "This machine is too busy",
    "no answer came from",
)
_OF_PEOPLE = {"speak": 1.5, "whitelist": 1.0, "promote": 1.5, "leave": 0.7}
_OF_THE_GATEWAY = {"disconnect": 1.0, "lock_out": 0.5, "depose": 0.5, "lie": 1.0, "mend": 3.0}


def fill(database: Path) -> None:
    """In each group ten who have been silent too long, five queued by hand, four who have not; and the exempt."""
    with SqlStore(f"sqlite:///{database}", Clock(), pooled=False).write() as tx:
        for number, wa_id in enumerate(GROUPS):
            _fill(tx, number, GroupRows(tx).create(wa_id, f"group {number}"))


def _fill(tx: Transaction, number: int, group: Group) -> None:
    long_ago = tx.now - 400 * _DAY_MS
    entries = [_entry(number, one, tx.now) for one in EVERYBODY]
    MemberRows(tx).put_all(group, [*entries, MemberEntry(US["lid"], US["pn"], "us", "admin", is_me=True)], long_ago)
    ActivityRows(tx).observed(group, long_ago, tx.now, "a chat")

    def person(one: int) -> int:
        return MemberRows(tx).find(group, neighbour(number, one)).person_id

    for one in WHITELISTED:
        WhitelistRows(tx).add(group, person(one))
    QueueRows(tx).add(group, [person(one) for one in QUEUED], "asked for by hand")


def _entry(group: int, number: int, now: int) -> MemberEntry:
    days = 2 if number in LIVELY else 60 + number
    at = now - days * _DAY_MS
    return MemberEntry(neighbour(group, number), name=f"N{number}", role=known_role_of(number), last_active_at=at)


@dataclass
class RemovalPlay(Play):
    """All its jobs remove people, by way of ``gateway``, which is a process of its own. ``dry``: none really does."""

    WEIGHTS: ClassVar[Mapping[str, float]] = {**Play.WEIGHTS, "retry": 4.0, **_OF_PEOPLE, **_OF_THE_GATEWAY}
    PATIENCE_SECONDS: ClassVar[float] = 15.0

    gateway: FakeGateway = field(kw_only=True)
    dry: bool = field(default=False, kw_only=True)

    def _start(self) -> bool:
        name = self.chance.choice(["removal_workflow", "removal_queue"])
        config: dict[str, Any] = {
            "groupWaId": self.chance.choice(GROUPS),
            "batchSize": self.chance.choice([1, 2, 3, 5]),
            "delayMs": self.chance.choice([0, 50, 200]),
            "dryRun": self.dry or self.chance.random() < 0.1,
        }
        config |= {"inactivityWindowMs": 30 * _DAY_MS} if name == "removal_workflow" else {}
        self.errands.append(Errand([self.client.start(type=name, **config)], "", 0))
        return True

    def _end_all(self) -> None:
        self.gateway.calm()
        super()._end_all()

    def _check(self) -> None:
        errands, self.errands = self.errands, []
        super()._check()
        self.done.update(check_removals(self.client, self.gateway, errands))

    def _may_fail(self, error: str) -> bool:
        return error.startswith(_MAY_FAIL)

    # -- people --------------------------------------------------------------------------------------------------

    def _speak(self) -> bool:
        def say(tx: Transaction, group: Group, person: int) -> None:
            ActivityRows(tx).saw(group, person, tx.now)

        return self._note(say)

    def _whitelist(self) -> bool:
        def save(tx: Transaction, group: Group, person: int) -> None:
            WhitelistRows(tx).add(group, person)

        return self._note(save)

    def _promote(self) -> bool:
        self.gateway.promote(*self._somebody())
        return True

    def _leave(self) -> bool:
        wa_id, known = self._somebody()
        if known in self.gateway.effects():
            return False
        self.gateway.leave(wa_id, known)
        return True

    def _somebody(self) -> tuple[str, str]:
        wa_id = self.chance.choice(GROUPS)
        return wa_id, self.chance.choice(self.gateway.plain(wa_id))

    def _note(self, write: Callable[[Transaction, Group, int], None]) -> bool:
        """In the store, past the server; False while somebody else keeps it locked."""
        wa_id, known = self._somebody()
        store = SqlStore(f"sqlite:///{self.client.server.home / 'runner.db'}", Clock(), pooled=False).hasty(1)
        try:
            with store.write() as tx:
                group = GroupRows(tx).get(wa_id)
                write(tx, group, MemberRows(tx).find(group, known, also_left=True).person_id)
        except StoreUnavailable:
            return False
        return True

    # -- the gateway ---------------------------------------------------------------------------------------------

    def _disconnect(self) -> bool:
        self.gateway.change(connected=False)
        return True

    def _lock_out(self) -> bool:
        self.gateway.change(key="another key")
        return True

    def _depose(self) -> bool:
        self.gateway.change(our_role="member")
        return True

    def _lie(self) -> bool:
        lies: list[dict[str, Any]] = [{"stale": True}, {"first": 9}, {"first": 0}]
        self.gateway.lie(self.chance.choice(GROUPS), **self.chance.choice(lies))
        return True

    def _mend(self) -> bool:
        self.gateway.change(connected=True, our_role="admin", key=None)
        for wa_id in GROUPS:
            self.gateway.lie(wa_id, stale=False, first=1000)
        return True
