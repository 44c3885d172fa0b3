"""A round of random doings: jobs are started and steered, and they and their server are killed, frozen and drained."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import psutil

from runner.ending import MOST_CRASHES
from tests.chaos.client import Client, is_over
from tests.chaos.oracle import Errand, check_all
from tests.chaos.stories import run_errand
from tests.chaos.witness import rows
from tests.waiting import wait_for

MAY_FAIL = f"crashed {MOST_CRASHES} times"
"""The one end that is nobody's wish: of a job that was killed again and again before it got on."""

_RECENT = 6
_WEIGHTS = {
    "start": 10.0,
    "cancel": 2.0,
    "force": 1.0,
    "pause": 2.0,
    "resume": 2.0,
    "retry": 2.0,
    "kill_child": 3.0,
    "freeze_child": 1.0,
    "kill_server": 1.0,
    "drain": 0.5,
}


@dataclass
class Play:
    """Starts ``count`` jobs, retries among them, and does to them whatever ``chance`` says.

    ``WEIGHTS``: how often each deed is chosen, by the name of its method without the line before it.
    ``PATIENCE_SECONDS``: how long jobs may take to end by themselves, once all that is random is over; and again, once
    all are killed.
    """

    WEIGHTS: ClassVar[Mapping[str, float]] = _WEIGHTS
    PATIENCE_SECONDS: ClassVar[float] = 4.0

    client: Client
    chance: random.Random
    count: int
    done: Counter[str] = field(default_factory=Counter)
    errands: list[Errand] = field(default_factory=list)
    _paused: list[str] = field(default_factory=list)
    _frozen: list[int] = field(default_factory=list)

    def run(self) -> None:
        self.client.on_refused = self._thaw
        self.client.open()
        deeds: dict[str, Callable[[], bool]] = {name: getattr(self, f"_{name}") for name in self.WEIGHTS}
        names, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        while len(self.client.accepted) < self.count:
            name = self.chance.choices(names, weights)[0]
            self.done[name] += deeds[name]()
            threading.Event().wait(self.chance.uniform(0, 0.12))
        self._end_all()
        self._check()

    def _check(self) -> None:
        check_all(self.client, self.errands)

    def _end_all(self) -> None:
        """Who is paused goes on; who hangs or is frozen is killed, and goes on too; at last all are cancelled."""
        for job_id in self.client.accepted:
            if self.client.job(job_id)["status"] == "paused":
                self.client.steer(job_id, "resume")
        if not self._are_over_soon():
            for pid in self._children():
                self._signal(pid, signal.SIGKILL)
            self._are_over_soon()
        self._thaw()
        for job_id in self.client.accepted:
            if not is_over(self.client.job(job_id)):
                status = wait_for(lambda job_id=job_id: self._force_now(job_id), "the store takes the cancel")  # type: ignore[misc]
                self.done["force at the end"] += status == 200
        for job_id in self.client.accepted:
            job = self.client.until_over(job_id)
            self.done[job["status"]] += 1
            assert job["status"] != "failed" or self._may_fail(job["result"]["error"]), job

    def _may_fail(self, error: str) -> bool:
        return error.startswith(MAY_FAIL)

    def _force_now(self, job_id: str) -> int | None:
        status = self.client.steer(job_id, "cancel", "?force=true")
        return None if status == 503 else status

    def _are_over_soon(self) -> bool:
        until = time.monotonic() + self.PATIENCE_SECONDS
        while not (found := self._all_over()) and time.monotonic() < until:
            threading.Event().wait(0.1)
        return found

    def _all_over(self) -> bool:
        return all(is_over(self.client.job(job_id)) for job_id in self.client.accepted)

    # -- deeds: whether there was anything to do -----------------------------------------------------------------

    def _start(self) -> bool:
        if self.chance.random() < 0.1:
            self.client.start(type="heed", way=self.chance.choice(["sleep", "ignore", "swallow"]))
            return True
        config: dict[str, Any] = {
            "delayMs": self.chance.choice([0, 50, 200, 500]),
            "hangIn": self.chance.choice([0] * 7 + [2]),
            "hangBefore": self.chance.random() < 0.5,
            "key": self.chance.choice(["", "", "a", "b"]),
        }
        self.errands.append(run_errand(self.client, total=self.chance.randint(3, 10), **config))
        return True

    def _steer(self, verb: str, query: str = "") -> bool:
        known = self.client.accepted
        if not known:
            return False
        job_id = self.chance.choice(known[-_RECENT:])  # the others have mostly ended
        done = self.client.steer(job_id, verb, query) == 200
        if done and verb == "pause":
            self._paused.append(job_id)
        return done

    def _cancel(self) -> bool:
        return self._steer("cancel")

    def _force(self) -> bool:
        return self._steer("cancel", "?force=true")

    def _pause(self) -> bool:
        return self._steer("pause")

    def _resume(self) -> bool:
        return bool(self._paused) and self.client.steer(self._paused.pop(0), "resume") == 200

    def _retry(self) -> bool:
        """Of the last of its line: whoever goes on with an earlier one does over again what came after it."""
        return self._retry_one_of(self.errands)

    def _retry_one_of(self, errands: Sequence[Errand]) -> bool:
        ended = [one for one in errands if self.client.job(one.job_ids[-1])["status"] in ("cancelled", "failed")]
        if not ended:
            return False
        errand = self.chance.choice(ended)
        again = self.client.retry(errand.job_ids[-1])
        errand.job_ids += [again] if again else []
        return again is not None

    def _kill_child(self) -> bool:
        return self._signal_child(signal.SIGKILL)

    def _freeze_child(self) -> bool:
        """It stays frozen until it is stopped with its job, or is in the way: see ``_thaw``."""
        return self._signal_child(signal.SIGSTOP)

    def _thaw(self) -> None:
        """A process that is frozen in its commit keeps SQLite's write lock, and then nobody can start anything."""
        self.done["thawed"] += sum(self._signal(pid, signal.SIGCONT) for pid in self._frozen)
        self._frozen.clear()

    def _signal_child(self, number: int) -> bool:
        pids = self._children()
        if not pids or not self._signal(pid := self.chance.choice(pids), number):
            return False
        if number == signal.SIGSTOP:
            self._frozen.append(pid)
        return True

    def _children(self) -> list[int]:
        """The pids that the store has for runs, by age."""
        query = "SELECT pid FROM jobs WHERE claimed_at IS NOT NULL AND released_at IS NULL AND pid IS NOT NULL"
        return [pid for (pid,) in rows(self.client.server.home / "runner.db", f"{query} ORDER BY created_at")]

    def _signal(self, pid: int, number: int) -> bool:
        """Only if it is still a process of this server."""
        try:
            process = psutil.Process(pid)
            if process.environ().get("RUNNER_HOME") != str(self.client.server.home):
                return False
            process.send_signal(number)
        except psutil.Error:
            return False
        return True

    def _kill_server(self) -> bool:
        self.client.server.kill_at_once()
        self.client.revive()
        return True

    def _drain(self) -> bool:
        """In order; or cut short by a second signal, or by a SIGKILL."""
        server = self.client.server
        server.send(signal.SIGTERM)
        if self.chance.random() < 0.5:
            threading.Event().wait(self.chance.uniform(0, 0.5))
            server.send(self.chance.choice([signal.SIGTERM, signal.SIGKILL]))
        server.wait()
        self.client.revive()
        return True
