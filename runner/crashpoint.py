"""Crash points: named places where a test may let a process die, with SIGKILL, to see what of it is left.

Armed by ``RUNNER_CRASHPOINT=name`` (``name:3``: the third time one process passes it) and by
``RUNNER_CRASHPOINT_LOG``, a file that does not exist yet. Whoever makes that file dies, so each arming kills once,
and a server that is started again lives. Read once, when this module is loaded: the server and its fork server have
the same environment. Without the variable nothing is ever done here.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path

ARMED, LOG = "RUNNER_CRASHPOINT", "RUNNER_CRASHPOINT_LOG"


class Side(StrEnum):
    """Who dies: the server, or the process of a job."""

    SERVER = "server"
    CHILD = "child"


_IN_SERVER = {
    "before_start_commit": "A start, with its claim where there is room, is written and not committed.",
    "after_start_commit": "A start is on disk; neither has it been launched nor its client been told.",
    "before_claim_commit": "A waiting job's claim is written and not committed.",
    "after_claim_commit": "A waiting job's claim is on disk and not launched.",
    "before_bind": "A claimed job has a process here, and the store has not been asked again.",
    "after_bind": "The store says which process has the run, and that has not been handed its job.",
    "after_hand_over": "The process has been handed its job.",
    "before_ack_recorded": "The process was heard to have begun; nothing is written of it.",
    "before_record_commit": "What a run has said, or what was done to it, is written and not committed.",
    "after_record_commit": "What a run has said, or what was done to it, is on disk.",
    "before_cancel_commit": "A cancel is written and not committed.",
    "after_cancel_commit": "A cancel is on disk, and the flag is not raised.",
    "after_flag": "A cancel's flag is raised, and its client has not been told.",
    "after_journal_add": "A cancel that the store could not take is in the journal, and the flag is not raised.",
    "after_journal_recorded": "A journalled cancel is in the store; the journal still has it.",
    "after_terminate": "SIGTERM was sent to a tree, and no receipt of it is written.",
    "after_kill": "SIGKILL was sent to a tree, and nothing is proved.",
    "before_conclude_commit": "What follows from a run's end is written and not committed.",
    "after_conclude_commit": "What follows from a run's end is on disk; neither slot nor next run know of it.",
    "before_settle_launch": "The claim of a settling is on disk, and it is not launched.",
    "before_pause_commit": "A pause is written and not committed.",
    "after_pause_commit": "A pause is on disk, and the flag is not raised.",
    "before_paused_commit": "The run has ended; that it is paused is written and not committed.",
    "before_resume_commit": "A resume is written and not committed.",
    "after_resume_commit": "A resume is on disk, and its client has not been told.",
    "before_retry_commit": "A retry is written and not committed.",
    "before_reap_commit": "Jobs are put into the archive, and that is not committed.",
    "after_reap_commit": "Jobs have gone to the archive.",
    "after_drain_begun": "No run begins any more; no job has been told.",
    "after_drain_commit": "That a job stops for a drain is on disk, and its flag is not raised.",
    "before_sweep": "A new server knows which jobs the dead one left; their processes are not ended yet.",
    "after_sweep": "What the dead server left is ended, and no job of it taken up.",
    "after_take_up": "One of the dead server's jobs is taken up, and others are not.",
}

_IN_CHILD = {
    "before_intent": "A batch was drawn and not written down.",
    "after_intent": "A batch is written down, and its call not stamped.",
    "after_call_stamped": "A call is stamped and has not gone out.",
    "after_call": "A call has come back, and nothing is written of it.",
    "before_batch_commit": "What became of a batch is written and not committed.",
    "after_batch_commit": "What became of a batch is on disk.",
    "before_complete": "All batches are done, and the end of the job is not written.",
    "after_complete": "The end of the job is on disk; the server has not been told.",
    "before_settle": "A batch was left open, and nothing has been asked about it.",
    "before_settle_commit": "What became of a batch left open is written and not committed.",
    "after_settle": "What became of a batch left open is on disk.",
}

POINTS: dict[str, Side] = dict.fromkeys(_IN_SERVER, Side.SERVER) | dict.fromkeys(_IN_CHILD, Side.CHILD)
"""Every crash point, and who dies there."""


def meaning_of(name: str) -> str:
    """What has happened where the point lies, and what has not."""
    return _IN_SERVER.get(name) or _IN_CHILD[name]


class UnknownPoint(ValueError):
    """No crash point is called so."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no crash point is called {name!r}")


class Armed:
    """The one point at which this process dies. ``left``: how often it is still passed, that time included."""

    def __init__(self, wanted: str, log: str) -> None:
        self.name, _, times = wanted.partition(":")
        self.left = int(times or 1)
        self._log = Path(log)
        _check(self.name)

    def passed(self, name: str) -> None:
        _check(name)
        if name != self.name:
            return
        self.left -= 1
        if self.left == 0 and self._is_first():
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_first(self) -> bool:
        """Whether nobody has died of this arming before; says so in the log, on disk."""
        try:
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        os.write(log, f"{self.name} {os.getpid()}\n".encode())
        os.fsync(log)
        os.close(log)
        return True


def _check(name: str) -> None:
    if name not in POINTS:
        raise UnknownPoint(name)


def _read_environment() -> Armed | None:
    wanted = os.environ.get(ARMED)
    return Armed(wanted, os.environ[LOG]) if wanted else None


_armed = _read_environment()


def crashpoint(name: str) -> None:
    """Here a process dies where a test has armed this point; else nothing."""
    if _armed is not None:
        _armed.passed(name)
