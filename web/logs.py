"""The log: one line an event on stderr, JSON for machines and plain for a terminal.

Whatever comes from outside is escaped, so that nobody can write a line of their own or move a cursor.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from runner.joblog import CHATTY, LEVEL, LEVELS
from web.visible import visible

_LIMIT = 4000


class UnknownLevel(ValueError):
    def __init__(self) -> None:
        super().__init__(f"{LEVEL} must be one of: {', '.join(LEVELS)}")


def set_up_logs(stream: TextIO | None = None) -> None:
    """Sends all logging there, else to stderr as it is now. Raises UnknownLevel."""
    stream = stream or sys.stderr
    level = os.environ.get(LEVEL, "INFO").upper()
    if level not in LEVELS:
        raise UnknownLevel
    renderer = _plain_line if stream.isatty() else structlog.processors.JSONRenderer()
    output = logging.StreamHandler(stream)
    output.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                ExtraAdder(),
            ],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[output], force=True)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it writes a line for every request that waits
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _plain_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """``12:34:56 message name=value``; a trace keeps its lines, indented, each of them escaped."""
    moment = str(event.pop("timestamp", ""))[11:19]
    level = str(event.pop("level", "info"))
    trace = str(event.pop("exception", ""))
    said = visible(str(event.pop("event", "")), _LIMIT)
    mark = "" if level in ("info", "debug") else f"{level.upper()}: "
    more = "".join(f" {visible(name)}={visible(str(value), _LIMIT)}" for name, value in event.items())
    lines = "".join(f"\n    {visible(line)}" for line in trace.splitlines())
    return f"{moment} {mark}{said}{more}{lines}"
