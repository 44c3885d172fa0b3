"""A manager on a database of its own; and after each test the proof that nobody is left."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from runner.job import Job
from runner.manager import JobManager
from runner.settings import Settings
from runner.starting import StartRequest
from runner.stores.events import JobEvent, events_after
from runner.stores.migrate import migrate
from runner.workflow import find_workflow, load_workflows
from tests.processes.oracle import Lifeline, marked
from tests.waiting import wait_for

SAMPLES = "tests.processes.samples"


class Jobs:
    """A manager, with the words that tests need."""

    def __init__(self, home: Path, **settings: Any) -> None:
        few: dict[str, Any] = {"standby": 1, "max_running": 8, "grace_seconds": 20, "terminate_seconds": 10}
        self.settings = Settings(home=home, **({"workflows": SAMPLES} | few | settings))
        self.manager = JobManager(self.settings)
        self.is_open = False

    def open(self) -> None:
        self.manager.open()
        self.is_open = True

    def start(self, workflow: str, **config: Any) -> str:
        return self.manager.start(request(workflow, **config))

    def get(self, job_id: str) -> Job:
        return self.manager.get(job_id)

    def result(self, job_id: str) -> dict[str, Any]:
        return self.manager.result(self.get(job_id)) or {}

    def until(self, job_id: str, condition: Callable[[Job], object], sentence: str, limit: float = 30.0) -> Job:
        def found() -> Job | None:
            job = self.get(job_id)
            return job if condition(job) else None

        try:
            job = wait_for(found, sentence, limit)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.get(job_id)}") from None
        assert job is not None
        return job

    def until_over(self, job_id: str) -> Job:
        """Ended, its tree proved empty, its lock and slot free."""
        return self.until(job_id, is_over, "the job is over")

    def until_processed(self, job_id: str, count: int) -> Job:
        return self.until(job_id, lambda job: job.progress.processed >= count, f"{count} items are processed")

    def pid(self, job_id: str) -> int:
        """Of its process, once that has acknowledged."""
        job = self.until(job_id, lambda job: job.status == "running" and job.process, "its process has acknowledged")
        assert job.process is not None
        return job.process.pid

    def events(self, job_id: str) -> list[JobEvent]:
        with self.manager.store.read() as tx:
            return events_after(tx, job_id, 0, 10_000)

    def drain(self) -> int:
        return self.manager.drain(threading.Event())

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.manager.close()


def request(workflow: str, **config: Any) -> StartRequest:
    load_workflows([SAMPLES])
    found = find_workflow(workflow)
    assert found is not None
    return StartRequest(
        found, found.config.from_wire({to_camel(name): value for name, value in config.items()}), None, "tester"
    )


def is_over(job: Job) -> bool:
    return not job.is_live and not job.is_claimed


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "runner.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """No process of the test is left, on whatever way it was started."""
    before = marked()
    yield
    wait_for(lambda: not marked() - before, f"nobody is left (before: {before})")


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, nobody_left: None) -> Path:
    shutil.copy(empty_database, tmp_path / "runner.db")
    return tmp_path


@pytest.fixture
def open_jobs(home: Path) -> Iterator[Callable[..., Jobs]]:
    """Opens a manager on the home; another one on the same home goes on where it stopped."""
    opened: list[Jobs] = []

    def open_one(**settings: Any) -> Jobs:
        jobs = Jobs(home, **settings)
        opened.append(jobs)
        jobs.open()
        return jobs

    yield open_one
    for jobs in opened:
        if jobs.is_open:
            _end_all(jobs)
            jobs.close()


def _end_all(jobs: Jobs) -> None:
    """Whatever still runs is ended by force: a test that failed must not wait for a grace period."""
    supervisor = jobs.manager._supervisor
    supervisor.drain()
    for job_id in supervisor.running_ids():
        supervisor.stop(job_id, None, 0.0)
        run = supervisor.launcher.running.get(job_id)
        if run is not None:
            run.process.tree(job_id).kill()
    wait_for(supervisor.is_idle, "all runs are ended")


@pytest.fixture
def jobs(open_jobs: Callable[..., Jobs]) -> Jobs:
    return open_jobs()


@pytest.fixture
def lifeline(home: Path) -> Iterator[Lifeline]:
    line = Lifeline(home / "lifeline")
    yield line
    line.close()


@pytest.fixture
def effects(home: Path) -> str:
    """Where the sample ``act`` leaves its effects."""
    return os.fspath(home / "effects")
