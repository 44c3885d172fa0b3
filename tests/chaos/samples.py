"""Jobs with all kinds of processes below them, and one that minds its own business beside them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from runner.context import JobContext
from runner.workflow import JobConfig, workflow

_FANS = 17
_FAN = 17  # each of the fans has so many below it: 17 + 17 * 17 are more than 300


class TreeConfig(JobConfig):
    """``lifeline``: a named pipe that every process of the job holds; each says a word on it once it is in place."""

    shape: str
    lifeline: str


class BesideConfig(JobConfig):
    """``until``: a file; when it is there the job is done."""

    lifeline: str
    until: str


def _hold(lifeline: str) -> int:
    """Opened once; whoever is forked holds it too."""
    held = os.open(lifeline, os.O_WRONLY)
    os.set_inheritable(held, True)
    return held


def _stay(held: int) -> None:
    os.write(held, b"!")
    while True:
        signal.pause()


def _in_own_session(held: int) -> None:
    os.setsid()
    _stay(held)


def _as_daemon(held: int) -> None:
    """Forked twice, in a session of its own, its parent gone."""
    os.setsid()
    if os.fork() == 0:
        _stay(held)


def _deaf(held: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _stay(held)


def _stopped(held: int) -> None:
    os.write(held, b"!")
    os.kill(os.getpid(), signal.SIGSTOP)
    _stay(held)


def _with_zombie(held: int) -> None:
    """Its child is dead, and nobody collects it."""
    if os.fork() == 0:
        os._exit(0)
    _stay(held)


def _hop(held: int) -> None:
    """Forks its successor and exits, again and again: never there where one looks."""
    os.write(held, b"!")
    pause = threading.Event()
    while os.fork() == 0:
        pause.wait(0.002)


def _bomb(held: int) -> None:
    """Many that make more: for ``bomb`` while they are being killed, for ``crowd`` all are there before."""
    for _ in range(_FANS):
        if os.fork() == 0:
            for _ in range(_FAN):
                if os.fork() == 0:
                    _stay(held)
            _stay(held)
    _stay(held)


def _shell(held: int) -> None:
    """Another program, with programs of its own, and one of them in a session of its own."""
    script = "echo >&0; sleep 3600 & setsid sleep 3600 & wait"
    subprocess.Popen(["sh", "-c", script], stdin=held)
    while True:
        signal.pause()


SHAPES: dict[str, tuple[Callable[[int], None], int]] = {
    "plain": (_stay, 1),
    "setsid": (_in_own_session, 1),
    "daemon": (_as_daemon, 1),
    "deaf": (_deaf, 1),
    "stopped": (_stopped, 1),
    "zombie": (_with_zombie, 1),
    "hop": (_hop, 1),
    "bomb": (_bomb, 40),
    "crowd": (_bomb, _FANS * (_FAN + 1)),
    "shell": (_shell, 1),
}
"""What is below the job, and after how many words, with the job's own, it is cancelled."""


@workflow("tree", config=TreeConfig)
def tree(_: JobContext, config: TreeConfig) -> None:
    held = _hold(config.lifeline)
    shape, _words = SHAPES[config.shape]
    if os.fork() == 0:
        with contextlib.suppress(BaseException):
            shape(held)
        os._exit(0)
    _stay(held)


@workflow("beside", config=BesideConfig)
def beside(job: JobContext, config: BesideConfig) -> None:
    """Has a process below it and a daemon, and ends in peace."""
    held = _hold(config.lifeline)
    for shape in (_stay, _as_daemon):
        if os.fork() == 0:
            shape(held)
            os._exit(0)
    os.write(held, b"!")
    while not Path(config.until).exists():
        job.sleep(0.05)
