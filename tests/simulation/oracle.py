"""What must hold, whatever happens: looked at after every commit, at every call, and when all has come to rest."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.job import LIVE, TRANSITIONS, JobStatus, Phase
from tests.simulation.chains import Counts, chain_of, numbers_in, retried_twice, waits_for
from tests.simulation.rows import JOBS, Row, how_far, last_wish, status_by

if TYPE_CHECKING:
    from tests.simulation.gateway import Effect, Outside
    from tests.simulation.machine import Hardware
    from tests.simulation.process import SimProcess
    from tests.simulation.turns import Turns

_BATCHES = "SELECT job_id, seq, epoch, state, intended_at, called_at FROM batches"
_EVENTS = "SELECT rowid, job_id, seq, kind FROM job_events WHERE rowid > ? ORDER BY rowid"
_OPEN_IDS = "SELECT json_extract(data, '$.id') FROM batch_items WHERE job_id = ? AND state = 'open'"
_ITEMS = "SELECT outcome, json_extract(data, '$.id'), state FROM batch_items WHERE job_id = ?"
_SLACK_SECONDS = 1.0


@dataclass(frozen=True)
class Violation:
    """``invariant``: which one does not hold; ``detail``: for whom, and what was seen instead."""

    invariant: str
    detail: str


@dataclass
class Oracle:
    """Reads the database by itself, through none of the runner's code."""

    connection: sqlite3.Connection
    turns: Turns
    hardware: Hardware
    outside: Outside
    violations: list[Violation] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    batches: dict[tuple[str, int], tuple[Any, ...]] = field(default_factory=dict)
    events: dict[str, list[str]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    journalled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    proved_at_epoch: dict[str, int] = field(default_factory=dict)
    _last_event: int = 0
    _acted_on: Counter[str] = field(default_factory=Counter)
    _late_calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    _late_batches: Counter[tuple[str, int]] = field(default_factory=Counter)
    _counts: Counts = field(default_factory=Counts)
    _calm_since: float = math.inf
    _disturbed_until: float = 0.0

    def __post_init__(self) -> None:
        self.outside.began, self.outside.acted = self.call_begins, self.acted

    def found(self, invariant: str, detail: str) -> None:
        self.turns.say(f"VIOLATED: {invariant}: {detail}", "oracle")
        self.violations.append(Violation(invariant, detail))

    def disturbed(self, seconds: float) -> None:
        """No promise about time holds for a cancel asked for before so many seconds from now; inf: until ``is_up``."""
        self._calm_since = max(self._calm_since, self.turns.now + seconds)
        if seconds < math.inf:
            self._disturbed_until = max(self._disturbed_until, self.turns.now + seconds)

    def is_up(self) -> None:
        """A server has begun. What was disturbed for longer than that still is."""
        self._calm_since = max(self.turns.now, self._disturbed_until)

    def has_open(self, process: SimProcess) -> bool:
        """Whether its job has a batch of which nobody knows yet what became."""
        job_id = process.run.job_id if process.run else ""
        return any(key[0] == job_id and batch[1] == "open" for key, batch in self.batches.items())

    # -- after every commit ----------------------------------------------------------------------------------

    def look(self) -> None:
        """One look at what the last commit has made of the database."""
        before, self.rows = self.rows, {row[0]: Row(*row) for row in self.connection.execute(JOBS)}
        for job_id, row in self.rows.items():
            was = before.get(job_id)
            if was is not None and was != row:
                self._changed(was, row)
        self._look_at_batches(before)
        self._look_at_events()
        self._look_at_locks()
        self._look_at_processes()
        if missing := self.accepted - self.rows.keys() - self.deleted:
            self.found("an accepted start is present", str(missing))

    def _changed(self, was: Row, row: Row) -> None:
        if was.status != row.status and JobStatus(row.status) not in TRANSITIONS[JobStatus(was.status)]:
            self.found("a terminal status is final", f"{row.id}: {was.status} became {row.status}")
        if was.is_over and (was.completed_at, was.error) != (row.completed_at, row.error):
            self.found("a terminal status is final", f"{row.id}: its end was written again")
        if row.processed < was.processed:
            self.found("progress never falls", f"{row.id}: {was.processed} became {row.processed}")
        if was.cancel_requested_at is not None and row.cancel_requested_at != was.cancel_requested_at:
            self.found("a cancel is never lost", row.id)
        if how_far(row.cancel_phase) < how_far(was.cancel_phase):
            self.found("phases move forward", f"{row.id}: {was.cancel_phase} became {row.cancel_phase}")
        if row.cancel_deadline_at is not None and row.cancel_deadline_at != was.cancel_deadline_at:
            seconds = (row.cancel_deadline_at - self.turns.now_ms()) / 1000 + _SLACK_SECONDS
            self.turns.after(seconds, lambda: self._keeps_deadline(row.id))
        if row.cancel_stopped_at is not None and was.cancel_stopped_at is None:
            self.proved_at_epoch[row.id] = was.epoch
        if row.epoch < was.epoch:
            self.found("epochs grow", row.id)
        if twice := self._counts.changed(was, row, self.rows):
            self.found(
                "nothing is done twice or left out", f"{row.id}: {twice} again, by it or by whom it goes on with"
            )

    def _look_at_batches(self, before: dict[str, Row]) -> None:
        old = self.batches
        self.batches = {(row[0], row[1]): tuple(row[2:]) for row in self.connection.execute(_BATCHES)}
        for key, (epoch, state, _, called_at) in self.batches.items():
            was = old.get(key)
            row = before.get(key[0])
            if state == "open" and (was is None or was[3] != called_at) and row is not None and row.is_stopping:
                why = row.stop_reason or row.status
                self.found("no intent after a stop", f"{key[0]} batch {key[1]}: after {why}")

            if was is None and row is not None and self._was_told(key[0]):
                self._late_batches[key[0], epoch] += 1
                if self._late_batches[key[0], epoch] > 1:
                    self.found("only the batch in hand after a stop", f"{key[0]}: batch {key[1]}")

        for job_id, count in Counter(key[0] for key, batch in self.batches.items() if batch[1] == "open").items():
            if count > 1:
                self.found("at most one batch is unknown", f"{job_id}: {count}")

    def _was_told(self, job_id: str) -> bool:
        """A cancel of it was answered, or the flag of its process is raised."""
        mine = (one for one in self.hardware.processes if one.run is not None and one.run.job_id == job_id)
        return job_id in self.cancelled or any(one.is_rung and not one.dead for one in mine)

    def _keeps_deadline(self, job_id: str) -> None:
        row = self.rows.get(job_id)
        if row is None or row.cancel_requested_at is None or row.cancel_phase in ("stopped", "unconfirmed"):
            return
        age = max(0, self.turns.now_ms() - row.cancel_requested_at)  # the clock may have been put back since
        since = self.turns.now - age / 1000
        if since > self._calm_since:
            self.found("a cancel keeps its deadline", f"{job_id} is {row.cancel_phase}")

    def _look_at_events(self) -> None:
        for rowid, job_id, seq, kind in self.connection.execute(_EVENTS, (self._last_event,)):
            self._last_event = rowid
            self.turns.say(f"{job_id[-4:]}: {kind}", "event")
            kinds = self.events.setdefault(job_id, [])
            if kind == "paused" and status_by(kinds) == "running" and last_wish(kinds) == "resumed":
                self.found("a resume is never lost", job_id)
            kinds.append(kind)
            if seq != len(kinds):
                self.found("status and event log agree", f"{job_id}: event {seq} is its {len(kinds)}th")
        for job_id, row in self.rows.items():
            if (said := status_by(self.events.get(job_id, []))) != row.status:
                self.found("status and event log agree", f"{job_id} is {row.status}, its log says {said}")

    def _look_at_locks(self) -> None:
        held = Counter(row.lock_key for row in self.rows.values() if row.is_claimed and row.lock_key)
        for key, count in held.items():
            if count > 1:
                self.found("one job a lock", f"{count} jobs hold {key}")
        for row in self.rows.values():
            if row.is_claimed and any(earlier.is_claimed for earlier in waits_for(row, self.rows)):
                self.found("a retry waits until the other is over", row.id)
        if twice := retried_twice(self.rows):
            self.found("a job has one retry", str(twice))

    def _look_at_processes(self) -> None:
        for process in self.hardware.processes:
            if process.run is None or process.tree("").is_empty():
                continue
            row = self.rows.get(process.run.job_id)
            if row is None or not row.is_claimed:
                self.found("a released job has no process", f"{process.run.job_id}: {process.identity.pid} lives")
            elif row.epoch != process.run.epoch:
                self.found("one run a job", f"{row.id}: {process.identity.pid} lives and is of an earlier run")
            elif process.run.mode != "settle" and self.proved_at_epoch.get(row.id, -1) >= process.run.epoch:
                self.found("stopped means that no process lives", f"{row.id}: {process.identity.pid} lives")

    # -- at every call ---------------------------------------------------------------------------------------

    def call_begins(self, process: SimProcess, ids: Sequence[str]) -> None:
        assert process.run is not None
        job_id = process.run.job_id
        row = self.rows[job_id]
        if json.loads(row.config).get("dryRun"):
            self.found("a dry run changes nothing", job_id)
        if missing := set(ids) - self._intended(job_id):
            self.found("no call without an intent", f"{job_id}: {sorted(missing)}")
        if process.run.epoch != row.epoch or process.run.mode == "settle":
            self.found("only the current run calls", f"{job_id}: run {process.run.epoch} of {row.epoch}")
        if row.is_stopping:
            self._late_calls[job_id, row.epoch] += 1
            if self._late_calls[job_id, row.epoch] > 1:
                self.found("only the batch in hand after a stop", f"{job_id}: {row.stop_reason or row.status}")

    def acted(self, effect: Effect) -> None:
        """So all that was done is either booked or stands in the one open batch of its job."""
        if missing := set(effect.ids) - self._intended(effect.job_id):
            self.found("nothing is settled before its effect", f"{effect.job_id}: {sorted(missing)}")
        for one in effect.ids:
            self._acted_on[one] += one in effect.gone or self._acted_on[one] > 0
            if self._acted_on[one] > 1:
                self.found("nobody is acted on twice", f"{one} by {effect.job_id}")

    def _intended(self, job_id: str) -> set[str]:
        return {found for (found,) in self.connection.execute(_OPEN_IDS, (job_id,))}

    # -- when all has come to rest ---------------------------------------------------------------------------

    def at_rest(self) -> bool:
        """Whether nothing is left to be done by itself."""
        waiting = any(row.status in LIVE and row.status != "paused" for row in self.rows.values())
        return not waiting and not any(row.is_claimed for row in self.rows.values())

    def judge_rest(self, slots_taken: int) -> None:
        """After enough time without faults: all has ended, and the books agree with the outside."""
        for row in self.rows.values():
            if (row.status in LIVE and row.status != "paused") or row.is_claimed:
                self.found("whoever is left alone ends", f"{row}")
            if last_wish(self.events[row.id]) == "pausing" and not row.is_over:
                self.found("a pause is never lost", f"{row.id} is {row.status}")
            if row.id in self.cancelled and row.status != "cancelled":
                self.found("a cancel is never lost", f"{row.id} is {row.status}")
            if row.id in self.journalled and row.status not in ("cancelled", "completed"):
                self.found("a cancel is never lost", f"{row.id} is {row.status}, though its cancel was journalled")
            if row.cancel_requested_at is not None and row.cancel_phase != Phase.STOPPED:
                self.found("a cancel ends stopped", f"{row.id} is {row.cancel_phase}")
            self._judge_books(row)
        if slots_taken:
            self.found("all slots are free", f"{slots_taken} are taken")
        still_open = [key for key, (_, state, *_) in self.batches.items() if state == "open"]
        if still_open:
            self.found("nothing stays open", f"{still_open}")

    def _judge_books(self, row: Row) -> None:
        booked = sorted(one for outcome, one, _ in self._items(row) if outcome == "removed")
        done = sorted(self._removed_by(row.id))
        if booked != done:
            self.found("the result equals the log", f"{row.id}: booked {booked}, done {done}")
        if row.type != "removal_queue":
            self._judge_count(row)
        elif not (row.is_over and row.epoch == 0):  # it has ended before it could be told how far the first job came
            self._judge_closed(row)

    def _judge_closed(self, row: Row) -> None:
        """A retry has processed what it has closed itself, and what those have with which it goes on."""
        items = [item for one in chain_of(row, self.rows) for item in self._items(one)]
        closed = sum(state == "done" and outcome != "requeued" for outcome, _, state in items)
        if closed != row.processed:
            self.found("the counters match the rows", f"{row.id}: {row.processed} processed, {closed} closed")

    def _items(self, row: Row) -> list[tuple[str | None, str, str]]:
        return list(self.connection.execute(_ITEMS, (row.id,)))

    def _judge_count(self, row: Row) -> None:
        """Every number once and in order; all of them, if the job is completed."""
        counted = numbers_in(row)
        whole = list(range(json.loads(row.config).get("total", 12)))
        if counted != whole[: len(counted)] or (row.status == "completed" and counted != whole):
            self.found("nothing is done twice or left out", f"{row.id} is {row.status}: {counted}")
        if len(counted) != row.processed:
            self.found("the counters match the rows", f"{row.id}: {row.processed} processed, {counted}")

    def _removed_by(self, job_id: str) -> Iterator[str]:
        for effect in self.outside.log:
            if effect.job_id == job_id:
                yield from effect.gone
