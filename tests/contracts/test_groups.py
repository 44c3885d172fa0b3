"""Groups, webhooks and removal on every database: the tests that tell most of them, and many writers at once."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from runner.errors import StoreUnavailable
from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows
from runner.groups.inbox import Inbox
from runner.groups.kin import KinRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.queue import QueueRows
from runner.groups.unmatched import UnmatchedAuthor, UnmatchedRows
from runner.groups.whitelist import Standings, WhitelistRows
from runner.stores.database import SqlStore
from runner.stores.group_schema import memberships, observations, webhook_messages
from runner.stores.migrate import migrate
from runner.stores.session import DatabaseSession
from runner.webhook import Sign
from tests.gateways.slow import configure, removed_ids
from tests.unit.groupstore import WA_ID
from tests.unit.removals import DAY, NOW, Bench, lids
from tests.webhooks import samples
from tests.webhooks.kept import LIMITS, Kept
from tests.webhooks.samples import ACCOUNT

SLOW = "tests.gateways.slow:open_slow"
SECOND = 1_749_999_900
WRITERS = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    on_sqlite = request.param == "sqlite"
    found = f"sqlite:///{tmp_path / 'runner.db'}" if on_sqlite else str(request.getfixturevalue("postgres_url"))
    session = DatabaseSession(found)  # no call begins on a database that no server holds
    session.take()
    yield found
    session.close()


@pytest.fixture
def kept(tmp_path: Path, url: str) -> Iterator[Kept]:
    made = Kept(tmp_path, url)
    yield made
    made.store.close()


@pytest.fixture
def slow(tmp_path: Path, url: str) -> Iterator[Bench]:
    made = Bench(tmp_path, gateway=SLOW, given={"database_url": url})
    configure(tmp_path, call_ms=0)
    made.silent(12)
    made.observed()
    yield made
    made.close()


def who(number: int) -> str:
    return f"{100_000_000_000_000 + number}@lid"


def message(number: int, person: int, *, phone: bool = False) -> Any:
    alt = f"33{person:09d}@s.whatsapp.net" if phone else None
    return samples.message(f"3EB0{number:08X}", who(person), SECOND + number, group=WA_ID, alt=alt)


def at_once(*works: Callable[[], None]) -> list[Exception]:
    """What went wrong in any of them; each is a thread, and they begin together."""
    ready, wrong = threading.Barrier(len(works)), list[Exception]()

    def play(work: Callable[[], None]) -> None:
        ready.wait()
        try:
            work()
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=play, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def until_taken(work: Callable[[], object]) -> None:
    """Again where the store does not answer: nobody sees to it that each of six writers to SQLite gets its turn."""
    for _ in range(20):
        with contextlib.suppress(StoreUnavailable):
            work()
            return
    work()


def known(kept: Kept) -> list[Any]:
    with kept.store.read() as tx:
        return [tuple(row) for row in tx.connection.execute(select(memberships).order_by(memberships.c.person_id))]


@pytest.mark.parametrize("together", [False, True])
def test_events_in_any_order_and_again(kept: Kept, together: bool) -> None:
    chance = random.Random(5)
    kept.put(MemberEntry(pn="33000000003@s.whatsapp.net"))
    events = [message(number, number % 5, phone=number % 2 == 0) for number in range(20)]
    events.append(samples.participants("remove", [who(2)], group=WA_ID))
    for _ in range(2):
        kept.receive(*chance.sample(events, len(events)), together=together)
    assert kept.tallies()["messages-upsert", "stored"] == 20
    assert kept.tallies()["messages-upsert", "duplicate"] == 20
    assert {member.lid: member.last_active_at for member in kept.members() if member.lid != who(2)} == {
        who(person): (SECOND + 15 + person) * 1000 for person in (0, 1, 3, 4)
    }
    watch = kept.watch()
    assert watch is not None
    assert watch.until == kept.now


def test_who_is_new_comes_by_many_events_and_lists_at_once(kept: Kept, url: str) -> None:
    """Each sends the same events to a server of its own; others take in lists of the same people."""
    stores = [SqlStore(url, kept.store.clock) for _ in range(WRITERS + 2)]
    events = [message(number, number, phone=True) for number in range(30)]

    def receive(store: SqlStore) -> None:
        inbox = Inbox(store, LIMITS)
        for event in events:
            until_taken(partial(inbox.take, kept.read(event)))

    def take_in(store: SqlStore, first: int) -> None:
        with store.write() as tx:
            entries = [MemberEntry(pn=f"33{person:09d}@s.whatsapp.net") for person in range(first, 30)]
            MemberRows(tx).put_all(kept.group, entries, kept.now)

    def put(store: SqlStore) -> None:
        for number in range(30):
            until_taken(partial(take_in, store, number))

    works = [(lambda store=store: receive(store)) for store in stores[:WRITERS]]
    works += [(lambda store=store: put(store)) for store in stores[WRITERS:]]
    assert at_once(*works) == []
    for store in stores:
        store.close()
    outcomes = {outcome: number for (_, outcome), number in kept.tallies().items()}
    assert outcomes == {"stored": 30, "duplicate": 30 * (WRITERS - 1)}
    assert len(kept.people()) == len(known(kept)) == 30
    with kept.store.read() as tx:
        run = tx.connection.execute
        assert run(select(func.count()).select_from(webhook_messages)).scalar() == 30
        assert run(select(observations.c.live)).scalars().all() == [True]


def test_what_an_event_wrote_no_beat_and_no_look_takes_back(kept: Kept, url: str) -> None:
    kept.receive(message(0, 0))
    others = [SqlStore(url, kept.store.clock, pooled=False) for _ in range(2)]
    over, lost = threading.Event(), list[int]()

    def hear() -> None:
        try:
            for _ in range(100):
                kept.now += 1000
                with kept.store.write() as tx:
                    HearingRows(tx, LIMITS).event(ACCOUNT, Sign.TRAFFIC)
                line = kept.line(ACCOUNT)
                if line is None or line.heard_at != kept.now:
                    lost.append(kept.now)
        finally:
            over.set()

    def beat() -> None:
        while not over.is_set():
            with others[0].write() as tx:
                HearingRows(tx, LIMITS).beat()

    def look() -> None:
        while not over.is_set():
            with others[1].write() as tx:
                HearingRows(tx, LIMITS).look(ACCOUNT, True)

    assert at_once(hear, beat, look) == []
    for store in others:
        store.close()
    assert lost == []


def test_a_removal_settles_a_call_that_nobody_answered(slow: Bench) -> None:
    """The first batch of five is done without an answer; nobody is asked for twice."""
    configure(slow.home, call_ms=0, calls={"1": "timeout"})
    result = slow.done()
    assert sorted(result["removedWhatsappIds"]) == sorted(lids(range(1, 13)))
    assert sorted(removed_ids(slow.home)) == sorted(lids(range(1, 13)))
    assert [entry.outcome for entry in slow.history()] == ["SUCCESS"] * 12
    assert slow.queue() == []
    assert result["listed"]["left"] == 0


def test_a_sync_tells_how_many_it_queued(slow: Bench) -> None:
    with slow.store.write() as tx:
        assert QueueRows(tx).sync(slow.group, 30 * DAY, tx.now, DAY) == 12


def test_a_writer_that_is_frozen_holds_nobody_up_for_ever(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that nothing of it was written."""
    migrate(postgres_url)
    frozen, other = SqlStore(postgres_url, pooled=False), SqlStore(postgres_url, pooled=False)

    def write_late() -> None:
        with frozen.write() as tx:
            GroupRows(tx).create("1@g.us")
            with other.write() as another:
                GroupRows(another).create("2@g.us")
            GroupRows(tx).create("3@g.us")

    with monkeypatch.context() as patch:
        patch.setattr("runner.stores.database.HELD_SECONDS", 0.2)
        with pytest.raises(StoreUnavailable):
            write_late()
    with other.read() as tx:
        assert [group.wa_id for group in GroupRows(tx).list()] == ["2@g.us"]


