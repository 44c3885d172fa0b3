"""What the fork server loads once, so that every job's process has it for nothing.

A module that fails to import here must not end the fork server: it fails again, aloud, in the job that needs it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import warnings

import runner.child  # noqa: F401 - what each process would otherwise load for itself
from runner.fork_server import PRELOAD_WORKFLOWS
from runner.tree import become_subreaper
from runner.warm import warm_up
from runner.workflow import load_workflows

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a fork server that is started anew has those of a thread
become_subreaper()
warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")  # an orphan that has come to it
with contextlib.suppress(Exception):
    load_workflows([name for name in os.environ.get(PRELOAD_WORKFLOWS, "").split(",") if name])
with contextlib.suppress(Exception):
    warm_up()
gc.collect()
gc.freeze()  # else the first collection in each child copies every page it touches: 3 MB becomes 23
