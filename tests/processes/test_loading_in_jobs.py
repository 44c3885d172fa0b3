"""A job whose module starts a thread at its import: the thread is there, in the job's own process."""

from __future__ import annotations

from collections.abc import Callable

from tests.processes.conftest import Jobs, request


def test_a_job_has_the_thread_that_its_module_starts(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(workflows="tests.processes.samples_threads")
    job_id = jobs.manager.start(request("asks_a_thread"))
    assert jobs.until_over(job_id).status == "completed"
    assert jobs.result(job_id)["answer"] == 42
