"""What the fork server loads once, so that every job's process has it for nothing.

A module that fails to import here, or ends the program, must not end the fork server: it does so again, aloud, where
the server loads it and in the job that needs it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import warnings

import runner.child  # noqa: F401 - what each process would otherwise load for itself
from runner.fork_server import PRELOAD_WORKFLOWS
from runner.joblog import set_up_log
from runner.loading import preload
from runner.opening import preload_gateway
from runner.settings import Settings
from runner.tree import become_subreaper
from runner.warm import warm_up

_POOL_BYTES, _STEP_BYTES, _LARGEST_BYTES = 16_384, 16, 512
_MOST_FILLING_BYTES = 250_000


def fill_gaps() -> list[bytes]:
    """What takes up the room that Python's allocator has free between all that is loaded, to be kept for ever.

    What a job makes lies together then. Else it lies on hundreds of pages of what is shared, and each of them is copied
    for it: half a megabyte a job. Ends, for each size, once what it gets lies in one row for a whole pool.
    """
    empty = sys.getsizeof(b"")
    filling: list[bytes] = []
    for size in range(_LARGEST_BYTES, empty, -_STEP_BYTES):
        in_a_row = last = 0
        for _ in range(_MOST_FILLING_BYTES // size):
            filling.append(bytes(size - empty))
            in_a_row = in_a_row + 1 if id(filling[-1]) == last + size else 0
            last = id(filling[-1])
            if in_a_row >= _POOL_BYTES // size - 2:
                break
    return filling


signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes: the server stops its jobs in order
signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, nobody's exit code would be known
signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a fork server that is started anew has those of a thread
become_subreaper()
set_up_log()
preload([name for name in os.environ.get(PRELOAD_WORKFLOWS, "").split(",") if name])
# An orphan that has come to it; last, since a workflow may have made errors of all warnings.
warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
with contextlib.suppress(Exception):
    warm_up()
with contextlib.suppress(Exception):
    preload_gateway(Settings().gateway)  # a job of the roster needs no HTTP; else each would load it for itself
gc.collect()
_filling = fill_gaps()
gc.freeze()  # else the first collection in each child copies every page it touches: 3 MB becomes 23
