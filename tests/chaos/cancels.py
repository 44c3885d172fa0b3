"""Many removals side by side, each cancelled at some moment of a batch; and where each of the cancels fell."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueRows
from runner.stores.batches import BatchRows, OpenBatch
from tests.chaos.witness import Sight, seen
from tests.gateways.slow import effects
from tests.processes.conftest import Jobs, is_over
from tests.waiting import wait_for

PEOPLE, BATCH = 12, 2
DELAY_MS = 60
SLOWNESS = {"before_ms": 30, "call_ms": 60, "after_ms": 30, "call_seconds": 0.5}
SPAN_SECONDS = 0.6
"""Cancels fall at any moment of so much time after the start: of about two batches, on a quiet machine."""

MOMENTS = ("before the first intent", "intent to call", "in the call", "call to commit", "in the delay")
_LANES = 4
_FORCED = 0.2


@dataclass(frozen=True)
class Answered:
    """What was to be seen when the cancel had been answered. ``at``: monotonic seconds."""

    job_id: str
    group: int
    at: float
    intended: frozenset[int]
    in_hand: Sequence[OpenBatch]
    moment: str


@dataclass
class Cancels:
    """``count`` removals, each of a group of its own, cancelled at moments that the seed decides."""

    jobs: Jobs
    count: int
    seed: int
    answered: list[Answered] = field(default_factory=list)
    _groups: Iterator[int] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _broken: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._groups = iter(range(self.count))

    def run(self) -> Counter[str]:
        """Where the cancels fell."""
        lanes = [threading.Thread(target=self._lane, args=(number,)) for number in range(_LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        if self._broken:
            raise self._broken[0]
        return Counter(one.moment for one in self.answered)

    def _lane(self, number: int) -> None:
        chance = random.Random(f"{self.seed}:{number}")  # each lane its own: threads have no order
        try:
            while (group := self._next_group()) is not None:
                self._cancel_one(group, chance.uniform(0, SPAN_SECONDS), force=chance.random() < _FORCED)
        except BaseException as error:
            self._broken.append(error)

    def _next_group(self) -> int | None:
        with self._lock:
            return next(self._groups, None)

    def _cancel_one(self, group: int, seconds: float, *, force: bool) -> None:
        config: dict[str, Any] = {"batch_size": BATCH, "delay_ms": DELAY_MS, "dry_run": False}
        job_id = self.jobs.start("removal_queue", group_wa_id=group_id(group), **config)
        threading.Event().wait(seconds)
        self.jobs.manager.cancel(job_id, "me", force=force)
        at = time.monotonic()
        answered = self._look(job_id, group, at)
        with self._lock:
            self.answered.append(answered)
        wait_for(lambda: is_over(self.jobs.get(job_id)), "the cancelled job is over")

    def _look(self, job_id: str, group: int, at: float) -> Answered:
        with self.jobs.manager.store.read() as tx:
            in_hand = BatchRows(tx, job_id).open_batches()
        intended = {sight.was for sight in seen_of(self.jobs, job_id) if sight.what == "intent"}
        log = [line for line in effects(self.jobs.settings.home) if line["at"] <= at and is_of(line, group)]
        of_hand = [line["event"] for line in log if _people(in_hand) & set(line["ids"])]
        moment = _moment(bool(in_hand), bool(intended), of_hand[-1] if of_hand else "")
        return Answered(job_id, group, at, frozenset(intended), in_hand, moment)


def _moment(is_open: bool, is_intended: bool, last: str) -> str:
    """Where the job stood, by its ledger and by the last line of the gateway about the batch in hand."""
    if not is_intended:
        return MOMENTS[0]
    if not is_open:
        return MOMENTS[4]
    return {"begin": MOMENTS[2], "effect": MOMENTS[2], "end": MOMENTS[3]}.get(last, MOMENTS[1])


def seen_of(jobs: Jobs, job_id: str) -> list[Sight]:
    return [sight for sight in seen(jobs.settings.home / "runner.db") if sight.job_id == job_id]


def group_id(number: int) -> str:
    return f"1203634{number:011d}@g.us"


def is_of(line: dict[str, Any], group: int) -> bool:
    """Whether a line of the gateway's log is about people of this group; about nobody it never is."""
    return any(known.startswith(f"{group + 1:05d}") for known in line["ids"])


def make_groups(jobs: Jobs, count: int) -> None:
    """Each with people who wait to be removed, and whose ids tell the group."""
    with jobs.manager.store.write() as tx:
        for number in range(count):
            group = GroupRows(tx).create(group_id(number), f"Group {number}")
            entries = [MemberEntry(lid=f"{number + 1:05d}{person:05d}@lid") for person in range(PEOPLE)]
            QueueRows(tx).add(group, [MemberRows(tx).put(group, entry, tx.now) for entry in entries], "asked for")


def check(jobs: Jobs, found: Sequence[Answered]) -> None:
    """By the order of the commits, and by what the gateway did."""
    home: Path = jobs.settings.home
    log, sights = effects(home), seen(home / "runner.db")
    for one in found:
        check_order([sight for sight in sights if sight.job_id == one.job_id], one)
        check_effects(jobs, [line for line in log if is_of(line, one.group)], one)


def check_order(sights: Sequence[Sight], one: Answered) -> None:
    """No intent and no call is committed after the cancel; what was intended when it was answered is all there is."""
    kinds = [sight.what for sight in sights]
    cancelled = kinds.index("cancel")
    assert not {"intent", "call"} & set(kinds[cancelled:]), f"{one}: {sights}"
    assert {sight.was for sight in sights if sight.what == "intent"} == one.intended, f"{one}: {sights}"


def check_effects(jobs: Jobs, log: Sequence[dict[str, Any]], one: Answered) -> None:
    """Nobody is removed unintended, after the answer nobody but the batch in hand, and the result tells them all."""
    with jobs.manager.store.read() as tx:
        intended = {str(item.data["id"]) for item in BatchRows(tx, one.job_id).items()}
    in_hand = _people(one.in_hand)
    called = {known for line in log if line["event"] in ("asked", "begin") for known in line["ids"]}
    removed = [known for line in log if line["event"] == "effect" for known in line["ids"]]
    late = [known for line in log if line["event"] == "effect" and line["at"] > one.at for known in line["ids"]]
    assert called <= intended, f"a call without an intent: {called - intended}"
    assert set(late) <= in_hand, f"{one}: done after the answer: {late}"
    assert len(late) <= BATCH
    result = jobs.result(one.job_id)
    assert sorted(result.get("removedWhatsappIds", [])) == sorted(removed), f"{one}: {result}"
    assert len(set(removed)) == len(removed)
    assert not result.get("unknownWhatsappIds"), result


def _people(batches: Sequence[OpenBatch]) -> set[str]:
    return {str(item.data["id"]) for batch in batches for item in batch.items}
