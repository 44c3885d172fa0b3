"""What a workflow gives to its job, looked at where it is given: what is wrong is raised in the workflow's own frame.

Numbers may be of any library that makes whole numbers (``__index__``) or real ones (``__float__``). A boolean is no
number, and neither is a text.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from runner.storable import storable

MOST = 2**53 - 1
"""The largest whole number that every reader of JSON takes for the same."""

LONGEST_MESSAGE = 500


def checked_count(name: str, value: Any, *, least: int = 0) -> int:
    """A whole number from ``least`` to 2^53 - 1. Raises TypeError, ValueError."""
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}") from None
    if not least <= count <= MOST:
        shown = str(count) if -MOST <= count <= MOST else "a number out of all bounds"
        raise ValueError(f"{name} must be from {least} to 2^53 - 1, not {shown}")
    return int(count)


def checked_amount(name: str, value: Any) -> float:
    """A real number from 0 to 2^53 - 1, such as of seconds. Raises TypeError, ValueError."""
    number = checked_number(name, value)
    if not 0 <= number <= MOST:
        raise ValueError(f"{name} must be from 0 to 2^53 - 1, not {number}")
    return number


def checked_number(name: str, value: Any) -> float:
    """A real number that is finite. Raises TypeError, ValueError."""
    is_real = hasattr(type(value), "__float__") or hasattr(type(value), "__index__")
    if isinstance(value, (bool, str, bytes)) or not is_real:
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {number}")
    return number


def checked_message(value: Any) -> str:
    """The first 500 characters, fit for any database. Raises TypeError for what is no text."""
    if not isinstance(value, str):
        raise TypeError(f"message must be a text, not {type(value).__name__}")
    return storable(str.__getitem__(value, slice(LONGEST_MESSAGE)))
