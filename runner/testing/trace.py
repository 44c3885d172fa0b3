"""What a disturbed run leaves for the one who watches it: a file that outlives the process, line by line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from runner.job import JsonDict
from runner.testing.places import Kind, Place


class Trace:
    """Written in the run's process, each line at once; read when it has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> None:
        self._path.write_bytes(b"")

    def write(self, **line: Any) -> None:
        """One ``write`` a line: what a killed process has written is whole."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)

    def read(self) -> Traced:
        lines: list[JsonDict] = [json.loads(line) for line in self._path.read_bytes().splitlines()]
        return Traced(lines)


class Traced:
    """A run, as its trace tells it.

    ``ended``: what its process said last, None where it was killed. ``words``: how its process ended.
    """

    def __init__(self, lines: list[JsonDict]) -> None:
        self._lines = lines
        last: JsonDict = lines[-1] if lines else {}
        end: JsonDict = last.get("end", {})
        self.ended: str | None = end.get("ended")
        self.error: str | None = end.get("error")
        self.words = ""
        self.places = [_place(line) for line in lines if "kind" in line]
        self.passed = max((line["passed"] for line in lines if "passed" in line), default=0.0)
        self.disturbed = any(line.get("disturbed") for line in lines)
        self.stop_seen: str | None = self._last("stop_seen")
        self.after_stop: list[str] = self._last("after_stop") or []
        self.effects_at_commit: list[str] | None = self._last("effects")

    def _last(self, name: str) -> Any:
        return next((line[name] for line in reversed(self._lines) if name in line), None)


def _place(line: JsonDict) -> Place:
    return Place(Kind(line["kind"]), line["number"], line["batch"])