def test_who_may_be_somebody_else_is_found_on_every_database(slow: Bench) -> None:
    """By another spelling of a number, and by a name in a chat."""
    old = NOW - 60 * DAY
    numbers = ("551187654321", "447700900101")
    slow.members(*(MemberEntry(pn=f"{one}@s.whatsapp.net", name=f"Zoe {one}", last_active_at=old) for one in numbers))
    with slow.store.write() as tx:
        WhitelistRows(tx).add(slow.group, PersonRows(tx).resolve(None, "5511987654321@s.whatsapp.net"))
        UnmatchedRows(tx).put(slow.group, UnmatchedAuthor("Zoe 447700900101", 1, NOW - DAY, NOW - DAY, "chat.txt"))
        alike = KinRows(tx, slow.group).of(["5511987654321@s.whatsapp.net", lids([1])[0]])
        assert [one.pn for one in alike["5511987654321@s.whatsapp.net"]] == [
            "551187654321@s.whatsapp.net",
            "5511987654321@s.whatsapp.net",
        ]
        assert [one.lid for one in alike[lids([1])[0]]] == lids([1])
        assert KinRows(tx, slow.group).doubles() == []
        assert QueueRows(tx).count_maybe_heard(slow.group, 30 * DAY, NOW, DAY) == 2
        assert len([one for one in Standings(tx, slow.group).away() if one.kin]) == 1
        assert QueueRows(tx).sync(slow.group, 30 * DAY, NOW, DAY) == 12
