"""How the processes of jobs are held together on this machine: three rungs, of which the best one to be had is taken.

``cgroup``: a directory of cgroup v2 for each process, below one for this server. ``subreaper``: what a job leaves
behind comes to the fork server. ``psutil``: by parentage alone; whoever's parent has ended escapes, such as a daemon
that forked twice and a chain of processes each of which starts the next.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from runner.cgroup import Cgroup, own_cgroup
from runner.clock import Clock
from runner.job import ProcessIdentity
from runner.priority import CGROUP_WEIGHT
from runner.tree import become_subreaper, containment, identify, is_alive, name_of_database, send_signal

log = logging.getLogger(__name__)
_NAME = re.compile(r"cancellable-jobs-(?P<database>[0-9a-f]{16})-(?P<pid>\d+)-(?P<ticks>\d+)")
_KILL_SECONDS, _LEAVE_SECONDS = 2.0, 1.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where a process belongs; goes to it at its birth."""

    rung: str
    cgroup: Cgroup | None = None

    def enter(self) -> str:
        """The process's own first act; returns the rung it really has."""
        if self.rung == "psutil":
            return self.rung
        rung = "subreaper" if become_subreaper() else "psutil"
        return "cgroup" if self.cgroup is not None and self.cgroup.join() else rung


class Containment:
    """What this server does to hold its jobs. ``wanted``: auto, cgroup, subreaper or psutil.

    ``open`` and ``close`` once each; the others from any thread.
    """

    def __init__(self, wanted: str, database: str, clock: Clock) -> None:
        self._wanted, self._database, self._clock = wanted, name_of_database(database), clock
        self._home: Cgroup | None = None
        self._left: set[Cgroup] = set()
        self._lock = threading.Lock()
        self.rung = "psutil" if wanted == "psutil" else containment()

    def open(self) -> None:
        """Removes what dead servers left, and makes the directory of this one."""
        parent = own_cgroup() if self._wanted in ("auto", "cgroup") else None
        if parent is not None:
            self._remove_dead(parent)
            me = identify(os.getpid(), self._clock.boot_id)
            name = f"cancellable-jobs-{self._database}-{os.getpid()}-{me.start_ticks if me else 0}"
            home = Cgroup(f"{parent}/{name}")
            if home.make():
                self._home, self.rung = home, "cgroup"
                home.weigh(CGROUP_WEIGHT)
            else:
                home.remove()
        if self._wanted in ("auto", "cgroup") and self._home is None:
            level = logging.INFO if self._wanted == "auto" else logging.WARNING
            log.log(level, "No cgroup is delegated to this server; jobs are held together by: %s", self.rung)

    def place(self) -> Place:
        """For the next process. It has a directory of its own, if that can be made."""
        if self._home is None:
            return Place(self.rung)
        self._remove_left()
        cgroup = Cgroup(f"{self._home.path}/{next(_numbers)}")
        return Place("cgroup", cgroup) if cgroup.make() else Place(containment())

    def leave(self, place: Place) -> None:
        """The process is gone; its directory goes now, or as soon as the last one in it is gone."""
        if place.cgroup is not None and not place.cgroup.remove():
            with self._lock:
                self._left.add(place.cgroup)

    def close(self) -> None:
        """Removes the directory of this server. Who was told to end has a second for it; what cannot be removed even
        then, the next start removes.
        """
        if self._home is not None:
            self._wait_until_empty(self._home, _LEAVE_SECONDS)
            self._home.remove()

    def _remove_left(self) -> None:
        with self._lock:
            self._left = {cgroup for cgroup in self._left if not cgroup.remove()}

    def _remove_dead(self, parent: str) -> None:
        """Of dead servers of this database everyone is killed; of others, what is empty is removed."""
        for folder in Path(parent).glob("cancellable-jobs-*"):
            named = _NAME.fullmatch(folder.name)
            if named is None or self._lives(int(named["pid"]), int(named["ticks"])):
                continue
            cgroup = Cgroup(str(folder))
            if named["database"] == self._database and cgroup.is_populated():
                cgroup.kill()
                for process in filter(None, (identify(pid, self._clock.boot_id) for pid in cgroup.pids())):
                    send_signal(process, signal.SIGKILL, self._clock.boot_id)  # whom the kernel has passed over
                self._wait_until_empty(cgroup, _KILL_SECONDS)
            if not cgroup.remove():
                log.info("The cgroup of a dead server is left: %s", folder)

    def _lives(self, pid: int, ticks: int) -> bool:
        return is_alive(ProcessIdentity(pid, ticks, self._clock.boot_id), self._clock.boot_id)

    def _wait_until_empty(self, cgroup: Cgroup, seconds: float) -> None:
        deadline = self._clock.boot_seconds() + seconds
        pause = threading.Event()
        while cgroup.is_populated() and self._clock.boot_seconds() < deadline:
            pause.wait(0.005)
