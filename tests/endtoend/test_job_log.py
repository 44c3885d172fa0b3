"""What a workflow logs stands in the server's log: with the job's id, time and level, one line an event."""

from __future__ import annotations

import re
from pathlib import Path

from tests.endtoend.server import Server
from tests.waiting import wait_for


def test_what_a_workflow_logs_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path, workflows="tests.processes.samples_told")
    server.start()
    try:
        job_id = server.start_job(type="logs")
        failed = server.start_job(type="told", fails=True)
        for one in (job_id, failed):
            wait_for(lambda one=one: server.job(one)["status"] in ("completed", "failed"), "it is over")  # type: ignore[misc]
        log = tmp_path / "server.log"
        wait_for(lambda: "set up anew" in log.read_text(), "its last line is told")
        wait_for(lambda: f"Job {failed} failed: LookupError" in log.read_text(), "its failure is told")
    finally:
        server.close()
    lines = [line for line in log.read_text().splitlines() if line.startswith(f"[{job_id}] ")]
    told = [
        re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", line.partition("] ")[2], count=1) for line in lines
    ]
    assert told[0] == "TIME INFO mine: it is told to whom it concerns"
    assert told[1] == r"TIME WARNING mine: one line\n2026-01-01T00:00:00.000Z ERROR mine: forged"
    assert re.fullmatch(r"TIME WARNING py\.warnings: .*samples_told\.py:\d+: UserWarning: this is old\\n .*", told[2])
    assert re.fullmatch(r"TIME ERROR mine: it went on Traceback .*ValueError: caught", told[3])
    assert told[4:] == ["own: set up anew"]
