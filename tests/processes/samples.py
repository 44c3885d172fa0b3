"""Workflows that the process tests run: well behaved ones, and all kinds of others."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from runner.batch import Batch
from runner.context import JobContext
from runner.job import Job, JsonDict
from runner.store import Transaction
from runner.stores.batches import BatchRows, LedgerItem
from runner.workflow import JobConfig, workflow


class CountConfig(JobConfig):
    total: int = Field(10, ge=0)
    batch_size: int = Field(2, ge=1)
    delay_ms: int = Field(0, ge=0)
    key: str = ""


@workflow("count", config=CountConfig, lock=lambda config: config.key or None, resumable=True)
def count(job: JobContext, config: CountConfig) -> None:
    """Counts; how far it came is its result."""
    for batch in job.batches(range(config.total), size=config.batch_size, delay_ms=config.delay_ms, total=config.total):
        job.result["counted"] = job.result.get("counted", 0) + len(batch.items)
        job.result["pid"] = os.getpid()


# -- dying at a point ------------------------------------------------------------------------------------------------


class TraceConfig(CountConfig):
    die_at: str = ""
    """``point:batch``; at most as often as ``deaths`` has lines."""
    deaths: str = ""


def _die(config: TraceConfig, point: str, number: int) -> None:
    """SIGKILL, the first time this point of this batch is passed."""
    if config.die_at == f"{point}:{number}":
        with Path(config.deaths).open("a+") as file:
            file.seek(0)
            if not file.read():
                file.write("died\n")
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)


def trace(job: JobContext, config: TraceConfig) -> JsonDict:
    """Keeps each item in its result, so that one done twice or left out is seen."""
    _die(config, "start", 0)
    done: list[int] = job.result.setdefault("done", [])
    for batch in job.batches(range(config.total), size=config.batch_size, delay_ms=config.delay_ms, total=config.total):
        _die(config, "before", batch.seq)
        done.extend(batch.items)
        job.result["attempts"] = job.attempt
        batch.commit()
        _die(config, "after", batch.seq)
    _die(config, "end", 0)
    return {"whole": True}


workflow("trace", config=TraceConfig, resumable=True)(trace)
workflow("frail", config=TraceConfig)(trace)


@workflow("crash", config=TraceConfig, resumable=True)
def crash(job: JobContext, config: TraceConfig) -> None:
    """Commits as many batches as ``total`` says, one each run; then never gets on again."""
    if job.attempt <= config.total:
        for _ in job.batches(range(config.total), size=1):
            job.commit()
            break
        job.close_batch()
    os._exit(7)


# -- all kinds of ends -----------------------------------------------------------------------------------------------


class Way(StrEnum):
    RAISE = "raise"
    ODD_WORDS = "odd_words"
    NO_WORDS = "no_words"
    QUIET_EXIT = "quiet_exit"
    EXIT = "exit"
    SEGFAULT = "segfault"
    ODD_SIGNAL = "odd_signal"
    NO_JSON = "no_json"
    NO_NUMBER = "no_number"
    NO_DICT = "no_dict"
    OUT_OF_MEMORY = "out_of_memory"
    STOPPED = "stopped"


class EndConfig(JobConfig):
    way: Way
    since: datetime | None = None
    tags: frozenset[str] = frozenset()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raise(error: BaseException) -> Any:
    raise error


_ENDS: dict[Way, Callable[[JobContext], Any]] = {
    Way.RAISE: lambda _: _raise(ValueError("it broke")),
    Way.ODD_WORDS: lambda _: _raise(ValueError("half \ud800 and nothing \0")),
    Way.NO_WORDS: lambda _: _raise(Unspeakable()),
    Way.QUIET_EXIT: lambda _: os._exit(0),
    Way.EXIT: lambda _: sys.exit(3),
    Way.SEGFAULT: lambda _: ctypes.string_at(0),
    Way.ODD_SIGNAL: lambda _: os.kill(os.getpid(), signal.SIGRTMIN + 1),
    Way.NO_JSON: lambda _: {"it": object()},
    Way.NO_NUMBER: lambda job: job.result.update(it=float("nan")),
    Way.NO_DICT: lambda _: ["it"],
    Way.OUT_OF_MEMORY: lambda _: bytearray(1 << 60),
    Way.STOPPED: lambda job: _raise(job.stopped()),
}


@workflow("end", config=EndConfig)
def end(job: JobContext, config: EndConfig) -> Any:
    assert config.since is None or isinstance(config.since, datetime)
    return _ENDS[config.way](job)


# -- those that do not heed ------------------------------------------------------------------------------------------


class HeedConfig(JobConfig):
    way: str
    lifeline: str = ""
    grandchildren: str = ""


def _hold(lifeline: str) -> None:
    """Opens the lifeline so that every process of the job has it, and says that it is there."""
    if lifeline:
        descriptor = os.open(lifeline, os.O_WRONLY)
        os.set_inheritable(descriptor, True)
        os.write(descriptor, b"1")


def _wait_for_ever() -> None:
    while True:
        threading.Event().wait(3600)


def _loop() -> None:
    number = 0
    while True:
        number += 1


def _match() -> None:
    """Holds the interpreter's lock in C for longer than anybody would wait."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def _ignore_terminate() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _wait_for_ever()


