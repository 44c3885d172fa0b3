"""What the system says at one moment of a process that would not stop. Linux only; elsewhere nothing."""

from __future__ import annotations

import contextlib
import os
import platform
from itertools import islice

from runner.job import JsonDict
from runner.proc import ON_LINUX, PROC, descendants

_MOST_PROCESSES = 50

# Where a process can wait. All else is told by its number.
_SYSCALLS: dict[str, dict[int, str]] = {
    "x86_64": {
        **{0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 7: "poll", 9: "mmap", 16: "ioctl", 17: "pread64"},
        **{18: "pwrite64", 19: "readv", 20: "writev", 23: "select", 24: "sched_yield", 26: "msync", 34: "pause"},
        **{35: "nanosleep", 40: "sendfile", 42: "connect", 43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg"},
        **{47: "recvmsg", 58: "vfork", 61: "wait4", 65: "semop", 70: "msgrcv", 72: "fcntl", 73: "flock", 74: "fsync"},
        **{75: "fdatasync", 82: "rename", 87: "unlink", 128: "rt_sigtimedwait", 130: "rt_sigsuspend", 162: "sync"},
        **{202: "futex", 208: "io_getevents", 217: "getdents64", 219: "restart_syscall", 220: "semtimedop"},
        **{230: "clock_nanosleep", 232: "epoll_wait", 247: "waitid", 257: "openat", 262: "newfstatat", 270: "pselect6"},
        **{271: "ppoll", 275: "splice", 281: "epoll_pwait", 285: "fallocate", 288: "accept4", 316: "renameat2"},
        **{318: "getrandom", 426: "io_uring_enter", 441: "epoll_pwait2", 449: "futex_waitv"},
    },
    "aarch64": {
        **{4: "io_getevents", 22: "epoll_pwait", 25: "fcntl", 29: "ioctl", 32: "flock", 35: "unlinkat"},
        **{47: "fallocate", 56: "openat", 57: "close", 61: "getdents64", 63: "read", 64: "write", 65: "readv"},
        **{66: "writev", 67: "pread64", 68: "pwrite64", 71: "sendfile", 72: "pselect6", 73: "ppoll", 76: "splice"},
        **{79: "newfstatat", 81: "sync", 82: "fsync", 83: "fdatasync", 95: "waitid", 98: "futex", 101: "nanosleep"},
        **{115: "clock_nanosleep", 124: "sched_yield", 128: "restart_syscall", 133: "rt_sigsuspend"},
        **{137: "rt_sigtimedwait", 188: "msgrcv", 192: "semtimedop", 193: "semop", 202: "accept", 203: "connect"},
        **{206: "sendto", 207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 222: "mmap", 227: "msync", 242: "accept4"},
        **{260: "wait4", 276: "renameat2", 278: "getrandom", 426: "io_uring_enter", 441: "epoll_pwait2"},
        **{449: "futex_waitv"},
    },
}


def snapshot(pid: int, born_of: int | None = None) -> JsonDict:
    """What could be told of it, as it stands on the job. ``state``: the letter of ``/proc``: R, S, D, T, t.

    ``memoryMb``: what it has of its own beyond what it was born with from the fork server ``born_of``; in 10**6 bytes.
    That takes a fraction of the time that exact figures take, and a forced end waits for this.
    """
    if not ON_LINUX:
        return {}
    found: JsonDict = {}
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        found |= {
            "state": fields[0],
            "cpuSeconds": round(ticks / os.sysconf("SC_CLK_TCK"), 2),
            "threads": int(fields[17]),
        }
    if found.get("state") in ("S", "D") and (waits_in := _waits_in(pid)):
        found["waitsIn"] = waits_in
    own, inherited = _own_bytes(pid), _own_bytes(born_of) if born_of is not None else 0
    found["memoryMb"] = round(max(0, own - inherited) / 1e6, 1)
    with contextlib.suppress(OSError):
        if names := [_name(below) for below in islice(descendants(pid), _MOST_PROCESSES)]:
            found["processes"] = names
    return found


def _waits_in(pid: int) -> str | None:
    """The system call its main thread is in, and where in the kernel, as far as that is told."""
    words = _read(pid, "syscall").split()
    if not words or not words[0].isdigit():
        return None
    name = _SYSCALLS.get(platform.machine(), {}).get(int(words[0]), f"system call {words[0]}")
    channel = _read(pid, "wchan")
    return f"{name} ({channel})" if channel not in ("", "0") else name


def _own_bytes(pid: int) -> int:
    """What it has in memory and not from a file; pages it shares with those it was forked from count as well."""
    words = _read(pid, "statm").split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE") if words else 0


def _name(pid: int) -> str:
    return _read(pid, "comm").strip() or "?"


def _read(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""
