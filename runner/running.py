"""``Running``: one run that this server watches, from its launch to the proof that its tree is empty."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.clock import Clock
from runner.ending import RunEnd
from runner.job import Job, JsonDict, Phase
from runner.process import JobProcess
from runner.stop import Act, Ladder, at_kill, begin, step
from runner.tree import containment, name_of

_DYING_SECONDS, _LOOK_SECONDS = 0.002, 0.2
_AWAY_SECONDS = 1.0
AFTER_END_SECONDS = 5.0
"""How long a process may take to exit after its job has ended."""


@dataclass
class Running:
    """What is known of the run here; what must outlive the server is in the store. ``job``: as it was launched.

    ``exited``: its sentinel has fired; whether it is gone is another question. ``look_at``: when to ask that next.
    ``unrecorded``: what the store has still to be told: (kind, time). Times of the ladder are boot seconds.
    """

    job: Job
    mode: str
    process: JobProcess
    clock: Clock
    acknowledged: bool = False
    ended: str | None = None
    error: str | None = None
    ladder: Ladder | None = None
    exited: bool = False
    look_at: float = 0.0
    unrecorded: list[tuple[str, int]] = field(default_factory=list)
    signals: list[JsonDict] = field(default_factory=list)

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def epoch(self) -> int:
        return self.job.epoch

    def listen(self) -> None:
        """Takes in what the process has said."""
        for message in self.process.messages():
            if "ack" in message:
                self.acknowledged = True
                self.unrecorded.append(("ack", message["ack"]))
            elif "seen" in message:
                self.unrecorded.append(("seen", message["seen"]))
            elif "ended" in message:
                self.ended, self.error = message["ended"], message.get("error")
                self.ladder = self.ladder or begin(self.clock.boot_seconds(), AFTER_END_SECONDS, AFTER_END_SECONDS)
            elif "killed" in message:
                self._note(signal.SIGKILL, message["killed"])

    def send_away(self) -> None:
        """The process does not get the job after all; it ends by itself, or is ended."""
        self.process.send_away()
        self.ladder = self.ladder or begin(self.clock.boot_seconds(), _AWAY_SECONDS, _AWAY_SECONDS)

    def stop(self, grace: float, terminate: float) -> None:
        """Raises the flag and begins the ladder; a ladder that has begun goes on as it is."""
        self.process.bell.ring()
        self.ladder = self.ladder or begin(self.clock.boot_seconds(), grace, terminate)

    def climb(self) -> None:
        """Does what the ladder says is due now."""
        if self.ladder is None:
            return
        now = self.clock.boot_seconds()
        self.ladder, act = step(self.ladder, now)
        tree = self.process.tree(self.job_id)
        if act is Act.TERMINATE:
            self._note(signal.SIGTERM, tree.signal_all(signal.SIGTERM))
            tree.signal_all(signal.SIGCONT)  # a stopped process sees SIGTERM only when it goes on
        elif act is not None:
            self._note(signal.SIGKILL, tree.kill())
        if act is Act.GIVE_UP:
            self.unrecorded.append(("survivors", self.clock.now_ms()))

    def _note(self, number: signal.Signals, pids: list[int]) -> None:
        known = {(entry["signal"], entry["pid"]) for entry in self.signals}
        at = self.clock.now_ms()
        fresh = [pid for pid in pids if (number.name, pid) not in known]
        self.signals += [{"signal": number.name, "pid": pid, "at": at} for pid in fresh]
        if fresh:
            self.unrecorded.append(("signals", at))

    @property
    def phase(self) -> Phase | None:
        return self.ladder.phase if self.ladder else None

    def survivors(self) -> list[JsonDict]:
        """Who of its tree lives."""
        members = self.process.tree(self.job_id).members()
        return [{"pid": member.pid, "name": name_of(member.pid)} for member in members]

    def is_gone(self) -> bool:
        """Whether the whole tree is proved empty. What the process left behind is killed first."""
        now = self.clock.boot_seconds()
        if self.process.is_alive():
            self.look_at = now + _LOOK_SECONDS  # the sentinel fired because the fork server died
            return False
        if self.process.tree(self.job_id).is_empty():
            return True
        if self.ladder is None or self.ladder.phase not in (Phase.KILLING, Phase.UNCONFIRMED):
            self.ladder = at_kill(now)
        self.look_at = now + (_LOOK_SECONDS if self.ladder.phase is Phase.UNCONFIRMED else _DYING_SECONDS)
        return False

    def next_at(self) -> Iterator[float]:
        """When something is due, in boot seconds; 0 for what is due already."""
        if self.ladder is not None:
            yield self.ladder.next_at
        if self.exited:
            yield self.look_at
        if self.unrecorded:
            yield 0.0

    def as_end(self, node: str, *, draining: bool) -> RunEnd:
        words = self.process.in_words()
        return RunEnd(
            self.job_id,
            self.epoch,
            node,
            self.acknowledged,
            self.ended,
            words,
            containment(),
            error=self.error,
            draining=draining,
        )
