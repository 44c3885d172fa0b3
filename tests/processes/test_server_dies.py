"""The server is killed: its processes end, nothing is lost, and started again it goes on exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.clock import Clock
from runner.dispatchers.local import LocalDispatcher
from runner.job import Job, new_job_id
from runner.journal import JournalledCancel
from runner.stores.batches import BatchRows
from runner.stores.database import SqlStore
from runner.stores.jobs import JobRows, NewJob
from runner.stores.runs import RunRows
from tests.processes.conftest import Jobs, is_over
from tests.processes.oracle import MARK, Lifeline, is_living, marked, names_of
from tests.processes.samples import effects_in
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
HOUR_MS = 3_600_000


class Server:
    """Told apart from all other processes by a mark of its own."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.mark = os.urandom(8).hex()
        command = [sys.executable, "-m", "tests.processes.server", str(home), json.dumps(settings)]
        environment = os.environ | {MARK: self.mark}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process: subprocess.Popen[str] = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)  # type: ignore[call-overload]
        self._read()

    def do(self, verb: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([verb, arguments]) + "\n")
        self._process.stdin.flush()
        return self._read()

    def start(self, workflow: str, **config: Any) -> str:
        return str(self.do("start", workflow=workflow, **config))

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def family(self) -> set[int]:
        return marked(self.mark) - {self._process.pid}

    def kill(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture
def open_server(home: Path) -> Iterator[Callable[..., Server]]:
    opened: list[Server] = []

    def open_one(**settings: Any) -> Server:
        opened.append(Server(home, **settings))
        return opened[-1]

    yield open_one
    for server in opened:
        server.kill()
        for pid in server.family():
            os.kill(pid, signal.SIGKILL)


class Rows:
    """What stands in the database, whoever serves."""

    def __init__(self, home: Path) -> None:
        self._store = SqlStore(f"sqlite:///{home / 'runner.db'}", Clock())

    def get(self, job_id: str) -> Job:
        with self._store.read() as tx:
            return JobRows(tx).get(job_id)

    def until(self, job_id: str, condition: Callable[[Job], object], sentence: str) -> Job:
        wait_for(lambda: condition(self.get(job_id)), sentence)
        return self.get(job_id)

    def is_open(self, job_id: str) -> bool:
        with self._store.read() as tx:
            return bool(BatchRows(tx, job_id).open_batches())

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def rows(home: Path) -> Iterator[Rows]:
    found = Rows(home)
    yield found
    found.close()


def test_all_its_processes_end_with_it(
    open_server: Callable[..., Server], rows: Rows, lifeline: Lifeline, open_jobs: Callable[..., Jobs]
) -> None:
    server = open_server()
    ids = [server.start("count", delay_ms=HOUR_MS) for _ in range(3)]
    ids.append(server.start("heed", way="sleep", lifeline=lifeline.path, grandchildren="session"))
    for job_id in ids[:3]:
        rows.until(job_id, lambda job: job.progress.processed == 2, "a batch is done")
    wait_for(lambda: lifeline.words(2), "a job with a process below it has begun")
    assert len(server.family()) >= 7, "four jobs, one below, one standing by, Manager, fork server"
    server.kill()
    try:
        wait_for(lambda: not server.family(), "jobs, standbys, Manager and fork server are gone")
    except AssertionError as error:
        raise AssertionError(f"{error}:\n{names_of(server.family())}") from None
    assert lifeline.is_let_go()
    statuses = {rows.get(job_id).status for job_id in ids}
    assert statuses <= {"pending", "running"}, "nobody has written an end; the last start may not have been noted yet"


def test_started_again_it_goes_on_exactly(
    open_server: Callable[..., Server], rows: Rows, open_jobs: Callable[..., Jobs]
) -> None:
    server = open_server(max_running=3)
    running = server.start("trace", total=6, delay_ms=300)
    frail = server.start("frail", total=6, delay_ms=HOUR_MS)
    locked = server.start("count", total=4, delay_ms=HOUR_MS, key="a")
    behind = server.start("count", total=4, key="a")
    rows.until(running, lambda job: job.progress.processed >= 2, "a batch is done")
    rows.until(frail, lambda job: job.progress.processed == 2, "a batch is done")
    rows.until(locked, lambda job: job.progress.processed == 2, "a batch is done")
    server.kill()
    wait_for(lambda: not server.family(), "all is gone")

    jobs = open_jobs()
    done = jobs.until_over(running)
    assert (done.status, done.crashes, done.epoch >= 2) == ("completed", 0, True), "not held against the job"
    assert jobs.result(running)["done"] == list(range(6))
    failed = jobs.until_over(frail)
    assert (failed.status, failed.error) == ("failed", "interrupted: the server died while it ran")
    assert jobs.result(frail)["done"] == [0, 1]
    assert jobs.get(behind).waiting_for == locked
    jobs.manager.cancel(locked, "me")
    assert jobs.until_over(behind).status == "completed"


def test_killed_again_and_again_no_batch_is_done_twice(
    open_server: Callable[..., Server], rows: Rows, open_jobs: Callable[..., Jobs]
) -> None:
    job_id = ""
    for round_number in range(4):
        server = open_server()
        job_id = job_id or server.start("trace", total=40, batch_size=1, delay_ms=10)
        wanted = 5 * (round_number + 1)
        rows.until(job_id, lambda job, wanted=wanted: job.progress.processed >= wanted, "it gets on")  # type: ignore[misc]
        server.kill()
        wait_for(lambda server=server: not server.family(), "all is gone")  # type: ignore[misc]
    jobs = open_jobs()
    assert jobs.until_over(job_id).status == "completed"
    assert jobs.result(job_id)["done"] == list(range(40))


def test_a_process_that_does_not_notice_is_ended_at_the_next_start(
    open_server: Callable[..., Server], rows: Rows, lifeline: Lifeline, open_jobs: Callable[..., Jobs]
) -> None:
    """Deep in C code, with the interpreter's lock held, it cannot know that the server is gone."""
    server = open_server(standby=0)
    job_id = server.start("heed", way="match", lifeline=lifeline.path)
    wait_for(lambda: lifeline.words(1), "it has begun")
    rows.until(job_id, lambda job: job.status == "running", "it is known to run")
    deaf = rows.get(job_id).process
    assert deaf is not None
    server.kill()
    wait_for(
        lambda: len(server.family()) <= 3, "only the deaf one is left, with the fork server and tracker it holds open"
    )
    assert deaf.pid in server.family()
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=20)
    wait_for(lambda: not is_living(deaf.pid), "the deaf one is ended")
    jobs.until(job_id, lambda job: job.epoch == 2 and job.process and job.process.pid != deaf.pid, "another has it")
    jobs.manager.cancel(job_id, "me")
    jobs.until_over(job_id)


