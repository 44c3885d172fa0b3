"""Names with a colon in them, as contacts may have: where a line of an export names one, it is all of that name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from runner.groups.export_header import clean, split_author

_VARIANTS = {0xFE0E: None, 0xFE0F: None}


class KnownNames:
    """Names of members, and those that a person has answered for. ``Ana: work`` is known, else it would be ``Ana``."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        found = {_spelled(name).strip(): name for name in names if ": " in clean(name)}
        self._names = sorted(found.items(), key=lambda pair: -len(pair[0]))

    def split(self, rest: str) -> tuple[str, bool]:
        """As ``split_author``; but the longest known name that the line begins with, followed by a colon and a blank
        or the end, is who wrote it.
        """
        if self._names:
            line = _spelled(rest)
            for spelled, name in self._names:
                if line.startswith(f"{spelled}:") and line[len(spelled) + 1 : len(spelled) + 2] in ("", " "):
                    return name, True
        return split_author(rest)


def _spelled(text: str) -> str:
    return unicodedata.normalize("NFC", clean(text).translate(_VARIANTS))