def _swallow(job: JobContext) -> None:
    while True:
        with contextlib.suppress(Exception):
            job.sleep(3600)


_UNHEEDING: dict[str, Callable[[], None]] = {
    "wait": _wait_for_ever,
    "loop": _loop,
    "match": _match,
    "ignore": _ignore_terminate,
}


@workflow("heed", config=HeedConfig, resumable=True)
def heed(job: JobContext, config: HeedConfig) -> None:
    _bear(config.grandchildren, config.lifeline)
    _hold(config.lifeline)
    job.report(message="here")
    if config.way == "sleep":
        job.sleep(3600)
    elif config.way == "swallow":
        _swallow(job)
    elif config.way == "swallow_all":
        try:
            job.sleep(3600)
        except BaseException:
            return
    elif config.way == "fail":
        try:
            job.sleep(3600)
        finally:
            raise ValueError("it broke while it was being stopped")
    elif config.way != "end":
        _UNHEEDING[config.way]()


def _bear(shape: str, lifeline: str) -> None:
    """Makes processes below the job's, of all kinds that have escaped from somebody somewhere."""
    if shape == "shell":
        subprocess.Popen(["setsid", "sh", "-c", f"echo 1 > {lifeline}; sleep 3600 & sleep 3600"], close_fds=False)
        _hold(lifeline)
    elif shape and os.fork() == 0:
        _SHAPES[shape](lifeline)
        os._exit(0)


def _stay(lifeline: str) -> None:
    _hold(lifeline)
    while True:
        signal.pause()


def _in_own_session(lifeline: str) -> None:
    os.setsid()
    _stay(lifeline)


def _as_daemon(lifeline: str) -> None:
    os.setsid()
    if os.fork() == 0:
        _stay(lifeline)


