"""``Cgroup``: a directory of the cgroup v2 tree. Whoever is born below somebody in it is in it too, a daemon as well.

It holds nobody who may write to another directory's list: as root, or as whoever it was delegated to, a process can
move itself there. Linux only, and only below a directory that is delegated to us: one where we may make others. Each
method says with its answer that it could not; only ``pids`` raises, where a part of it cannot be told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_MEMBERSHIP = Path("/proc/self/cgroup")
_FREEZE_LOOKS = 100
_FREEZE_PAUSE = 0.0005
"""Together 50 ms: who waits in the kernel for what cannot be interrupted is not waited for longer."""
_UNLISTED = frozenset({errno.ENOENT, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP})
"""It is gone, not ours to read, or its processes are listed further up only."""


@dataclass(frozen=True)
class Cgroup:
    """One directory, made or not. ``path``: absolute."""

    path: str

    def make(self) -> bool:
        """Whether it is there now, and can be killed as a whole."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return (self._folder / "cgroup.kill").exists()

    def join(self) -> bool:
        """Moves the calling process into it; by the process itself, so that it can be no other one with its pid."""
        return self._write("cgroup.procs", "0")

    def pids(self) -> list[int]:
        """Of everyone in it and below; not of zombies. 0 would be somebody whom we cannot name.

        OSError where it cannot be told, as for lack of descriptors.
        """
        found: list[int] = []
        for folder in self._folders():
            try:
                found += [int(line) for line in Path(folder, "cgroup.procs").read_text().split()]
            except OSError as error:
                if error.errno not in _UNLISTED:
                    raise
        return [pid for pid in found if pid > 0]

    def is_populated(self) -> bool:
        """Whether anyone in it or below has not exited yet. Whoever cannot tell says yes."""
        try:
            return "populated 1" in self._events()
        except FileNotFoundError:
            return False
        except OSError as error:
            return error.errno != errno.ENODEV  # removed while it was being read

    def freeze(self) -> None:
        """Stops everyone, so that nobody is born any more; returns when all stand still, or after 50 ms."""
        if self._write("cgroup.freeze", "1"):
            pause = threading.Event()
            for _ in range(_FREEZE_LOOKS):
                with contextlib.suppress(OSError):
                    events = self._events()
                    if "frozen 1" in events or "populated 0" in events:
                        return
                pause.wait(_FREEZE_PAUSE)

    def thaw(self) -> None:
        self._write("cgroup.freeze", "0")

    def kill(self) -> bool:
        """SIGKILL to everyone in it and below, also to who is being born just now, and to the frozen."""
        return self._write("cgroup.kill", "1")

    def weigh(self, weight: str) -> bool:
        """How much of the processor it gets beside others, who have 100; False where that is not ours to say."""
        return self._write("cpu.weight", weight)

    def remove(self) -> bool:
        """Removes it with what was made below it; False while somebody is in it."""
        try:
            for folder in self._folders():
                with contextlib.suppress(FileNotFoundError):
                    Path(folder).rmdir()
        except OSError:
            return False
        return True

    def _folders(self) -> Iterator[str]:
        """It and all below, each after those below it."""
        found = [self.path]
        for folder in found:  # it grows meanwhile
            with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
                found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        return reversed(found)

    def _events(self) -> list[str]:
        return (self._folder / "cgroup.events").read_text().splitlines()

    @property
    def _folder(self) -> Path:
        return Path(self.path)

    def _write(self, name: str, value: str) -> bool:
        try:
            descriptor = os.open(f"{self.path}/{name}", os.O_WRONLY)
        except OSError:
            return False
        try:
            os.write(descriptor, value.encode())
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def own_cgroup() -> str | None:
    """Where this process is in the tree of version 2; None where no such tree is to be seen."""
    try:
        return find_own(_MEMBERSHIP.read_text(), _MOUNTS.read_text())
    except OSError:
        return None


def find_own(membership: str, mounts: str) -> str | None:
    """The directory told by the texts of ``/proc/self/cgroup`` and ``/proc/self/mountinfo``.

    Only a part of the tree may be mounted, as in a container: the mount then names what part.
    """
    own = next((line[3:] for line in membership.splitlines() if line.startswith("0::/")), None)
    if own is None or own.endswith(" (deleted)"):
        return None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split(" ", 1)[0] != "cgroup2":
            continue
        root, point = (_unescaped(field) for field in fields.split(" ")[3:5])
        inside = os.path.relpath(own, root)
        if not inside.startswith(".."):
            return os.path.normpath(f"{point}/{inside}")
    return None


def _unescaped(field: str) -> str:
    """Blanks, tabs, newlines and backslashes are octal numbers in the list of mounts."""
    for number in (0o40, 0o11, 0o12, 0o134):
        field = field.replace(f"\\{number:03o}", chr(number))
    return field
