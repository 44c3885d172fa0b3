"""Cancelling what does not heed, over HTTP: the server answers all the while, and says nothing before it is so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.job import Phase
from tests.endtoend.server import Server, is_living
from tests.waiting import wait_for

WORKFLOWS = "tests.processes.samples,tests.processes.samples_stuck"
ORDER = [phase.value for phase in Phase]

CASES = {
    "sleep": ("heed", "sleep", None),
    "python": ("stuck", "spin", "_spin"),
    "c": ("stuck", "scrypt", "hashlib.scrypt"),
    "stopped": ("stuck", "suspend", "suspended, as by SIGSTOP"),
    "socket": ("stuck", "receive", "ours.recv"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path, workflows=WORKFLOWS, grace_seconds=0.5, terminate_seconds=0.5)
    found.start()
    yield found
    found.close()


class Watch:
    """Looks at a job over HTTP, again and again, until it is told to stop; every look must be answered."""

    def __init__(self, server: Server, job_id: str, process: psutil.Process) -> None:
        self._server, self._job_id, self._process = server, job_id, process
        self.phases: list[str] = []
        self.faults: list[str] = []
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def _look_on(self) -> None:
        while not self._over.is_set():
            lived_after = None
            try:
                job = self._server.job(self._job_id)
                lived_after = is_living(self._process)
            except Exception as error:
                self.faults.append(repr(error))
                return
            self.looks += 1
            phase = job.get("cancellation", {}).get("phase")
            if phase is not None and phase not in self.phases:
                self.phases.append(phase)
            if phase == "stopped" and lived_after:
                self.faults.append("said to be stopped, and it lives")

    def close(self) -> None:
        self._over.set()
        self._thread.join(30)


@pytest.mark.parametrize("case", CASES)
def test_whatever_it_does_it_is_ended_and_the_status_is_true_throughout(
    server: Server, case: str, record_property: Any
) -> None:
    workflow, way, where = CASES[case]
    job_id = server.start_job(type=workflow, way=way)
    wait_for(lambda: server.job(job_id)["status"] == "running", "it has begun")
    process = wait_for(lambda: _process_at_work(server), "its process is at work")
    watch = Watch(server, job_id, process)
    assert server.call("POST", f"/admin/jobs/{job_id}/cancel")[0] == 200
    job = wait_for(lambda: (now := server.job(job_id))["cancellation"]["phase"] == "stopped" and now, "it is stopped")
    watch.close()
    assert watch.faults == []
    assert watch.looks > 0
    assert watch.phases == sorted(watch.phases, key=ORDER.index), "phases only go on"
    assert not is_living(process)
    cancellation = job["cancellation"]
    times = {name: cancellation[name] for name in ("requestedAt", "seenAt", "stoppedAt") if name in cancellation}
    record_property("phases", times | {signal["signal"]: signal["at"] for signal in cancellation["signals"]})
    print(case, times, cancellation["signals"])
    assert job["status"] == "cancelled"
    if where is None:
        assert cancellation["signals"] == []
        assert "postMortem" not in job
    else:
        assert cancellation["signals"][0]["signal"] == "SIGTERM"
        assert where in job["postMortem"]["summary"]


def _process_at_work(server: Server) -> psutil.Process | None:
    """The job's process: the one that is no standby any more, by its own number of descriptors or its state."""
    jobs = server.call("GET", "/admin/jobs")[1]
    pids = server.call("POST", f"/admin/jobs/{jobs[0]['id']}/cancel?dryRun=true")[1]["wouldSignal"]
    return psutil.Process(pids[-1]["pid"]) if pids else None
