"""What can be kept: text without half characters, and values that are JSON, within bounds. Asked at each commit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MOST_BYTES = 1_000_000
"""A result, a position and what is kept of one item have each at most so many bytes, as JSON."""

MOST_DEPTH = 100
"""So many lists and dicts stand in each other at most: whoever reads them may have a deep stack already."""

_MOST_DIGITS = 300
_MANY_DIGITS = re.compile(f"[0-9]{{{_MOST_DIGITS}}}")
_MAY_BE_NUL = "\\u0000"


class NotStorable(ValueError):
    """``what`` of a job cannot be kept, and ``why``; ``said``: by whatever found it."""

    def __init__(self, what: str, why: str, *, said: str = "") -> None:
        super().__init__(f"{said}: {what} cannot be kept, {why}" if said else f"{what} cannot be kept: {why}")
        self.what, self.why = what, why


def storable(text: str) -> str:
    """Fit for any database: half a character or a NUL in what comes from outside must not cost the write."""
    return text.replace("\0", "").encode(errors="replace").decode()


def fit(what: str, value: Any, *, exact: bool = False, most: int = MOST_BYTES) -> Any:
    """The value as it can be kept and read by anybody: itself, or a copy without half characters and NUL.

    exact: those stay, for what nobody reads but its own job. Raises NotStorable, whatever the value does.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        if exact:
            size, is_clean = len(text.encode(errors="surrogatepass")), True
        else:
            size, is_clean = _measured(text)
        if size > most:
            raise NotStorable(what, f"it has {size:,} bytes, and at most {most:,} are kept. {_ADVICE}")
        _check_bounds(what, value, text)
        return value if is_clean else _clean(json.loads(text))
    except NotStorable:
        raise
    except RecursionError:
        raise NotStorable(what, _too_deep()) from None
    except BaseException as error:  # of a class of the workflow's own: whatever it does when it is looked at
        raise NotStorable(what, "it is no JSON", said=_in_short(error)) from None


_ADVICE = "Keep it elsewhere, in a file or a table, and only its name here"


def _measured(text: str) -> tuple[int, bool]:
    """How many bytes, and whether all of it can be read anywhere."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return len(text.encode(errors="replace")), False
    return size, _MAY_BE_NUL not in text


def _check_bounds(what: str, value: Any, text: str) -> None:
    if text.count("[") + text.count("{") <= MOST_DEPTH and not _MANY_DIGITS.search(text):
        return
    level, depth = [value], 0
    while level:
        if depth > MOST_DEPTH:
            raise NotStorable(what, _too_deep())
        below: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                below += one.values()
            elif isinstance(one, (list, tuple)):
                below += one
            elif isinstance(one, int) and abs(one) >= 10**_MOST_DIGITS:
                raise NotStorable(what, f"it has a number of more than {_MOST_DIGITS} digits")
        level, depth = below, depth + 1


def _too_deep() -> str:
    return f"more than {MOST_DEPTH} lists and dicts stand in each other"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, one in value.items():
        found[_new_name(storable(name), name, value, found)] = _clean(one)
    return found


def _new_name(clean: str, name: str, given: dict[str, Any], found: dict[str, Any]) -> str:
    """Two names that become the same stay two."""
    number, new = 1, clean
    while new in found or (new != name and new in given):
        number += 1
        new = f"{clean} ({number})"
    return new


def _in_short(error: BaseException) -> str:
    try:
        said = storable(str(error))[:200]
    except BaseException:
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
