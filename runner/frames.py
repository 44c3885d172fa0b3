"""Whose code a file is: the workflow's, or that of the runner and the libraries around it."""

from __future__ import annotations

import sysconfig
from pathlib import Path

RUNNER = Path(__file__).parent
CHILD = str(RUNNER / "child.py")
_WORKFLOWS = tuple(f"{RUNNER / folder}/" for folder in ("workflows", "demo"))
_LIBRARIES = tuple(f"{path}/" for path in sorted({*sysconfig.get_paths().values(), str(RUNNER)}))


def is_runners(file: str) -> bool:
    """Any file of the runner, its own workflows too."""
    return file.startswith(f"{RUNNER}/")


def home_of(file: str) -> str | None:
    """The folder of a workflow's file, with all below it the user's, even among the libraries; None where it is not."""
    folder = f"{Path(file).parent}/"
    return None if folder in _LIBRARIES or is_runners(file) else folder


def is_users(file: str, home: str | None) -> bool:
    """``home``: as ``home_of`` has it."""
    if file.startswith("<"):
        return False
    inside = file.startswith(_WORKFLOWS) or (home is not None and file.startswith(home))
    return inside or not file.startswith(_LIBRARIES)
