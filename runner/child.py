"""What happens inside a job's process: its first lines, the job it is given, its end.

The server speaks JSON over the control pipe, never pickle. What goes back, one JSON object each: ``ready``, ``ack``
(the job is here), ``seen`` (the workflow has seen the flag), ``ended`` (completed, failed, stopped, settled or
superseded), ``killed`` (what the job had started and left behind).
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runner.abort import AbortFlag
from runner.clock import Clock
from runner.config import is_masked, lacks_secret, with_secrets
from runner.containment import Place
from runner.context import JobContext, Run
from runner.crashpoint import crashpoint
from runner.errors import RunSuperseded
from runner.failure import Failure
from runner.job import JsonDict
from runner.joblog import set_up_log
from runner.ledger import Ledger
from runner.live import LiveLine
from runner.opening import open_job_store
from runner.outlets import Outlets
from runner.priority import give_way
from runner.proc import descendants
from runner.settings import Settings
from runner.storable import fit
from runner.store import Store
from runner.tree import MARK, identify, send_signal
from runner.watch import end_with_server
from runner.workflow import JobConfig, JobStopped, Workflow, find_workflow, load_workflows

log = logging.getLogger(__name__)
_PASSES = 1000
_MOST_LOGGED = 1000
PRELOADED = "runner.preload"
_MADE_UP = json.dumps(
    {"run": vars(Run("", "", "run", 1, 1, None, {}, {})), "settings": Settings.model_construct(home=Path()).for_job()}
)


def main(control: Connection, flag: AbortFlag, shared: Any, place: Place, outlets: Outlets) -> None:
    """The process of one job. Waits for the job it is given; ends by itself when there will be none."""
    held = _first_lines(place, outlets)
    set_up_log()
    try:
        with contextlib.suppress(OSError):  # the server is gone, and nobody is left to be told
            _rehearse(control, flag, shared)
            _say(control, {"ready": PRELOADED in sys.modules, "held": held})
            handed = _receive(control)
            if handed is not None:
                os.environ[MARK] = job_id = handed["run"]["job_id"]
                work(handed, _ways(job_id, control, flag, shared), Clock())
    finally:
        killed = _end_own_tree()  # the server would do it; but it may have died, and that may be why we are here
        if killed:
            with contextlib.suppress(OSError):
                _say(control, {"killed": killed})


def _first_lines(place: Place, outlets: Outlets) -> str:
    """A session of its own, orphans of its own, no interrupt from the terminal, an end when the server ends.

    Returns how it is held.
    """
    os.setsid()
    held = place.enter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    outlets.take()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    end_with_server(_end_own_tree, meanwhile=_give_way)
    return held


def _give_way() -> bool:
    """Once it has a job; who stands by costs nothing, and is to begin at once."""
    return MARK in os.environ and give_way()


def _end_own_tree() -> list[int]:
    """Kills all below this process, again while somebody new appears; what escapes even so is the server's."""
    boot_id = Clock().boot_id
    killed: list[int] = []
    with contextlib.suppress(OSError):  # out of descriptors: who is below cannot be told from here
        for _ in range(_PASSES):
            living = [found for pid in descendants(os.getpid()) if (found := identify(pid, boot_id))]
            killed += [process.pid for process in living if send_signal(process, signal.SIGKILL, boot_id)]
            if not living:
                break
    return sorted(set(killed))


def _receive(control: Connection) -> JsonDict | None:
    try:
        handed: JsonDict = json.loads(control.recv_bytes())
    except (EOFError, OSError):
        return None
    return handed


def _say(control: Connection, message: JsonDict) -> None:
    control.send_bytes(json.dumps(message).encode())


@dataclass(frozen=True)
class Ways:
    """What a run has to do with outside itself. ``say``: to the server. ``show``: its progress between commits."""

    open_store: Callable[[Settings, Clock], Store]
    flag: AbortFlag
    say: Callable[[JsonDict], None]
    show: Callable[[JsonDict], None]
    chance: Callable[[], float] = random.random


def _ways(job_id: str, control: Connection, flag: AbortFlag, shared: Any) -> Ways:
    return Ways(open_job_store, flag, lambda message: _say(control, message), LiveLine(shared, job_id).show)


def work(handed: JsonDict, ways: Ways, clock: Clock) -> None:
    """One run, from its first word to its last."""
    run, settings = _read(handed)
    ways.say({"ack": clock.now_ms()})
    job = _job_of(run, settings, ways, clock)
    ways.say(_end_of(job, settings))


def _read(handed: JsonDict) -> tuple[Run, Settings]:
    return Run(**handed["run"]), Settings.from_job(handed["settings"])


