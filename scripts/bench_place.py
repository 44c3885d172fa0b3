"""Where a run of the bench takes place, and how much of everything it does."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path


@dataclass
class Place:
    """``start``: the fork server of the bare limits. The counts say over how many a figure is taken."""

    folder: Path
    start: ForkServerContext
    jobs: int = 200
    idle: int = 40
    many: int = 200
    rows: int = 100_000
    trees: int = 3
    began: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        """What is being measured now, for whoever waits."""
        print(f"[{time.monotonic() - self.began:5.0f} s] {what}", file=sys.stderr, flush=True)

    def fresh(self, name: str) -> Path:
        """A folder of its own."""
        path = self.folder / f"{name}-{time.monotonic_ns()}"
        path.mkdir()
        return path
