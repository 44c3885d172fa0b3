"""The removal queue: its order, its keys, who gets in, and that nobody is skipped or met twice on a walk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.groups.walk import Preview
from runner.groups.whitelist import WhitelistRows
from runner.store import Transaction
from tests.unit.groupstore import DAY, NOW, GroupStore

WINDOW = 30 * DAY


def silent(kept: GroupStore, count: int, first: int = 1) -> list[int]:
    return [
        kept.put(MemberEntry(lid=f"{n}@lid", last_active_at=NOW - 60 * DAY + n)) for n in range(first, first + count)
    ]


def sync(tx: Transaction, kept: GroupStore, window: int = WINDOW) -> int:
    return QueueRows(tx).sync(kept.group, window, NOW, DAY)


def keys(entries: list[QueueEntry]) -> list[int]:
    return [entry.key for entry in entries]


def test_sync_queues_the_longest_silent_first_and_nobody_twice(kept: GroupStore) -> None:
    for number, days in ((1, 40), (2, 90), (3, 31), (4, 29), (5, 60)):
        kept.put(MemberEntry(lid=f"{number}@lid", last_active_at=NOW - days * DAY))
    kept.observed(NOW - 100 * DAY, NOW)
    with kept.tx() as tx:
        assert sync(tx, kept) == 4
        assert sync(tx, kept) == 0
        queue = QueueRows(tx).list(kept.group)
        assert [entry.lid for entry in queue] == ["2@lid", "5@lid", "1@lid", "3@lid"]
        assert {(entry.window_ms, entry.reason) for entry in queue} == {(WINDOW, "no activity for 30 days or longer")}


def test_sync_without_a_watch_queues_nobody(kept: GroupStore) -> None:
    silent(kept, 3)
    kept.observed(NOW - 29 * DAY, NOW)
    with kept.tx() as tx:
        assert sync(tx, kept) == 0


def test_sync_is_of_one_group(kept: GroupStore) -> None:
    silent(kept, 1)
    kept.observed(NOW - 100 * DAY, NOW)
    with kept.tx() as tx:
        other = GroupRows(tx).create("5@g.us")
        MemberRows(tx).put(other, MemberEntry(lid="9@lid", last_active_at=NOW - 90 * DAY), NOW - 200 * DAY)
        assert sync(tx, kept) == 1
        assert [entry.lid for entry in QueueRows(tx).list()] == ["1@lid"]


def test_a_sync_measures_earlier_entries_by_its_own_window_but_none_put_in_by_hand(kept: GroupStore) -> None:
    ids = silent(kept, 2)
    kept.observed(NOW - 100 * DAY, NOW)
    with kept.tx() as tx:
        QueueRows(tx).add(kept.group, ids[:1], "by hand")
        sync(tx, kept)
        sync(tx, kept, 50 * DAY)
        assert [entry.window_ms for entry in QueueRows(tx).list(kept.group)] == [None, 50 * DAY]


def test_adding_leaves_out_whom_we_never_remove(kept: GroupStore) -> None:
    plain, admin, me, listed, gone = (
        kept.put(entry)
        for entry in (
            MemberEntry(lid="1@lid"),
            MemberEntry(lid="2@lid", role="superadmin"),
            MemberEntry(lid="3@lid", is_me=True),
            MemberEntry(lid="4@lid"),
            MemberEntry(lid="5@lid"),
        )
    )
    with kept.tx() as tx:
        WhitelistRows(tx).add(kept.group, listed)
        MemberRows(tx).leave(kept.group, [gone], NOW)
        queue = QueueRows(tx)
        added = queue.add(kept.group, [plain, admin, me, listed, gone, 10**6], "by hand")
        assert [entry.person_id for entry in added] == [plain]
        assert queue.add(kept.group, [plain], "again") == []
        assert queue.count(kept.group) == 1


def test_requeued_comes_last_under_a_new_key_and_only_once(kept: GroupStore) -> None:
    ids = silent(kept, 3)
    with kept.tx() as tx:
        queue = QueueRows(tx)
        first = queue.add(kept.group, ids, "by hand")[0]
        assert queue.requeue(first)
        last = queue.list(kept.group)[-1]
        assert (last.person_id, last.tries, last.created_at) == (first.person_id, 1, first.created_at)
        assert isinstance(last.id, int)
        assert last.id > 3
        assert not queue.requeue(last)
        assert queue.count(kept.group) == 3


def test_a_key_is_never_given_twice(kept: GroupStore) -> None:
    ids = silent(kept, 2)
    with kept.tx() as tx:
        queue = QueueRows(tx)
        first = keys(list(queue.add(kept.group, ids, "by hand")))
        assert queue.clear(kept.group) == 2
        assert min(keys(list(queue.add(kept.group, ids, "by hand")))) > max(first)


def test_clearing_one_group_leaves_the_others(kept: GroupStore) -> None:
    ids = silent(kept, 1)
    with kept.tx() as tx:
        other = GroupRows(tx).create("5@g.us")
        person = MemberRows(tx).put(other, MemberEntry(lid="9@lid"), NOW)
        queue = QueueRows(tx)
        queue.add(kept.group, ids, "x")
        queue.add(other, [person], "x")
        assert queue.clear(kept.group) == 1
        assert queue.count(other) == 1
        assert queue.clear(None) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_preview_is_the_queue_and_then_whom_a_sync_would_add(kept: GroupStore, size: int) -> None:
    by_hand = silent(kept, 2, first=50)
    silent(kept, 5)
    kept.observed(NOW - 100 * DAY, NOW)
    with kept.tx() as tx:
        QueueRows(tx).add(kept.group, by_hand[:1], "by hand")
        preview = Preview(kept.group, WINDOW, NOW, DAY)
        found: list[QueueEntry] = []
        key = None
        while batch := preview.after(tx, key, size):
            assert preview.remaining(tx, key) == 7 - len(found)
            found += batch
            key = batch[-1].key
        assert [entry.lid for entry in found] == ["50@lid", *(f"{n}@lid" for n in range(1, 6)), "51@lid"]
        assert len({entry.ledger_item().key for entry in found}) == 7
        sync(tx, kept)
        assert [entry.lid for entry in QueueRows(tx).list(kept.group)] == [entry.lid for entry in found]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupStore]:
    made = GroupStore(tmp_path_factory.mktemp("walk"))
    silent(made, 12)
    yield made
    made.store.close()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_walk_meets_everybody_who_stays_exactly_once(shared: GroupStore, data: st.DataObject) -> None:
    """While it goes on, people behind and ahead of it leave the queue, and others are put in or come again."""
    coin: st.SearchStrategy[Any] = st.booleans()
    ids = [member.person_id for member in shared.members()]
    waiting, met, left = ids[6:], list[int](), set[int]()
    with shared.tx() as tx:
        queue = QueueRows(tx)
        queue.clear(None)
        queue.add(shared.group, ids[:6], "x")
        key = None
        while batch := queue.after(shared.group, key, data.draw(st.integers(1, 3))):
            key = batch[-1].key
            met += [entry.person_id for entry in batch]
            queue.drop(shared.group, [entry.person_id for entry in batch])
            if waiting and data.draw(coin):
                queue.add(shared.group, [waiting.pop()], "x")
            ahead = [entry.person_id for entry in queue.list(shared.group)]
            if ahead and data.draw(coin):
                gone = data.draw(st.sampled_from(ahead))
                queue.drop(shared.group, [gone])
                left.add(gone)
        assert sorted(met) == sorted(set(ids) - set(waiting) - left)
        assert queue.count(shared.group) == 0