def _job_of(run: Run, settings: Settings, ways: Ways, clock: Clock) -> JobContext:
    ledger = Ledger(ways.open_store(settings, clock), clock, run.job_id, run.epoch, run.lock_key)
    seen = _once(lambda: ways.say({"seen": clock.now_ms()}))
    return JobContext(run, ledger, ways.flag, settings, show=ways.show, on_seen=seen, chance=ways.chance)


def _rehearse(control: Connection, flag: AbortFlag, shared: Any) -> None:
    """Goes the way of a job up to its first line, with one that is made up, while nobody waits for it: each page that
    is written to for the first time since the fork costs time, and there are hundreds.
    """
    run, settings = _read(json.loads(_MADE_UP))
    job = _job_of(run, settings, _ways(run.job_id, control, flag, shared), Clock())
    flag.is_set()
    find_workflow(run.type)
    job.state.progress.as_json()
    JobConfig.from_wire(run.config)


def _end_of(job: JobContext, settings: Settings) -> JsonDict:
    """Runs the job and writes its end, except for a failure while it is being stopped: that is left to the server,
    which alone knows of a cancel that the store could not take yet.
    """
    try:
        return _come_to_an_end(job, settings) | {"progress": job.last_said.as_json()}
    finally:
        job.ledger.end()


def _come_to_an_end(job: JobContext, settings: Settings) -> JsonDict:
    is_run = job.run.mode != "settle"
    try:
        try:
            _perform(job, settings)
        finally:
            job.ledger.only_here()  # a fork's child comes by this frame, too, with an error or without
        return {"ended": _complete(job) if is_run else "settled"}
    except JobStopped:
        return {"ended": "stopped"}
    except RunSuperseded as error:
        log.warning("%s", error)
        return {"ended": "superseded"}
    except BaseException as error:  # whatever a workflow raises is the end of its job, SystemExit too
        return _fail(job, Failure(error), is_run=is_run)


def _fail(job: JobContext, failure: Failure, *, is_run: bool) -> JsonDict:
    words, told = failure.words, failure.as_json()
    log.error("Job %s failed: %s\n%s", job.id, words[:_MOST_LOGGED], failure.traceback[-_MOST_LOGGED:])
    if is_run and not job.is_stopping:
        job.ledger.fail(words, lambda: job.is_stopping, failure=told, progress=job.last_said)
    return {"ended": "failed"} | ({"error": words, "failure": told} if is_run else {})


def _complete(job: JobContext) -> str:
    crashpoint("before_complete")
    has_ended = job.ledger.complete(job.state)
    crashpoint("after_complete")
    return "completed" if has_ended else "stopped"


def _perform(job: JobContext, settings: Settings) -> None:
    workflow = _workflow(job.run.type, settings)
    config = _config_of(job, workflow)
    settle = workflow.settle
    if settle is not None:
        job.settle_with(lambda batch: settle(job, batch, config))
    if not job.run.is_first:
        job.settle_open()
    if job.run.mode == "settle":
        return
    returned = workflow.run(job, config)
    if job.was_stopped:
        raise JobStopped(job.id)  # the workflow has swallowed it: else a drained job would be completed half done
    job.close_batch()
    job.loops.check_nothing_lost()
    job.result.update(_checked(returned))


def _config_of(job: JobContext, workflow: Workflow) -> JobConfig:
    """The config with its secrets; ``job.options`` has its own from here on."""
    run = job.run
    secrets = job.patiently(job.ledger.secrets) if is_masked([run.config, run.options]) else {}
    if secrets:
        job.given_options = with_secrets(run.options, secrets.get("options", ()))
    config = workflow.config.from_wire(run.config, secrets.get("config", ()))
    if lacks_secret(config):
        raise LookupError("the secrets of this job were not kept by the version that started it; start it anew")
    return config


def _workflow(name: str, settings: Settings) -> Workflow:
    is_preloaded = find_workflow(name) is not None
    if not is_preloaded:
        load_workflows(settings.workflow_modules)
    workflow = find_workflow(name)
    if workflow is None:
        raise LookupError(f"no workflow is called {name!r}; is its module named in RUNNER_WORKFLOWS?")
    if is_preloaded:  # then a pool that the job makes loads it once, and not in each of its processes
        multiprocessing.set_forkserver_preload([getattr(workflow.run, "__module__", __name__)])
    return workflow


def _checked(returned: object) -> JsonDict:
    if returned is None:
        return {}
    if not isinstance(returned, dict):
        raise TypeError(f"a workflow returns a dict or None, not {type(returned).__name__}")
    fitted: JsonDict = fit("what the workflow returned", returned)
    return fitted


def _once(act: Callable[[], None]) -> Callable[[], None]:
    left = [act]

    def first() -> None:
        while left:
            with contextlib.suppress(OSError):
                left.pop()()

    return first
