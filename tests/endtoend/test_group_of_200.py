"""A group of 200 from a member list and a chat export, through the console script and HTTP: exactly 45 have to go."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.server import ROOT, Server, is_living
from tests.waiting import wait_for

GROUP = "120363000000000200@g.us"
WINDOW_MS = 30 * 86_400_000
SILENT = range(60)
WHITELISTED, ADMINS, NEW = range(3), range(3, 5), range(5, 15)
TO_GO = [f"{4477009000000 + n}@s.whatsapp.net" for n in range(15, 60)]
JOB_TABLES = {"jobs", "job_events", "batches", "batch_items", "job_people", "idempotency_keys"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    found.start()
    _import(found, "members", _member_list(tmp_path))
    _import(found, "chat", _chat_export(tmp_path), "--date-order", "dmy", "--time-zone", "UTC", "--exported-at", _now())
    for number in WHITELISTED:
        body = {"groupId": GROUP, "whatsappId": _id(number)}
        assert found.call("POST", "/admin/lists/whitelist", body)[0] == 200
    yield found
    found.close()


def test_a_dry_run_lists_exactly_the_45_and_changes_nothing(server: Server, tmp_path: Path) -> None:
    before = _dump(tmp_path)
    job = _run(server, dryRun=True, batchSize=10)
    assert sorted(entry["id"] for entry in job["result"]["wouldRemove"]) == sorted(TO_GO)
    assert job["result"]["removedWhatsappIds"] == []
    assert "10 people unknown" in job["result"]["watched"]
    assert (job["progress"]["processed"], job["progress"]["total"], job["progress"]["percent"]) == (45, 45, 100.0)
    assert _dump(tmp_path) == before


def test_a_real_run_removes_exactly_the_45_each_once(server: Server) -> None:
    reviewed = _run(server, dryRun=True, batchSize=50)["id"]
    job = _run(server, dryRun=False, batchSize=7, reviewed=reviewed)
    assert Counter(job["result"]["removedWhatsappIds"]) == Counter(TO_GO)
    history = server.call("GET", f"/admin/removalHistory?groupWaId={GROUP}")[1]
    assert len(history) == 45
    members = server.call("GET", f"/admin/members?groupWhatsappId={GROUP}")[1]
    assert len(members) == 155


def test_a_cancel_in_the_delay_ends_the_process_and_nothing_is_done_after(server: Server) -> None:
    job_id = _start(server, dryRun=False, batchSize=5, delayMs=10_000)
    wait_for(lambda: server.job(job_id)["progress"]["processed"] == 5, "the first batch is done")
    at_work = [process for process in server.family() if process.pid == _pid(server, job_id)]
    assert server.call("POST", f"/admin/jobs/{job_id}/cancel")[0] == 200
    job = wait_for(lambda: (now := server.job(job_id))["cancellation"]["phase"] == "stopped" and now, "it is stopped")
    assert at_work
    assert not any(map(is_living, at_work))
    history = server.call("GET", f"/admin/removalHistory?groupWaId={GROUP}")[1]
    assert len(history) == len(job["result"]["removedWhatsappIds"]) == 5
    assert "unknownWhatsappIds" not in job["result"] or job["result"]["unknownWhatsappIds"] == []


def _start(server: Server, **config: Any) -> str:
    body = {"groupWaId": GROUP, "delayMs": 0, "inactivityWindowMs": WINDOW_MS} | config
    return server.start_job(type="removal_workflow", **body)


def _run(server: Server, **config: Any) -> dict[str, Any]:
    job_id = _start(server, **config)
    job: dict[str, Any] = wait_for(
        lambda: (now := server.job(job_id))["status"] not in ("pending", "running") and now, "the job has ended"
    )
    assert job["status"] == "completed", job
    return job


def _pid(server: Server, job_id: str) -> int:
    with closing(sqlite3.connect(server.home / "runner.db")) as database:
        found: int = database.execute("SELECT pid FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
    return found


def _id(number: int) -> str:
    return f"{4477009000000 + number}@s.whatsapp.net"


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _member_list(folder: Path) -> Path:
    """200 members; those whom nobody has seen before the window joined within it."""
    lines = ["phone,name,role,joined"]
    for number in range(200):
        role = "admin" if number in ADMINS else "member"
        joined = _days_ago(10 if number in NEW else 400).date().isoformat()
        lines.append(f"+{4477009000000 + number},Member {number},{role},{joined}")
    path = folder / "members.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _chat_export(folder: Path) -> Path:
    """From 90 days ago until now: the silent last spoke 45 days ago or never, the others this week."""
    said = [(_days_ago(90), 199)]
    said += [(_days_ago(60 - number / 10), number) for number in SILENT if number % 2 and number not in NEW]
    said += [(_days_ago(6 - number / 100), number) for number in range(60, 200)]
    lines = [f"{at:%d/%m/%Y, %H:%M} - +{4477009000000 + number}: hello" for at, number in sorted(said)]
    path = folder / "chat.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _import(server: Server, kind: str, path: Path, *more: str) -> None:
    command = [str(Path(sys.executable).parent / "runner"), "import", kind, str(path), "--group", GROUP, *more]
    settings = {"RUNNER_HOME": str(server.home)}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _dump(home: Path) -> list[str]:
    """The whole database but for what belongs to jobs."""
    with closing(sqlite3.connect(home / "runner.db")) as database:
        lines = list(database.iterdump())
    return [line for line in lines if not any(f'INTO "{table}"' in line for table in JOB_TABLES)]
