"""How a job is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.job import Cancellation, Job, JobStatus, Phase, Progress, StopReason
from web.schemas import eta_seconds, job_on_wire
from web.visible import visible

NOW = 1_705_314_600_000
JOB = Job("job_1", "walk", JobStatus.RUNNING, {"dryRun": True}, {}, None, NOW, "anonymous", started_at=NOW + 1000)


def wire(job: Job, result: dict[str, Any] | None = None, now: int = NOW) -> dict[str, Any]:
    return job_on_wire(job, result, now)


def test_the_seeds_own_keys_come_first() -> None:
    progress = Progress(50, 100, 10)
    done = replace(JOB, progress=progress, completed_at=NOW + 2000, status=JobStatus.COMPLETED)
    shown = wire(done, {"removedWhatsappIds": []})
    expected = ["id", "type", "status", "config", "progress", "result", "createdAt", "startedAt", "completedAt"]
    assert list(shown)[:9] == expected
    assert list(shown["progress"])[:3] == ["processed", "total", "currentBatch"]
    assert shown["createdAt"] == "2024-01-15T10:30:00.000Z"
    assert shown["startedAt"] == "2024-01-15T10:30:01.000Z"


def test_what_is_absent_is_no_key() -> None:
    shown = wire(replace(JOB, started_at=None, status=JobStatus.PENDING))
    assert set(shown) == {"id", "type", "status", "config", "progress", "createdAt", "attempt", "createdBy"}
    assert shown["progress"] == {"processed": 0, "currentBatch": 0}


@pytest.mark.parametrize(
    ("left_ms", "seconds"),
    [
        (-5000, 0),
        (0, 0),
        (1, 1),
        (9_001, 10),
        (59_000, 59),
        (61_000, 65),
        (600_000, 600),
        (600_001, 630),
        (3_601_000, 3660),
    ],
)
def test_an_eta_is_never_negative_and_not_finer_than_it_is_true(left_ms: int, seconds: int) -> None:
    assert eta_seconds(left_ms) == seconds


def test_a_finished_job_has_no_eta() -> None:
    progress = Progress(5, 10, 1, done_at_ms=NOW + 10_000)
    assert wire(replace(JOB, progress=progress))["progress"]["etaSeconds"] == 10
    over = replace(JOB, progress=progress, status=JobStatus.CANCELLED)
    assert "etaSeconds" not in wire(over)["progress"]


def test_a_cancel_tells_what_is_really_happening() -> None:
    signals = ({"signal": "SIGTERM", "pid": 5, "at": NOW},)
    cancel = Cancellation(NOW, "anonymous", Phase.TERMINATING, NOW + 38_000, seen_at=NOW + 1, signals=signals)
    shown = wire(replace(JOB, cancellation=cancel, status=JobStatus.CANCELLED))["cancellation"]
    assert shown == {
        "requestedAt": "2024-01-15T10:30:00.000Z",
        "requestedBy": "anonymous",
        "phase": "terminating",
        "deadlineAt": "2024-01-15T10:30:38.000Z",
        "seenAt": "2024-01-15T10:30:00.001Z",
        "signals": [{"signal": "SIGTERM", "pid": 5, "at": "2024-01-15T10:30:00.000Z"}],
    }


def test_whose_list_a_job_is_pinned_to_can_be_seen_afterwards() -> None:
    assert wire(replace(JOB, options={"reviewed": "job_0"}))["reviewed"] == "job_0"


def test_a_job_that_waits_says_until_when() -> None:
    shown = wire(replace(JOB, waiting={"until": NOW, "reason": "slow down"}, waiting_for="job_0"))
    assert shown["waiting"] == {"until": "2024-01-15T10:30:00.000Z", "reason": "slow down"}
    assert shown["waitingFor"] == "job_0"


def test_nothing_shown_acts_on_a_terminal() -> None:
    evil = "a\x1b[2J\r\nb\x00\x9b\u202e\u2066\ud800\ufeff\u2028é😀"
    shown = visible(evil)
    assert shown.isprintable()
    assert shown.endswith("é😀")
    assert visible("x" * 100, 10) == "x" * 10 + "…"


def test_a_list_has_the_sentence_of_a_post_mortem_and_not_its_stacks() -> None:
    dead = replace(JOB, post_mortem={"at": NOW, "summary": "in `sleep`", "stacks": [], "log": ["x"] * 200})
    assert wire(dead)["postMortem"]["log"] == ["x"] * 200
    shown = job_on_wire(dead, None, NOW, whole=False)["postMortem"]
    assert shown == {"at": "2024-01-15T10:30:00.000Z", "summary": "in `sleep`"}


def test_an_estimate_that_has_passed_or_of_a_job_that_does_not_get_on_is_no_key() -> None:
    going = replace(JOB, progress=Progress(5, 10, 1, done_at_ms=NOW + 10_000))
    assert wire(going)["progress"]["etaSeconds"] == 10
    unknown = [
        replace(going, progress=Progress(5, 10, 1, done_at_ms=NOW)),
        replace(going, progress=Progress(5, 10, 1, done_at_ms=NOW - 1)),
        replace(going, status=JobStatus.PAUSED),
        replace(going, status=JobStatus.PENDING),
        replace(going, stop_reason=StopReason.PAUSE),
    ]
    assert [job for job in unknown if "etaSeconds" in wire(job)["progress"]] == []


@pytest.mark.parametrize(
    "data", [[], "5", {"processed": "5", "total": [1], "more": 1}, {"processed": -1, "message": 5}, {"total": 1.5}]
)
def test_odd_progress_in_a_row_is_no_progress(data: Any) -> None:
    assert Progress.from_json(data) == Progress()
