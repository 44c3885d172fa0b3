"""What a job logs, and the libraries of its workflow: one line an event on its stderr, with time (UTC) and level.

The server puts the job's id before it, as before each line that a job prints. Set up once for all, before a workflow is
loaded; a workflow that sets up logging of its own has its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from datetime import UTC, datetime

from runner.visible import visible

LEVEL = "RUNNER_LOG_LEVEL"
"""The environment variable: in the server DEBUG shows every request, too."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
CHATTY = ("httpx", "httpcore", "alembic")
"""What they tell at less than WARNING is a line for each request, with addresses that are nobody's business."""

_LONGEST_MESSAGE, _LONGEST_TRACE = 3000, 3000
_LONGEST_NAME = 100
_is_set_up = False


class JobLines(logging.Handler):
    """Writes to the descriptor: whatever a workflow makes of ``sys.stderr``, a line is one write."""

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: what cannot be put together is said to be so."""
        try:
            line = line_of(record)
        except Exception as error:
            line = f"{_head(record)} a line that cannot be told ({type(error).__name__})"
        with contextlib.suppress(Exception):  # closed, or replaced by what cannot be flushed
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            _write(f"{line}\n".encode())


def line_of(record: logging.LogRecord) -> str:
    """``2026-01-31T12:34:56.789Z INFO name: message``; all that would end the line, or act, is escaped."""
    message = _one_line(record.getMessage(), _LONGEST_MESSAGE)
    traces = []
    if record.exc_info:
        traces.append(logging.Formatter().formatException(record.exc_info))
    if record.stack_info:
        traces.append(record.stack_info)
    return " ".join([_head(record), message, *(_one_line(trace[-_LONGEST_TRACE:], _LONGEST_TRACE) for trace in traces)])


def set_up_log() -> None:
    """Once in a process and those forked from it: what a workflow has set up meanwhile stays."""
    global _is_set_up
    if _is_set_up:
        return
    _is_set_up = True
    level = os.environ.get(LEVEL, "INFO").upper()
    logging.basicConfig(level=level if level in LEVELS else "INFO", handlers=[JobLines()], force=True)
    logging.captureWarnings(True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _head(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f"{moment}Z {_one_line(record.levelname, _LONGEST_NAME)} {_one_line(record.name, _LONGEST_NAME)}:"


def _one_line(text: str, limit: int) -> str:
    return visible(text.strip("\n").replace("\n", "\\n"), limit)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]