def _deaf(lifeline: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _stay(lifeline)


def _stopped(lifeline: str) -> None:
    _hold(lifeline)
    os.kill(os.getpid(), signal.SIGSTOP)
    _stay(lifeline)


def _hop(lifeline: str) -> None:
    """Forks its successor and exits, again and again: never there where one looks."""
    _hold(lifeline)
    pause = threading.Event()
    while os.fork() == 0:
        pause.wait(0.002)


def _many(lifeline: str) -> None:
    _hold(lifeline)
    for _ in range(100):
        if os.fork() == 0:
            _stay("")
    _stay("")


def _headless(lifeline: str) -> None:
    """Its first thread ends, another lives on: a zombie to look at, and no zombie."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_stay_in_thread, args=(lifeline,)).start()
    ctypes.CDLL(None).pthread_exit(None)


def _stay_in_thread(lifeline: str) -> None:
    _hold(lifeline)
    while True:
        threading.Event().wait(0.01)


_SHAPES: dict[str, Callable[[str], None]] = {
    "plain": _stay,
    "session": _in_own_session,
    "daemon": _as_daemon,
    "deaf": _deaf,
    "stopped": _stopped,
    "hop": _hop,
    "headless": _headless,
    "many": _many,
}


# -- acting on the outside -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    key: int


class ActConfig(JobConfig):
    """``hang_in``: in which batch's call to wait for ever; ``settle_failures``: how often settling fails first."""

    effects: str
    total: int = 6
    batch_size: int = 2
    delay_ms: int = 0
    call_seconds: float = 0.2
    hang_in: int = 0
    hang_before: bool = False
    settle_failures: int = 0
    key: str = ""


def settle(job: JobContext, batch: Batch[Any], config: ActConfig) -> None:
    """Whoever is in the log of effects was acted on; the others come to nothing."""
    tries = Path(config.effects + ".settles")
    with tries.open("a") as file:
        file.write(f"{job.run.epoch} {job.run.mode}\n")
    if len(tries.read_text().splitlines()) <= config.settle_failures:
        raise RuntimeError("settling failed")
    job.wait_until_over(batch)
    done = set(effects_in(config.effects))
    outcomes = [LedgerItem(item.key, "done" if item.key in done else "not_done", item.data) for item in batch.open]
    batch.commit(partial(_as_it_is, outcomes))


def result_of_acts(job: Job, items: Iterable[LedgerItem]) -> JsonDict:
    found: dict[str, list[str]] = {}
    for item in items:
        found.setdefault(item.outcome or "open", []).append(item.key)
    return found


@workflow(
    "act",
    config=ActConfig,
    lock=lambda config: config.key or None,
    resumable=True,
    settle=settle,
    result=result_of_acts,
)
def act(job: JobContext, config: ActConfig) -> None:
    """Acts on each person once: a line in a file is the effect."""

    def people(after: int | None, size: int) -> list[Person]:
        """As from a queue: who was dealt with is in it no longer."""
        with job.store.read() as tx:
            dealt_with = {int(item.key) for item in BatchRows(tx, job.id).items() if item.outcome}
        first = 0 if after is None else after + 1
        return [Person(number) for number in range(first, config.total) if number not in dealt_with][:size]

    for batch in job.batches(people, size=config.batch_size, delay_ms=config.delay_ms):
        items = [LedgerItem(str(person.key)) for person in batch.items]
        batch.intend(items, deadline_seconds=config.call_seconds)
        outcomes = batch.call(partial(_act_on, config, batch.seq, items))
        booked = [LedgerItem(key, said) for key, said in outcomes.items()]
        batch.commit(partial(_as_it_is, booked))


def _as_it_is(items: list[LedgerItem], _: Transaction) -> list[LedgerItem]:
    return items


def _act_on(config: ActConfig, seq: int, items: list[LedgerItem], _: Callable[[], float]) -> dict[str, str]:
    hangs = seq == config.hang_in and not Path(config.effects + ".hung").exists()
    if hangs:
        Path(config.effects + ".hung").touch()
    if hangs and config.hang_before:
        _wait_for_ever()
    with Path(config.effects).open("a") as file:
        file.writelines(f"{item.key}\n" for item in items)
    if hangs:
        _wait_for_ever()
    return {item.key: "done" for item in items}


def effects_in(path: str) -> list[str]:
    return Path(path).read_text().split() if Path(path).exists() else []


# -- using more than it may ------------------------------------------------------------------------------------------


class GrowConfig(JobConfig):
    """``mb``: how much each batch takes and keeps; ``bomb``: all of it at once, without a checkpoint."""

    batches: int = 1000
    mb: int = 8
    delay_ms: int = 20
    bomb: bool = False
    below: bool = False


def take(megabytes: int) -> bytearray:
    taken = bytearray(megabytes * 1_000_000)
    for page in range(0, len(taken), 4096):
        taken[page] = 1
    return taken


@workflow("grow", config=GrowConfig, resumable=True)
def grow(job: JobContext, config: GrowConfig) -> None:
    """Keeps what each batch takes; a run that goes on begins with empty hands."""
    kept = []
    if config.below and os.fork() == 0:
        kept.append(take(config.mb))
        signal.pause()
    if config.bomb:
        kept += [take(config.mb) for _ in range(config.batches)]
    for batch in job.batches(range(config.batches), size=1, delay_ms=config.delay_ms, total=config.batches):
        if not config.below:
            kept.append(take(config.mb))
        job.result["done"] = [*job.result.get("done", []), *batch.items]
