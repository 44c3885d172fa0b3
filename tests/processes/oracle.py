"""Who is left, told without the runner's own walk of the tree; and waiting for what must come true."""

from __future__ import annotations

import os
import secrets
import select
import threading
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

MARK = "RUNNER_TEST"
TOKEN = secrets.token_hex(8)

_pause = threading.Event()


def names_of(pids: set[int]) -> str:
    """Who they are, for a failed test."""
    found = []
    for pid in pids:
        try:
            stat = (Path("/proc") / str(pid) / "stat").read_text()
            command = (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")[:150]
        except OSError:
            continue
        found.append(f"{stat[:60]} {command}")
    return "\n".join(found)


def marked(token: str = TOKEN) -> set[int]:
    """All living processes of this test session but its own fork server and tracker, wherever they were moved to.

    A fork server is started with the mark in its environment, and what it forks keeps that.
    """
    ours = {getattr(forkserver._forkserver, "_forkserver_pid", None)}
    ours.add(getattr(resource_tracker._resource_tracker, "_pid", None))
    found = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    return {pid for pid in found - ours - {os.getpid()} if _carries(pid, f"{MARK}={token}") and is_living(pid)}


def is_living(pid: int) -> bool:
    """A zombie is not."""
    try:
        status = (Path("/proc") / str(pid) / "stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZXx"


def zombies() -> list[int]:
    """Children of this process and of its fork server that nobody has collected."""
    parents = {os.getpid(), getattr(forkserver._forkserver, "_forkserver_pid", None)}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] == "Z" and int(fields[1]) in parents:
                found.append(int(entry.name))
    return found


class Lifeline:
    """A named pipe that a job opens, and all its processes inherit: its end of file says that nobody is left."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_held(self) -> bool:
        """Somebody has said a word on it."""
        poller = select.poll()
        poller.register(self._end, select.POLLIN)
        return any(event & select.POLLIN for _, event in poller.poll(0))

    def words(self, count: int) -> bool:
        """So many words were said; a process says one when it has begun."""
        self._said = getattr(self, "_said", b"") + (os.read(self._end, 65536) if self.is_held() else b"")
        return len(self._said) >= count

    def is_let_go(self) -> bool:
        """Nobody holds it any more. Only to be asked once it was held."""
        try:
            while os.read(self._end, 65536):
                pass
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._end)


def _carries(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
