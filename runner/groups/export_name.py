"""What a chat export calls its chat, beside the group's name here. A difference proves nothing: names change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from runner.groups.export import ExportReading
from runner.groups.group import Group

_FILE_NAME: Final = re.compile(
    r"(?:WhatsApp[ -]Chat (?:with|-|mit|met)|Chat de WhatsApp con|Conversa do WhatsApp com|Discussion WhatsApp avec"
    r"|Chat WhatsApp con) (?P<name>.+)",
    re.IGNORECASE,
)
_COPY: Final = re.compile(r" ?\(\d+\)$")
"""What a browser puts behind the name of a file that is there already."""


def name_in(reading: ExportReading, path: Path) -> str | None:
    """The likeliest name: whose voice tells the news on iPhones, else the file's name, else the latest told of."""
    names = _names(reading, path)
    return names[0] if names else None


def other_name(reading: ExportReading, path: Path, group: Group) -> str | None:
    """The name in the file, if the group has one here that the file never mentions; else None."""
    ours = _plain(group.name or "")
    names = [name for name in _names(reading, path) if _plain(name)]
    return names[0] if ours and names and ours not in map(_plain, names) else None


def _names(reading: ExportReading, path: Path) -> list[str]:
    found = _FILE_NAME.fullmatch(path.stem)
    of_file = [_COPY.sub("", found["name"]), found["name"]] if found else []
    return [*([reading.group.name] if reading.group else []), *of_file, *reading.chat_names]


def _plain(name: str) -> str:
    """Letters and digits alone: in file names the phone writes others in its own way."""
    return "".join(filter(str.isalnum, name.casefold()))
