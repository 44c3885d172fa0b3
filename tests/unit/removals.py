"""A group on a real database, and jobs run in this very process: what the removal tests are made of."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, select

from runner.abort import AbortBell, AbortFlag
from runner.child import _end_of, _perform
from runner.clock import Clock
from runner.context import JobContext, Run
from runner.groups.activity import ActivityRows
from runner.groups.group import Group, GroupRows
from runner.groups.history import HistoryEntry, HistoryRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.queue import QueueEntry, QueueRows
from runner.job import Job, JsonDict, new_job_id
from runner.ledger import Ledger
from runner.settings import Settings
from runner.stores.batches import BatchRows
from runner.stores.database import SqlStore
from runner.stores.group_schema import groups
from runner.stores.jobs import JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import RunRows
from runner.workflow import JobConfig, Workflow, find_workflow, load_workflows

DAY = 86_400_000
NOW = 1_750_000_000_000
WA_ID = "120363403645737238@g.us"
_OF_A_JOB = {"jobs", "job_events", "batches", "batch_items", "idempotency_keys", "job_people"}


class Killed(BaseException):
    """As SIGKILL ends a process: nothing is written any more."""


class TestTime:
    """Time that passes only where somebody sleeps."""

    __test__ = False

    def __init__(self) -> None:
        self.passed = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: NOW + int(self.passed * 1000), lambda: 1000.0 + self.passed, "this boot")


class PatientFlag(AbortFlag):
    """A real flag whose waits take no time: the clock is put forward instead."""

    def __init__(self, bell: AbortBell, sleep: Callable[[float], None]) -> None:
        super().__init__(bell.flag._event, bell.flag._bell)
        self._sleep = sleep

    def wait(self, seconds: float) -> bool:
        if not self.is_set():
            self._sleep(max(0.0, seconds))
        return self.is_set()


@dataclass
class Bench:
    """A store with one group, and what can be done with it. Jobs sleep in no time; ``time`` says for how long."""

    ignores_votes = True

    home: Path
    gateway: str = "roster"
    time: TestTime = field(default_factory=TestTime)
    on_wait: Callable[[], None] = lambda: None
    given: dict[str, Any] = field(default_factory=dict)
    chance: float = 0.0
    _rings: bool = False
    _running: bool = False

    def __post_init__(self) -> None:
        load_workflows([])
        self.clock = self.time.clock()
        self.settings = Settings(home=self.home, gateway=self.gateway, min_delay_ms=0, **self.given)
        migrate(self.settings.url)
        self.store = SqlStore(self.settings.url, self.clock, pooled=False)
        self.bell = AbortBell(multiprocessing.get_context("spawn"))
        event.listen(self.store.engine, "commit", self._committed)
        with self.store.write() as tx:
            self.group: Group = GroupRows(tx).create(WA_ID, "Neighbours")

    def close(self) -> None:
        self._close_bell()
        self.store.close()

    # -- the group -------------------------------------------------------------------------------------------

    def members(self, *entries: MemberEntry, seen_at: int = NOW - 400 * DAY) -> None:
        with self.store.write() as tx:
            MemberRows(tx).put_all(self.group, entries, seen_at)

    def observed(self, from_ms: int = NOW - 100 * DAY, to_ms: int = NOW) -> None:
        with self.store.write() as tx:
            ActivityRows(tx).observed(self.group, from_ms, to_ms, "a test")

    def silent(self, count: int, *, first: int = 1) -> None:
        """``count`` members who have been silent for 60 days, the first longest."""
        self.members(
            *(
                MemberEntry(lid=lid(number), name=f"M{number}", last_active_at=NOW - 60 * DAY + number)
                for number in range(first, first + count)
            )
        )

    def person(self, number: int) -> int:
        with self.store.read() as tx:
            return MemberRows(tx).find(self.group, lid(number), also_left=True).person_id

    def queue(self) -> list[QueueEntry]:
        with self.store.read() as tx:
            return list(QueueRows(tx).list(self.group))

    def history(self) -> list[HistoryEntry]:
        with self.store.read() as tx:
            return list(reversed(HistoryRows(tx).list(self.group)))

    def present(self) -> set[str]:
        with self.store.read() as tx:
            return {member.shown_id for member in MemberRows(tx).list(self.group, limit=10**6)}

    # -- jobs ------------------------------------------------------------------------------------------------

    def start(self, type_name: str = "removal_workflow", options: JsonDict | None = None, **config: Any) -> str:
        """Writes a job as the manager does, and claims it. Votes are no matter here, unless ``options`` say so."""
        workflow = _workflow(type_name)
        given = {"groupWaId": WA_ID, "batchSize": 5, "delayMs": 0, "dryRun": False}
        if type_name == "removal_workflow":
            given["inactivityWindowMs"] = 30 * DAY
        checked: JobConfig = workflow.config.model_validate(given | config)
        assert workflow.options is not None
        chosen = workflow.options.model_validate({"ignoreVotes": self.ignores_votes} | (options or {}))
        with self.store.write() as tx:
            job_id = new_job_id(tx.now)
            lock = workflow.lock(checked) if workflow.lock else None
            JobRows(tx).add(NewJob(job_id, type_name, checked.on_wire(), chosen.on_wire(), lock, "a test"))
            if workflow.admit:
                workflow.admit(tx, job_id, checked, chosen)
            assert RunRows(tx).claim(job_id, "here")
        return job_id

    def context(self, job_id: str, mode: str = "run") -> JobContext:
        job = self.job(job_id)
        run = Run(
            job.id,
            job.type,
            mode,
            job.epoch,
            job.attempt + 1,
            job.lock_key,
            job.config,
            job.options,
            job.progress.as_json(),
            job.result,
            job.position,
            job.epoch == 1,
        )
        ledger = Ledger(self.store, self.clock, job.id, job.epoch, job.lock_key)
        return JobContext(run, ledger, PatientFlag(self.bell, self._sleep), self.settings, chance=lambda: self.chance)

    def run(self, job_id: str, mode: str = "run") -> str:
        """One run, to its end; what its process would have said last."""
        self._renew_leases()
        context = self.context(job_id, mode)
        self._running = True
        ended: str = _end_of(context, self.settings)["ended"]
        self._running = False
        if not self.job(job_id).is_live and not self.open_ids(job_id):
            with self.store.write() as tx:
                RunRows(tx).release(job_id, self.job(job_id).epoch)
        return ended

    def run_until_killed(self, job_id: str) -> None:
        """As far as something in it raises Killed."""
        self._renew_leases()
        with contextlib.suppress(Killed):
            _perform(self.context(job_id), self.settings)
            raise AssertionError("nothing has killed it")

    def run_again(self, job_id: str, mode: str = "run") -> str:
        """Another run under the same claim, as after a crash."""
        with self.store.write() as tx:
            assert RunRows(tx).claim_again(job_id, self.job(job_id).epoch, "here")
        return self.run(job_id, mode)

    def done(self, type_name: str = "removal_workflow", options: JsonDict | None = None, **config: Any) -> JsonDict:
        """Starts a job, runs it to a good end, and returns its result."""
        job_id = self.start(type_name, options, **config)
        assert self.run(job_id) == "completed", self.job(job_id).error
        return self.result(job_id)

    def ring_after_each_commit(self) -> None:
        """From now on every run is asked to stop as soon as it has written something."""
        self._rings = True

    def new_bell(self) -> None:
        """One that has not been rung, for the next run."""
        self._close_bell()
        self.bell = AbortBell(multiprocessing.get_context("spawn"))

    def _close_bell(self) -> None:
        self.bell.close()
        self.bell.forget_child_end()

    def _committed(self, connection: Connection) -> None:
        if self._rings and self._running and "IMMEDIATE" in connection.get_execution_options().get("begin", ""):
            self.bell.ring()

    def _sleep(self, seconds: float) -> None:
        self.time.passed += seconds
        self._renew_leases()
        self.on_wait()

    def _renew_leases(self) -> None:
        """As the server does all the time; no commit of the run's."""
        is_running, self._running = self._running, False
        with self.store.write() as tx:
            RunRows(tx).renew_leases("here")
        self._running = is_running

    def job(self, job_id: str) -> Job:
        with self.store.read() as tx:
            return JobRows(tx).get(job_id, archived=True)

    def open_ids(self, job_id: str) -> list[str]:
        with self.store.read() as tx:
            return [item.data["id"] for item in BatchRows(tx, job_id).items() if item.outcome is None]

    def result(self, job_id: str) -> JsonDict:
        job = self.job(job_id)
        workflow = _workflow(job.type)
        assert workflow.result is not None
        with self.store.read() as tx:
            return job.result | workflow.result(job, BatchRows(tx, job_id).items())

    # -- the database ----------------------------------------------------------------------------------------

    def dump(self) -> dict[str, list[Any]]:
        """Every row of every table that is not a job's own."""
        tables = [table for table in groups.metadata.sorted_tables if table.name not in _OF_A_JOB]
        with self.store.read() as tx:
            return {table.name: list(tx.connection.execute(select(table))) for table in tables}

    def count_statements(self, statements: list[str]) -> None:
        """From now on every statement is noted in ``statements``."""

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        event.listen(self.store.engine, "before_cursor_execute", note)


def lid(number: int) -> str:
    return f"{1000 + number}@lid"


def pn(number: int) -> str:
    return f"3310000{number:04d}@s.whatsapp.net"


def lids(numbers: Iterable[int]) -> list[str]:
    return [lid(number) for number in numbers]


def _workflow(name: str) -> Workflow:
    found = find_workflow(name)
    assert found is not None
    return found
