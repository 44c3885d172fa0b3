"""``Running``: one run that this server watches, from its launch to the proof that its tree is empty."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from runner.clock import Clock
from runner.crashpoint import crashpoint
from runner.ending import RunEnd
from runner.job import Job, JsonDict, Phase, Progress, StopReason
from runner.lastwords import last_words
from runner.proc import name_of
from runner.process import JobProcess
from runner.stop import Act, Ladder, at_kill, begin, step

log = logging.getLogger(__name__)
_DYING_SECONDS, _LOOK_SECONDS = 0.002, 0.2
_AWAY_SECONDS = 1.0
_UNTOLD_SECONDS = 0.01
"""How long it may stay untold that the flag was seen. As a rule the run ends meanwhile: both are written at once."""
_MOST_RECEIPTS = 1000
_NEVER_LEFT_OUT = frozenset({"ack", "seen", "limit"})
AFTER_END_SECONDS = 5.0
"""How long a process may take to exit after its job has ended."""


@dataclass
class Running:
    """What is known of the run here; what must outlive the server is in the store. ``job``: as it was launched.

    ``exited``: its sentinel has fired, as all do when the fork server dies; ``exited_at``: when it was seen gone;
    ``proved``: and nobody of its tree lives.
    ``look_at``: when to ask next whether all of it is. ``unrecorded``: what the store has still to be told: (kind,
    time). ``limit``: which limit it went beyond, and in words. Times of the ladder and those that end in ``_at`` are
    boot seconds.
    """

    job: Job
    mode: str
    process: JobProcess
    clock: Clock
    acknowledged: bool = False
    ended: str | None = None
    error: str | None = None
    last: JsonDict = field(default_factory=dict)
    ladder: Ladder | None = None
    began_at: float | None = None
    limit: tuple[StopReason, str] | None = None
    post_mortem: JsonDict | None = None
    exited: bool = False
    exited_at: float | None = None
    proved: bool = False
    look_at: float = 0.0
    unrecorded: list[tuple[str, int]] = field(default_factory=list)
    signals: list[JsonDict] = field(default_factory=list)
    _examined: bool = False
    _is_condemned: bool = False
    _is_brief: bool = False
    _tell_after: float = 0.0
    _saw_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)  # the ladder is climbed by the loop, begun by anybody

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def epoch(self) -> int:
        return self.job.epoch

    def listen(self, *, to_the_last: bool = False) -> None:
        """Takes in what the process has said, of one that is gone all. The job can say it too, so it begins and ends
        but once: a second beginning would prolong its time.
        """
        for message in self.process.messages(to_the_last=to_the_last):
            if "ack" in message and not self.acknowledged:
                crashpoint("before_ack_recorded")
                self.acknowledged = True
                self.began_at = self.clock.boot_seconds()
                self.unrecorded.append(("ack", min(message["ack"], self.clock.now_ms())))
            elif "seen" in message:
                self._saw_at = self.clock.boot_seconds()
                self.unrecorded.append(("seen", min(message["seen"], self.clock.now_ms())))
            elif "ended" in message and self.ended is None:
                self.ended = message["ended"]
                self.last = last_words(message)
                self.error = self.last["error"]
                self._begin(AFTER_END_SECONDS, AFTER_END_SECONDS)
            elif "killed" in message:
                self._note(signal.SIGKILL, message["killed"])
        if self.process.fault is not None and not self._is_condemned:
            self._condemn(self.process.fault)

    def _condemn(self, fault: str) -> None:
        """What it says can be made nothing of, so nothing more is heard from it: it is ended, and its job has failed.
        A settling of which nothing is heard is ended as well, and begun anew.
        """
        self._is_condemned = True
        log.error("Job %s is ended by force: %s", self.job_id, fault)
        self.error = self.error or f"it was ended by force: {fault}"
        self.process.bell.ring()
        self._kill()

    def send_away(self) -> None:
        """The process does not get the job after all; it ends by itself, or is ended."""
        self.process.send_away()
        self._begin(_AWAY_SECONDS, _AWAY_SECONDS)

    def stop(self, grace: float, terminate: float, *, force: bool = False) -> None:
        """Raises the flag and begins the ladder; one that has begun goes on as it is, unless force is asked for.

        From any thread.
        """
        self.process.bell.ring()
        if force:
            self._kill()
        else:
            self._begin(grace, terminate)
        if self.phase is Phase.UNCONFIRMED:  # who will not die is known already; whoever asks now is told too
            self.unrecorded.append(("survivors", self.clock.now_ms()))

    def _begin(self, grace: float, terminate: float) -> None:
        with self._lock:
            self.ladder = self.ladder or begin(self.clock.boot_seconds(), grace, terminate)

    def _kill(self) -> None:
        with self._lock:
            if not self.is_being_killed:
                self.ladder = at_kill(self.clock.boot_seconds(), self.phase or Phase.REQUESTED)

    def exceed(self, reason: StopReason, words: str, grace: float, terminate: float, *, force: bool = False) -> None:
        """It went beyond a limit: it is stopped, and the store is told why as soon as it answers."""
        if self.limit is None:  # of two limits the first is the reason
            self.limit = (reason, words)
            self.unrecorded.append(("limit", self.clock.now_ms()))
        self.stop(grace, terminate, force=force)

    @property
    def timeout_at(self) -> float | None:
        """When its time is over, in boot seconds; None without a limit, before it has begun, and once it is stopped."""
        if self.job.timeout_ms is None or self.began_at is None or self.mode == "settle":
            return None
        if self.ladder is not None or self.exited_at is not None:
            return None
        return self.began_at + max(0, self.job.timeout_ms - self.job.ran_ms) / 1000

    def attend(self) -> None:
        """All that is due for it now, whatever the store says: half a message to be given up, the ladder."""
        if (overdue_at := self.process.overdue_at) is not None and overdue_at <= self.clock.boot_seconds():
            self.listen()
        self.climb()
        if self.is_being_killed and not self.exited:  # a fork server that is stopped tells of nobody's end
            self.exited = self.has_exited()
        if self.exited and not self.proved and self.look_at <= self.clock.boot_seconds():
            self.proved = self.is_gone()

    def climb(self) -> None:
        """Does what the ladder says is due now."""
        with self._lock:
            if self.ladder is None:
                return
            self.ladder, acts = step(self.ladder, self.clock.boot_seconds())
        for act in acts:
            self._do(act)

    def _do(self, act: Act) -> None:
        tree = self.process.tree(self.job_id)
        if act is Act.EXAMINE:
            self._examine()
        elif act is Act.TERMINATE:
            self._note(signal.SIGTERM, tree.signal_all(signal.SIGTERM))
            tree.signal_all(signal.SIGCONT)  # a stopped process sees SIGTERM only when it goes on
            crashpoint("after_terminate")
        else:
            if act is Act.GIVE_UP:  # said first: the kill may not even be possible
                self.unrecorded.append(("survivors", self.clock.now_ms()))
            self._examine()
            self._note(signal.SIGKILL, tree.kill())
            crashpoint("after_kill")

    def _examine(self) -> None:
        """Once: what it is doing, asked while it can still be asked."""
        if self._examined or self.ended is not None or not self.process.is_alive():
            return
        self._examined = True
        self.process.examine()
        self.unrecorded.append(("examined", self.clock.now_ms()))

    def _note(self, number: signal.Signals, pids: list[int]) -> None:
        known = {(entry["signal"], entry["pid"]) for entry in self.signals}
        at = self.clock.now_ms()
        room = max(0, _MOST_RECEIPTS - len(known))
        fresh = [pid for pid in pids if (number.name, pid) not in known][:room]
        self.signals += [{"signal": number.name, "pid": pid, "at": at} for pid in fresh]
        if fresh:
            self.unrecorded.append(("signals", at))

    @property
    def phase(self) -> Phase | None:
        return self.ladder.phase if self.ladder else None

    @property
    def was_forced(self) -> bool:
        """Whether its job was ended by signals, and not only what it left behind when it had ended by itself."""
        return bool(self.signals) and self.ended is None and self.mode != "settle"

    @property
    def is_being_killed(self) -> bool:
        return self.phase in (Phase.KILLING, Phase.UNCONFIRMED)

    def survivors(self) -> list[JsonDict]:
        """Who of its tree lives, as far as can be told now."""
        try:
            members = self.process.tree(self.job_id).members()
        except OSError:  # out of descriptors: to be told about must not depend on it
            return []
        return [{"pid": member.pid, "name": name_of(member.pid)} for member in members]

    def has_exited(self) -> bool:
        """Whether its process is gone; what that left behind is another question."""
        if self.exited_at is None and not self.process.is_alive():
            self.exited_at = self.clock.boot_seconds()
        return self.exited_at is not None

    def is_gone(self) -> bool:
        """Whether the whole tree is proved empty. What the process left behind is killed first."""
        now = self.clock.boot_seconds()
        if not self.has_exited():
            self.look_at = now + _LOOK_SECONDS  # the sentinel fired because the fork server died
            return False
        if self.process.tree(self.job_id).is_empty():
            return True
        self._kill()
        self.look_at = now + (_LOOK_SECONDS if self.phase is Phase.UNCONFIRMED else _DYING_SECONDS)
        return False

    def be_brief(self, seconds: float) -> None:
        """Something of it cannot be written: it is tried again so many seconds later, without what may be left out."""
        self._is_brief = True
        self.look_at = self._tell_after = self.clock.boot_seconds() + seconds

    def worth_telling(self, news: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return [one for one in news if one[0] in _NEVER_LEFT_OUT] if self._is_brief else news

    @property
    def tell_at(self) -> float:
        """When the store is to be told what is unrecorded, in boot seconds; 0 for at once."""
        only_seen = all(kind == "seen" for kind, _ in self.unrecorded)
        seen_at = self._saw_at + _UNTOLD_SECONDS if only_seen and self._saw_at is not None else 0.0
        return max(self._tell_after, seen_at)

    def next_at(self) -> Iterator[float]:
        """When something is due, in boot seconds; 0 for what is due already."""
        if self.ladder is not None:
            yield self.ladder.next_at
        if (timeout_at := self.timeout_at) is not None:
            yield timeout_at
        if self.exited:
            yield self.look_at
        if self.unrecorded:
            yield self.tell_at
        if (overdue_at := self.process.overdue_at) is not None:
            yield overdue_at

    def read_post_mortem(self) -> JsonDict | None:
        """All that is known by now. It takes a while: before a transaction, not in it."""
        if self._is_brief:
            return None
        self.post_mortem = self.process.post_mortem()
        return self.post_mortem

    def as_end(self, node: str, shown: JsonDict | None, *, draining: bool) -> RunEnd:
        """What it was, told once its tree is proved empty. ``shown``: its last live progress, if it told no other."""
        found = self.read_post_mortem()
        if found is None and self.acknowledged and self.ended is None and not self._is_brief:
            found = {"at": self.clock.now_ms(), "log": self.process.log_tail()}
        words = self.process.in_words()
        if found and "summary" in found and not self.signals:
            words += f" {found['summary']}"
        ended_at = self.clock.boot_seconds() if self.exited_at is None else self.exited_at
        ran = ended_at - self.began_at if self.began_at is not None else 0.0
        end = RunEnd(
            self.job_id, self.epoch, node, self.acknowledged, self.ended, words, self.process.containment, self.mode
        )
        said = self.last | ({"error": self.error} if self.error else {})
        if shown and said.get("progress") is None:
            said["progress"] = Progress.from_json(shown)
        limit = self.limit[1] if self.limit else None
        times: JsonDict = {"ran_ms": int(ran * 1000), "draining": draining, "limit": limit, "forced": self.was_forced}
        return replace(end, post_mortem=found, **times, **said)
