"""The shapes of process trees that have escaped from somebody somewhere, each below a job that heeds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

from runner.context import JobContext
from runner.workflow import JobConfig, workflow
from scripts.bench_workflows import hold

BOMB = 300


class TreeConfig(JobConfig):
    """``shape``: one of ``SHAPES``; ``lifeline``: the pipe that every process of the tree inherits."""

    shape: str
    lifeline: str


@workflow("bench_tree", config=TreeConfig)
def tree(_job: JobContext, config: TreeConfig) -> None:
    """Makes its tree, holds the lifeline itself too, and waits for ever."""
    hold(config.lifeline)
    SHAPES[config.shape][0](config.lifeline)
    _stay()


def _stay() -> None:
    while True:
        signal.pause()


def _child(act: Callable[[str], None]) -> Callable[[str], None]:
    """``act`` in a child, which holds the lifeline and then stays."""

    def bear(lifeline: str) -> None:
        if os.fork() == 0:
            hold(lifeline)
            act(lifeline)
            _stay()

    return bear


def _plain(lifeline: str) -> None:
    """Three levels below the job."""
    for _ in range(3):
        if os.fork() != 0:
            return
        hold(lifeline)
    _stay()


def _daemon(lifeline: str) -> None:
    """Twice forked: its parent is gone, its session is its own."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            hold(lifeline)
            _stay()
        os._exit(0)
    os.waitpid(child, 0)


def _deaf(_: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stop(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _zombie(lifeline: str) -> None:
    """A child that has exited, and that nobody collects."""
    if os.fork() == 0:
        hold(lifeline)
        os._exit(0)


def _hop(lifeline: str) -> None:
    """A process that forks its successor and exits, every 2 ms: never there where one looks."""
    if os.fork() == 0:
        hold(lifeline)
        while os.fork() == 0:
            time.sleep(0.002)
        os._exit(0)


def _bomb(lifeline: str) -> None:
    """Ten children that fork 29 each, all at the same time as they are looked for."""
    for _ in range(10):
        if os.fork() == 0:
            hold(lifeline)
            for _ in range(BOMB // 10 - 1):
                if os.fork() == 0:
                    _stay()
                time.sleep(0.001)
            _stay()


def _shell(lifeline: str) -> None:
    """Programs of others, in a session of their own; they know the pipe only by inheritance."""
    script = f"echo $$ > {lifeline}; sleep 3600 & sleep 3600"
    subprocess.Popen(["setsid", "sh", "-c", script], close_fds=False)


SHAPES: dict[str, tuple[Callable[[str], None], int]] = {
    "plain": (_plain, 4),
    "setsid": (_child(lambda _: os.setsid()), 2),
    "daemon": (_daemon, 2),
    "ignores SIGTERM": (_child(_deaf), 2),
    "stopped": (_child(_stop), 2),
    "zombie": (_zombie, 2),
    "hop chain": (_hop, 2),
    "fork bomb of 300": (_bomb, 11),
    "Popen of a shell": (_shell, 2),
}
"""Each with how many processes say their pid before the tree stands."""
