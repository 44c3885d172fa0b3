"""Many events, sent again and out of order, with broken ones between them, to a server that is killed meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.tallies import TallyRows
from runner.stores.database import SqlStore
from runner.stores.group_schema import memberships, people
from runner.stores.migrate import migrate
from tests.endtoend.server import Server
from tests.waiting import wait_for
from tests.webhooks import samples
from tests.webhooks.samples import GROUP
from tests.webhooks.sender import SECRET, WAHA_KEY, Sender

FIRST_SECOND = 1_700_000_000
KILLS = 3
BROKEN: tuple[Any, ...] = (
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[" * 10_000,
    {"event": "an.event.of.tomorrow"},
    samples.evolution("messages.upsert", {"key": None}),
    samples.message("b1", "100000000000001@lid", 1_700_000_000, group="status@broadcast"),
    samples.message("b2", "100000000000001@lid", 1_700_000_000, group="120363999999999999@g.us"),
    samples.participants("add", ["nobody"]),
    samples.waha("message", {"from": GROUP}),
)


@dataclass
class Person:
    """What must be known of somebody in the end: the last of what was told of them, by its own time."""

    last_active: int | None = None
    last_leave: int | None = None
    last_sign: int = 0

    @property
    def left_at(self) -> int | None:
        return self.last_leave if self.last_leave is not None and self.last_leave > self.last_sign else None


@dataclass
class Story:
    """Events of a group, and what is known when all have come, in whatever order."""

    count: int
    seed: int
    people: dict[str, Person] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)
    messages: int = 0

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        ids = [f"{100_000_000_000_000 + number}@lid" for number in range(300)]
        self.people = {known: Person() for known in ids}
        seconds = rng.sample(range(10 * self.count), self.count)  # no two at the same time, so that the last is one
        self.events = [self._event(rng, number, FIRST_SECOND + at) for number, at in enumerate(seconds)]

    def _event(self, rng: random.Random, number: int, second: int) -> Any:
        known = rng.choice(list(self.people))
        person, drawn = self.people[known], rng.random()
        if drawn < 0.02:
            return rng.choice(BROKEN)
        if drawn < 0.05:
            return self._moved(rng, known, person, number, second * 1000)
        self.messages += 1
        person.last_active = max(person.last_active or 0, second * 1000)
        person.last_sign = max(person.last_sign, second * 1000)
        phone = known.replace("@lid", "")[-9:] + "00@s.whatsapp.net"
        return samples.message(f"3EB0{number:010X}", known, second, alt=phone if rng.random() < 0.3 else None)

    def _moved(self, rng: random.Random, known: str, person: Person, number: int, at: int) -> Any:
        if rng.random() < 0.5:
            kind, person.last_sign = "join", max(person.last_sign, at)
        else:
            kind, person.last_leave = "leave", max(person.last_leave or 0, at)
        payload = {"group": {"id": GROUP}, "type": kind, "timestamp": at, "participants": [{"id": known}]}
        return samples.waha("group.v2.participants", payload, id=f"evt_{number}")

    def sent(self) -> list[Any]:
        """Everything, and twice more, out of order."""
        rng = random.Random(self.seed)
        return [event for _ in range(3) for event in rng.sample(self.events, len(self.events))]


def prepare(home: Path, story: Story) -> SqlStore:
    url = f"sqlite:///{home / 'runner.db'}"
    migrate(url)
    store = SqlStore(url, pooled=False)
    with store.write() as tx:
        group = GroupRows(tx).create(GROUP)
        MemberRows(tx).put_all(group, [MemberEntry(lid=known) for known in story.people], FIRST_SECOND * 1000)
    return store


def kill_now_and_then(server: Server, sender: Sender, count: int, over: threading.Event) -> None:
    for number in range(1, KILLS + 1):
        reached = partial(_has_answered, sender, count * number // (KILLS + 1), over)
        wait_for(reached, "so many events are answered", 900)
        server.kill()
        server.start()


def _has_answered(sender: Sender, mark: int, over: threading.Event) -> bool:
    return sender.answered >= mark or over.is_set()


def play(home: Path, count: int, seed: int) -> None:
    story = Story(count, seed)
    store = prepare(home, story)
    server = Server(home, webhook_secret=SECRET, waha_hmac_key=WAHA_KEY, standby=0)
    server.start()
    sender, events, over = Sender(server.port), story.sent(), threading.Event()
    began = time.monotonic()
    try:
        killing = threading.Thread(target=kill_now_and_then, args=(server, sender, len(events), over))
        killing.start()
        sender.send(events)
        over.set()
        took = time.monotonic() - began
        killing.join()
        print(f"\n{len(events)} events in {took:.1f} s: {len(events) / took:.0f}/s, {sender.unanswered} sent again")
        assert server.call("GET", "/livez")[0] == 200
        check(store, story, len(events))
        assert server.end() == 0
    finally:
        over.set()
        server.close()


def check(store: SqlStore, story: Story, sent: int) -> None:
    with store.read() as tx:
        joined = memberships.join(people, people.c.id == memberships.c.person_id)
        columns = (people.c.lid, memberships.c.last_active_at, memberships.c.left_at)
        found = {
            row.lid: (row.last_active_at, row.left_at)
            for row in tx.connection.execute(select(*columns).select_from(joined))
        }
        counted: Counter[tuple[str, str]] = Counter()
        for tally in TallyRows(tx).list():
            counted[tally.event, tally.outcome] = tally.number
    assert found == {known: (person.last_active, person.left_at) for known, person in story.people.items()}
    assert counted["messages-upsert", "stored"] == story.messages
    assert counted["messages-upsert", "duplicate"] >= 2 * story.messages
    assert sum(counted.values()) >= sent


def test_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path) -> None:
    play(tmp_path, 300, seed=1)


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_thousand_events(tmp_path: Path, seed: int) -> None:
    """25,000 of them in each part, each sent three times."""
    play(tmp_path, 25_000, seed)
