"""The receipts of a cancel are its own: nothing of an earlier pause stands among them."""

from __future__ import annotations

from collections.abc import Callable

from tests.processes.conftest import Jobs


def test_a_cancel_does_not_show_the_signals_of_an_earlier_pause(open_jobs: Callable[..., Jobs]) -> None:
    jobs = open_jobs(grace_seconds=0.2, terminate_seconds=0.2)
    job_id = jobs.start("heed", way="ignore")
    jobs.until(job_id, lambda job: job.progress.message == "here", "it is deaf")
    jobs.manager.pause(job_id, "me")
    jobs.until(job_id, lambda job: job.status == "paused" and not job.is_claimed, "it is paused by force")
    cancellation = jobs.manager.cancel(job_id, "me").cancellation
    assert cancellation is not None
    assert (cancellation.phase, cancellation.signals) == ("stopped", ())
