"""How much memory a job's tree uses of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

_PROC = Path("/proc")
_ON_LINUX = sys.platform.startswith("linux")
_COUNTED = frozenset({"Pss_Anon:", "Pss_Shmem:", "SwapPss:"})
_KB_A_MB = 1000.0

SOFT_SHARE = 0.8
"""From this share of its limit on a job is asked to stop at its next checkpoint."""


def memory_mb(pids: Iterable[int]) -> float:
    """MB (10**6 bytes) of all these processes: what they wrote, share and have swapped out, files not counted.

    Pages shared with others count by their share, so that a job's own start counts with a few MB and what its
    processes share among them counts once. Where the system cannot tell, own pages are counted.
    """
    return sum(_of(pid) for pid in pids)


def _of(pid: int) -> float:
    if not _ON_LINUX:
        with contextlib.suppress(psutil.Error):
            return float(psutil.Process(pid).memory_full_info().uss) / 1e6
        return 0.0
    kilobytes = 0
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(" ")
            if name in _COUNTED:
                kilobytes += int(rest.split()[0])
    return kilobytes * 1.024 / _KB_A_MB
