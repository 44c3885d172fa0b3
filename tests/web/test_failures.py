"""A failed job on the wire and on the terminal: the sentence, where it was, and the traceback for who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.job import Job, JobStatus, Progress
from runner.store import Store
from runner.stores.database import SqlStore
from runner.stores.jobs import JobFilter, JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import RunRows
from web.outcomes import print_outcome
from web.schemas import job_on_wire

FAILURE = {
    "type": "KeyError",
    "message": "'boom'",
    "file": "/flows/mine.py",
    "line": 12,
    "traceback": "Traceback\n  x\n",
}


def job_of(error: str | None, failure: object) -> Job:
    known = {"lock_key": None, "created_at": 0, "created_by": "me", "error": error, "failure": failure}
    return Job("a", "mine", JobStatus.FAILED, {}, {}, **known)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    url = f"sqlite:///{tmp_path / 'runner.db'}"
    migrate(url)
    return SqlStore(url, pooled=False)


def test_the_error_stands_beside_the_result() -> None:
    shown = job_on_wire(job_of("KeyError: 'boom'", FAILURE), {"error": "KeyError: 'boom'"}, 0)
    assert shown["error"] == FAILURE
    assert shown["result"]["error"] == "KeyError: 'boom'"


def test_a_list_has_no_traceback() -> None:
    shown = job_on_wire(job_of("KeyError: 'boom'", FAILURE), None, 0, whole=False)
    assert shown["error"] == {name: value for name, value in FAILURE.items() if name != "traceback"}


@pytest.mark.parametrize("failure", [None, "odd", 5])
def test_a_failure_of_an_earlier_version_has_its_words(failure: object) -> None:
    assert job_on_wire(job_of("it broke", failure), None, 0)["error"] == {"type": "Error", "message": "it broke"}


def test_a_job_that_did_not_fail_has_no_error() -> None:
    assert "error" not in job_on_wire(job_of(None, None), None, 0)


def test_a_list_reads_no_traceback(store: Store) -> None:
    with store.write() as tx:
        JobRows(tx).add(NewJob("a", "mine", {}, {}, None, "me"))
        RunRows(tx).claim("a", "node")
        RunRows(tx).finish("a", 1, JobStatus.FAILED, error="KeyError: 'boom'", failure=FAILURE)
    with store.read() as tx:
        listed, whole = JobRows(tx).newest(JobFilter(), 10)[0], JobRows(tx).get("a")
    assert whole.failure == FAILURE
    assert listed.failure == {name: value for name, value in FAILURE.items() if name != "traceback"}


def test_the_terminal_has_the_sentence_first_then_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(job_on_wire(job_of("KeyError: 'boom'", FAILURE), {"error": "KeyError: 'boom'"}, 0))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["failed: KeyError: 'boom'", "    at /flows/mine.py:12"]
    assert lines[2] == "id: a"
    assert lines[-1] == "traceback: 2 lines, with --json"
    assert "Traceback" not in "".join(lines)


def test_nothing_in_an_error_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = {"type": "E", "message": "\x1b[2J\nid: forged", "file": "\x1b]0;x\x07", "line": 1}
    print_outcome(job_on_wire(job_of("\x1b[2J\nid: forged", hostile), None, 0))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "id: forged" not in said.splitlines()


def test_what_was_reported_in_a_batch_is_shown() -> None:
    running = Job("a", "mine", JobStatus.RUNNING, {}, {}, None, 0, "me", progress=Progress(4, 10, reported=7))
    assert job_on_wire(running, None, 0)["progress"] | {"currentBatch": 0} == {
        **{"processed": 7, "total": 10, "currentBatch": 0, "percent": 70.0}
    }
