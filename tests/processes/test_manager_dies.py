"""The Manager of live progress is killed or stopped: jobs go on, and what they say is served again."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from runner.clock import Clock
from runner.lines import LinesLost
from runner.live import LiveLine, LiveProgress
from runner.stores.jobs import JobFilter
from tests.processes import samples_live
from tests.processes.conftest import SAMPLES, Jobs
from tests.processes.oracle import is_living, zombies
from tests.waiting import wait_for

MODULES = f"{SAMPLES},{samples_live.__name__}"
TWENTY = 20


def manager_pid(live: LiveProgress) -> int:
    assert live.pid is not None
    return live.pid


def live_of(jobs: Jobs) -> LiveProgress:
    live = jobs.manager._supervisor.live
    assert isinstance(live, LiveProgress)
    return live


def hit(live: LiveProgress, number: int = signal.SIGKILL) -> int:
    pid = manager_pid(live)
    os.kill(pid, number)
    return pid


def keys(live: LiveProgress) -> set[tuple[str, int]]:
    """Of the Manager's own dict, over a connection of the test's; empty while there is no Manager."""
    with contextlib.suppress(LinesLost):
        return set(live.shared.connect().copy())
    return set()


def until_started(live: LiveProgress, before: int) -> None:
    wait_for(lambda: live.pid != before, "another Manager is started")


def until_another(live: LiveProgress, pid: int) -> None:
    wait_for(lambda: live.pid != pid and live.state() == "ok" and live._answered, "another Manager answers")
    assert not is_living(pid)


def until_all_say(jobs: Jobs, job_ids: list[str], word: str) -> None:
    for job_id in job_ids:
        jobs.until(job_id, lambda job: job.progress.message == word, f"{job_id} is heard to say {word!r}")


def tellers(jobs: Jobs, signs: Path, count: int) -> list[str]:
    job_ids = [jobs.start("tell", signs=str(signs)) for _ in range(count)]
    until_all_say(jobs, job_ids, "one")
    return job_ids


def all_right(jobs: Jobs, job_ids: list[str]) -> None:
    for job_id in job_ids:
        assert jobs.until_over(job_id).status == "completed"
        assert jobs.result(job_id)["counted"] == 6


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    folder = tmp_path / "signs"
    folder.mkdir()
    return folder


def test_killed_in_the_middle_of_twenty_jobs(open_jobs: Callable[..., Jobs], signs: Path) -> None:
    """All end right; what was said before stays served, and what is said after by who was running is served too."""
    jobs = open_jobs(workflows=MODULES, max_running=TWENTY)
    job_ids = tellers(jobs, signs, TWENTY)
    dead = hit(live_of(jobs))
    until_another(live_of(jobs), dead)
    assert {jobs.get(job_id).progress.message for job_id in job_ids} == {"one"}
    (signs / "one").touch()
    until_all_say(jobs, job_ids, "two")
    late = jobs.start("count", total=4)
    (signs / "two").touch()
    all_right(jobs, job_ids)
    assert jobs.until_over(late).status == "completed"


def test_said_while_there_is_none(open_jobs: Callable[..., Jobs], signs: Path) -> None:
    """What a job says to a Manager that is stopped, and then killed, is told to the next one."""
    jobs = open_jobs(workflows=MODULES)
    job_ids = tellers(jobs, signs, 4)
    hit(live_of(jobs), signal.SIGSTOP)
    (signs / "one").touch()
    hit(live_of(jobs), signal.SIGKILL)
    until_all_say(jobs, job_ids, "two")
    (signs / "two").touch()
    all_right(jobs, job_ids)


def test_stopped(open_jobs: Callable[..., Jobs], signs: Path) -> None:
    """Nobody waits for it: neither who asks, nor who cancels, nor a job. It is replaced, and progress comes back."""
    jobs = open_jobs(workflows=MODULES)
    cancelled, *job_ids = tellers(jobs, signs, 5)
    stopped = hit(live_of(jobs), signal.SIGSTOP)
    assert jobs.get(cancelled).progress.message == "one"
    assert len(jobs.manager.list(JobFilter(), 10)) == 5
    jobs.manager.cancel(cancelled, "me")
    assert jobs.until_over(cancelled).status == "cancelled"
    (signs / "one").touch()
    until_all_say(jobs, job_ids, "two")
    until_another(live_of(jobs), stopped)
    (signs / "two").touch()
    all_right(jobs, job_ids)


def test_killed_five_times_in_a_row(open_jobs: Callable[..., Jobs], signs: Path) -> None:
    jobs = open_jobs(workflows=MODULES)
    job_ids = tellers(jobs, signs, 4)
    live = live_of(jobs)
    for _ in range(5):
        until_started(live, hit(live))
    wait_for(lambda: live.state() == "ok", "there is live progress again")
    (signs / "one").touch()
    until_all_say(jobs, job_ids, "two")
    (signs / "two").touch()
    all_right(jobs, job_ids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("times", [1, 2])
def test_the_server_closes_meanwhile(
    open_jobs: Callable[..., Jobs], signs: Path, number: signal.Signals, times: int
) -> None:
    """Nobody is left, whether the Manager is gone, stopped, or just being started."""
    jobs = open_jobs(workflows=MODULES)
    tellers(jobs, signs, 2)
    for _ in range(times):
        before = hit(live_of(jobs), number)
        if times > 1:
            until_started(live_of(jobs), before)
    jobs.close()


def test_lines_of_jobs_that_ended_do_not_stay_nor_come_back(open_jobs: Callable[..., Jobs], signs: Path) -> None:
    jobs = open_jobs(workflows=MODULES)
    live = live_of(jobs)
    (teller,) = tellers(jobs, signs, 1)
    expected = {(teller, jobs.pid(teller))}
    over = [jobs.start("count", total=6, batch_size=1, delay_ms=100) for _ in range(6)]
    wait_for(lambda: len(keys(live)) == 7, "all have a line")
    for job_id in over:
        jobs.until_over(job_id)
    wait_for(lambda: keys(live) == expected, "their lines are gone")
    until_another(live, hit(live))
    wait_for(lambda: keys(live) == expected, "the one that runs has told the new Manager")
    assert [live.of(job_id) for job_id in over] == [None] * 6


def test_a_job_that_says_nothing_has_no_thread_for_it(open_jobs: Callable[..., Jobs], signs: Path) -> None:
    jobs = open_jobs(workflows=MODULES)
    (teller,) = tellers(jobs, signs, 1)
    silent = jobs.start("hush")
    threads = [psutil.Process(jobs.pid(job_id)).num_threads() for job_id in (silent, teller)]
    assert threads[1] == threads[0] + 1


# -- without jobs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def live(nobody_left: None) -> Iterator[LiveProgress]:
    progress = LiveProgress(multiprocessing.get_context("forkserver"), Clock())
    yield progress
    progress.close()


def test_a_job_with_nothing_new_to_say_tells_the_next_one(live: LiveProgress) -> None:
    """The server has copied nothing here: only the job knows."""
    live.start(wanted=lambda: False)
    LiveLine(live.shared, "job").show({"processed": 3})
    wait_for(lambda: keys(live), "the Manager has been told")
    until_another(live, hit(live))
    wait_for(lambda: keys(live) == {("job", os.getpid())}, "the next one has been told")


def test_a_manager_that_cannot_be_started(live: LiveProgress, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again, and said once; then it works as if nothing had been."""
    caplog.set_level(logging.INFO, "runner.live")
    folder = tmp_path / "later"
    live.shared.address = str(folder / "lines")
    started: list[int] = []
    live.on_started = started.append
    live.start(wanted=lambda: True)
    LiveLine(live.shared, "job").show({"processed": 3})
    wait_for(lambda: len(started) > 2 and live.state() != "ok", "it was tried several times")
    assert live.state().startswith("no live progress for ")
    folder.mkdir(mode=0o700)
    assert wait_for(lambda: live.of("job"), "what the job says is served") == {"processed": 3}
    wait_for(lambda: live.state() == "ok", "it says that all is well")
    wait_for(lambda: len(caplog.messages) > 1, "it is said that it is back")
    assert [message.split(" (")[0] for message in caplog.messages] == [
        "The Manager of live progress is gone",
        "Live progress is back",
    ]


def test_the_fork_server_dies(live: LiveProgress) -> None:
    """The Manager lives on, but nobody would hear of its end any more: it is replaced, and collected."""
    live.start(wanted=lambda: False)
    before = manager_pid(live)
    os.kill(getattr(forkserver._forkserver, "_forkserver_pid", 0), signal.SIGKILL)
    until_another(live, before)
    assert before not in zombies()


def test_closed_while_another_manager_is_being_started(live: LiveProgress) -> None:
    started: list[int] = []
    closed = threading.Event()

    def on_started(pid: int) -> None:
        started.append(pid)
        if len(started) > 1:
            closed.wait(60)

    live.on_started = on_started
    live.start(wanted=lambda: False)
    hit(live)
    wait_for(lambda: len(started) > 1, "another one is being started")
    live.close()
    closed.set()
    wait_for(lambda: not is_living(started[1]), "it is ended by whoever started it")
