"""Workflows that turn upon what watches them: by what they say on their own control pipe, and otherwise."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable

from runner.context import JobContext
from runner.workflow import JobConfig, workflow


class HostileConfig(JobConfig):
    way: str


def control_pipes() -> list[int]:
    """The one socket of this process whose other end has no name: the way to the Manager has one."""
    sockets = {name for name in os.listdir("/proc/self/fd") if _link(name).startswith("socket:")}  # noqa: PTH208
    return [int(name) for name in sockets if _is_nameless(int(name))]


def _link(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    except OSError:
        return ""


def _is_nameless(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as found:
        return bool(found.getpeername() == "")


def _write(data: bytes) -> None:
    for pipe in control_pipes():
        os.write(pipe, data)


def frame(data: bytes) -> bytes:
    return struct.pack("!i", len(data)) + data


def _say(message: object) -> None:
    _write(frame(json.dumps(message).encode()))


def _for_ever(data: bytes) -> None:
    pipe = control_pipes()[0]
    while True:
        os.write(pipe, data)


def _from_many() -> None:
    """Several processes at once, each with words of its own, cut anywhere."""
    pipe = control_pipes()[0]
    for number in range(4):
        if os.fork() == 0:
            while True:
                os.write(pipe, frame(b'{"seen": 1}')[number:])


FAULTS: dict[str, tuple[Callable[[], None], str]] = {
    "half a length": (lambda: _write(b"\0\0"), "half a message"),
    "half a message": (lambda: _write(struct.pack("!i", 100) + b'{"ack"'), "half a message"),
    "600 MB": (lambda: _for_ever(struct.pack("!i", 600_000_000) + b"x" * 8000), "600000000 bytes"),
    "more than four bytes count": (lambda: _write(struct.pack("!iQ", -1, 1 << 62)), "bytes"),
    "less than nothing": (lambda: _write(struct.pack("!i", -5)), "-5 bytes"),
    "without end": (lambda: _for_ever(frame(b'{"seen": 1}') * 50), "more than 100 messages"),
    "one after the other": (lambda: _for_ever(frame(b'{"killed": [%b1]}' % (b"7, " * 5000))), "more than"),
    "from many": (_from_many, "what it sent on its control pipe"),
    "no JSON": (lambda: _write(frame(b"hello")), "no message of a job"),
    "nothing": (lambda: _write(frame(b"")), "no message of a job"),
    "no text": (lambda: _write(frame(b'{"ended": "\xff"}')), "no message of a job"),
    "half a character": (lambda: _write(frame(b'{"ended": "failed", "error": "\\ud800"}')), "no message of a job"),
    "a list": (lambda: _say(["ack", 1]), "no message of a job"),
    "a number": (lambda: _say(5), "no message of a job"),
    "an end that is none": (lambda: _say({"ended": {"a": 1}}), "no message of a job"),
    "an unknown end": (lambda: _say({"ended": "glorious"}), "no message of a job"),
    "an error that is a list": (lambda: _say({"ended": "failed", "error": ["x"]}), "no message of a job"),
    "a time that is none": (lambda: _say({"seen": "now"}), "no message of a job"),
    "a time without end": (lambda: _say({"seen": 10**30}), "no message of a job"),
    "no number": (lambda: _write(frame(b'{"seen": NaN}')), "no message of a job"),
    "a hole of lists": (lambda: _write(frame(b"[" * 50_000)), "no message of a job"),
    "nobody killed": (lambda: _say({"killed": "all"}), "no message of a job"),
    "killed who cannot be": (lambda: _say({"killed": [10**40]}), "no message of a job"),
}
"""Way -> (what is done, a part of the sentence that says why the job was ended)."""


def _wait() -> None:
    while True:
        threading.Event().wait(3600)


@workflow("hostile", config=HostileConfig, resumable=True)
def hostile(job: JobContext, config: HostileConfig) -> None:
    job.report(message="here")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if config.way in FAULTS:
        FAULTS[config.way][0]()
    else:
        _WAYS[config.way](job)
    _wait()


def _deaf_mute(_: JobContext) -> None:
    """Hears and says nothing any more."""
    os.closerange(3, 4096)


def _says_it_again(job: JobContext) -> None:
    """Each thing that a job says, twice, and what is not so; then it goes on in order."""
    said: list[object] = [{"ack": 1 << 52}, {"ack": 5}, {"seen": 1 << 52}, {"killed": [1, 2, 3]}, {"killed": []}]
    for message in said:
        _say(message)
    job.sleep(3600)


def _computes(_: JobContext) -> None:
    """With a process beside it, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
    while True:
        sum(range(10_000))


_WAYS: dict[str, Callable[[JobContext], None]] = {
    "deaf_mute": _deaf_mute,
    "says_it_again": _says_it_again,
    "computes": _computes,
}