def test_what_the_server_started_that_is_no_job_lives_on(
    open_server: Callable[..., Server], rows: Rows, open_jobs: Callable[..., Jobs]
) -> None:
    """The application that has the runner in it has programs of its own. The next start does not take them for jobs."""
    server = open_server()
    program = server.do("begin_program")
    job_id = server.start("count", delay_ms=HOUR_MS)
    rows.until(job_id, lambda job: job.progress.processed == 2, "a batch is done")
    server.kill()
    wait_for(lambda: server.family() == {program}, "all that is the runner's is gone")
    jobs = open_jobs()
    jobs.until(job_id, lambda job: job.epoch == 2, "the next start has taken up the job")
    assert is_living(program)


def test_cancelled_while_the_server_dies_it_stays_cancelled(
    open_server: Callable[..., Server], rows: Rows, open_jobs: Callable[..., Jobs]
) -> None:
    server = open_server()
    job_id = server.start("heed", way="ignore")
    rows.until(job_id, lambda job: job.status == "running", "it runs")
    assert server.do("cancel", job_id=job_id) == "cancelled"
    server.kill()
    wait_for(lambda: not server.family(), "all is gone")
    job = open_jobs().until_over(job_id)
    assert job.cancellation is not None
    assert (job.status, job.cancellation.phase, job.epoch) == ("cancelled", "stopped", 1)


def test_what_was_left_is_not_taken_up_past_a_cancel_in_the_journal(jobs: Jobs) -> None:
    """The cancel could not be recorded; the job is looked at before anybody has tried that again."""
    manager, now = jobs.manager, Clock().now_ms()
    job_id = new_job_id(now)
    with manager.store.write() as tx:
        JobRows(tx).add(NewJob(job_id, "count", {}, {}, None, "tester"))
        assert RunRows(tx).claim(job_id, manager.node)
    job = jobs.get(job_id)
    manager._supervisor.launcher.take_over()
    manager._canceller._journal.add(JournalledCancel(job_id, "me", None, 0, now))
    dispatcher = manager._dispatcher
    assert isinstance(dispatcher, LocalDispatcher)
    dispatcher._left[job_id] = job
    dispatcher.look_again()
    assert jobs.get(job_id).status == "cancelled", "from the transaction on that took it up"
    assert jobs.until_over(job_id).epoch == job.epoch, "it never ran again"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("cancelled", [True, False])
def test_an_open_intent_is_settled_once_and_not_repeated(
    open_server: Callable[..., Server],
    rows: Rows,
    open_jobs: Callable[..., Jobs],
    effects: str,
    before: bool,
    cancelled: bool,
) -> None:
    server = open_server()
    job_id = server.start("act", effects=effects, hang_in=2, hang_before=before)
    wait_for(lambda: Path(effects + ".hung").exists() and rows.is_open(job_id), "it hangs in its second call")
    wait_for(lambda: len(effects_in(effects)) == (2 if before else 4), "its effects are there")
    if cancelled:
        server.do("cancel", job_id=job_id)
    server.kill()
    wait_for(lambda: not server.family(), "all is gone")
    assert rows.is_open(job_id)

    jobs = open_jobs()
    job = jobs.until_over(job_id)
    settled = jobs.result(job_id)
    unknown = "not_done" if before else "done"
    assert not rows.is_open(job_id)
    assert len(effects_in(effects)) == len(set(effects_in(effects))), "nobody was acted on twice"
    if cancelled:
        assert (job.status, job.epoch, job.attempt) == ("cancelled", 2, 1)
        assert set(effects_in(effects)) == ({"0", "1"} if before else {"0", "1", "2", "3"})
    else:
        assert (job.status, job.epoch) == ("completed", 2)
    assert {"2", "3"} <= set(settled[unknown])
    assert is_over(job)
