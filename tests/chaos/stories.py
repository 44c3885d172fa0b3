"""Short stories that pass the crash points: each is driven to its end, whoever dies on the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.client import Client
from tests.chaos.oracle import Errand
from tests.chaos.witness import locked
from tests.waiting import wait_for

HOUR_MS = 3_600_000
Arm = Callable[[], None]
Story = Callable[[Client, Arm], list[Errand]]


def run_errand(client: Client, total: int = 6, **config: Any) -> Errand:
    """Starts a job that acts."""
    effects = str(client.server.home / f"effects-{len(client.accepted)}")
    fast: dict[str, Any] = {"batchSize": 2, "callSeconds": 0.3}
    job_id = client.start(type="act", effects=effects, total=total, **(fast | config))
    return Errand([job_id], effects, total)


def _begin(client: Client, arm: Arm) -> None:
    arm()
    client.open()


def _expect(client: Client, errand: Errand, status: str) -> None:
    assert client.until_over(errand.job_ids[-1])["status"] == status


def run(client: Client, arm: Arm) -> list[Errand]:
    """Two jobs run to their ends."""
    _begin(client, arm)
    errands = [run_errand(client, total=8, delayMs=20), run_errand(client, total=8, delayMs=20)]
    for errand in errands:
        _expect(client, errand, "completed")
    return errands


def queue(client: Client, arm: Arm) -> list[Errand]:
    """The second waits until the first has let go of their lock."""
    _begin(client, arm)
    errands = [run_errand(client, key="k", delayMs=50), run_errand(client, key="k")]
    for errand in errands:
        _expect(client, errand, "completed")
    return errands


def cancel(client: Client, arm: Arm) -> list[Errand]:
    """One job is cancelled in its delay; the other is none the wiser."""
    _begin(client, arm)
    cancelled, other = run_errand(client, delayMs=HOUR_MS), run_errand(client, total=10, delayMs=100)
    client.until(cancelled.job_ids[0], lambda job: job["progress"]["processed"] >= 2, "a batch is done")
    assert client.steer(cancelled.job_ids[0], "cancel") == 200
    _expect(client, cancelled, "cancelled")
    _expect(client, other, "completed")
    return [cancelled, other]


def journal(client: Client, arm: Arm) -> list[Errand]:
    """A job is cancelled while somebody else has the database locked: the cancel is kept, and written later."""
    _begin(client, arm)
    errand, other = run_errand(client, delayMs=HOUR_MS), run_errand(client, total=4, delayMs=100)
    client.until(errand.job_ids[0], lambda job: job["progress"]["processed"] >= 2, "a batch is done")
    _expect(client, other, "completed")
    with locked(client.server.home / "runner.db"):
        status = client.ask_once("POST", f"/admin/jobs/{errand.job_ids[0]}/cancel")
    if status is None:
        client.revive()
    else:
        assert status == 503, "it is told that this is not written yet"
    client.cancelled.add(errand.job_ids[0])
    _expect(client, errand, "cancelled")
    return [errand, other]


def force(client: Client, arm: Arm) -> list[Errand]:
    """A deaf job is cancelled: SIGTERM does not end it."""
    client.server.change(grace_seconds=0.2, terminate_seconds=0.3)
    _begin(client, arm)
    deaf = client.start(type="heed", way="ignore")
    other = run_errand(client, total=10, delayMs=100)
    client.until(deaf, lambda job: job["progress"].get("message") == "here", "it is deaf")
    assert client.steer(deaf, "cancel") == 200
    assert client.until_over(deaf)["status"] == "cancelled"
    _expect(client, other, "completed")
    return [other]


def settle(client: Client, arm: Arm) -> list[Errand]:
    """A job is killed in its call, and what it left open is found out."""
    _begin(client, arm)
    errand = run_errand(client, hangIn=2, key="k")
    hung = Path(errand.effects + ".hung")
    wait_for(hung.exists, "the second call hangs")
    assert client.steer(errand.job_ids[0], "cancel", "?force=true") == 200
    _expect(client, errand, "cancelled")
    behind = run_errand(client, key="k")
    _expect(client, behind, "completed")
    return [errand, behind]


def pause(client: Client, arm: Arm) -> list[Errand]:
    """A job is paused in its delay, and resumed."""
    _begin(client, arm)
    errand = run_errand(client, total=10, delayMs=600)
    job_id = errand.job_ids[0]
    client.until(job_id, lambda job: job["progress"]["processed"] >= 2, "a batch is done")
    _steer_until(client, job_id, "pause", lambda job: job["status"] == "paused")
    _steer_until(client, job_id, "resume", lambda job: job["status"] != "paused")
    _expect(client, errand, "completed")
    return [errand]


def _steer_until(client: Client, job_id: str, verb: str, condition: Callable[[dict[str, Any]], bool]) -> None:
    deaths = client.deaths
    status = client.steer(job_id, verb)
    assert status == 200 or client.deaths > deaths, f"refused although it was never cut off: {client.job(job_id)}"
    client.until(job_id, condition, f"{verb} has its effect")


def retry(client: Client, arm: Arm) -> list[Errand]:
    """A cancelled job is gone on with."""
    _begin(client, arm)
    errand = run_errand(client, total=6, delayMs=1000)
    client.until(errand.job_ids[0], lambda job: job["progress"]["processed"] >= 2, "a batch is done")
    assert client.steer(errand.job_ids[0], "cancel") == 200
    _expect(client, errand, "cancelled")
    again = client.retry(errand.job_ids[0])
    assert again is not None
    errand.job_ids.append(again)
    _expect(client, errand, "completed")
    return [errand]


def drain(client: Client, arm: Arm) -> list[Errand]:
    """The server goes down in order, and its jobs go on at the next start."""
    _begin(client, arm)
    errands = [run_errand(client, delayMs=700), run_errand(client, delayMs=700)]
    for errand in errands:
        client.until(errand.job_ids[0], lambda job: job["progress"]["processed"] >= 2, "a batch is done")
    client.server.send(signal.SIGTERM)
    client.revive()
    for errand in errands:
        _expect(client, errand, "completed")
    return errands


def recover(client: Client, arm: Arm) -> list[Errand]:
    """The server is killed, and the next one dies while it takes up what was left: also a cancel and a pause."""
    client.open()
    errands = [run_errand(client, delayMs=700) for _ in range(2)]
    cancelled = run_errand(client, hangIn=1)
    wait_for(Path(cancelled.effects + ".hung").exists, "its first call hangs")
    assert client.steer(cancelled.job_ids[0], "cancel") == 200
    client.server.kill_at_once()
    arm()
    client.revive()
    for errand in errands:
        _expect(client, errand, "completed")
    _expect(client, cancelled, "cancelled")
    return [*errands, cancelled]


def reap(client: Client, arm: Arm) -> list[Errand]:
    """A finished job goes to the archive; one that runs does not."""
    client.open()
    over, other = client.start(type="count", total=2), run_errand(client, total=4, delayMs=1500)
    client.until_over(over)
    client.server.kill_at_once()
    client.server.change(job_ttl_seconds=1)
    arm()
    client.revive()
    wait_for(lambda: client.ask("GET", f"/admin/jobs/{over}/status")[0] == 404, "the finished job is archived")
    client.server.change(job_ttl_seconds=3600)
    client.drain()
    client.revive()
    _expect(client, other, "completed")
    return [other]
