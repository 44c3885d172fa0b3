"""Waiting for a condition, with a limit and a sentence: what every test does instead of sleeping."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

Found = TypeVar("Found")
_pause = threading.Event()


def wait_for(condition: Callable[[], Found | Literal[False] | None], sentence: str, seconds: float = 60.0) -> Found:
    """The first true value of ``condition``; fails with the sentence when none comes within a generous limit."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end, f"within {seconds:g} s it never came true that {sentence}"
        _pause.wait(0.002)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
