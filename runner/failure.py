"""What is kept of an error that ended a job: its kind, its words, where in the workflow it was, and the traceback.

Whatever an error of the workflow's own does when it is looked at, the job ends: what is asked of it is asked in a
thread that can be lost, and has bounds. No variables are looked at.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from runner.frames import CHILD, home_of, is_users
from runner.job import JsonDict
from runner.storable import storable

LONGEST_ERROR = 2000
LONGEST_TRACEBACK = 8000
"""Characters; of a longer one the end is kept, where the error itself stands."""

_LONGEST_TYPE, _LONGEST_FILE = 200, 500
_MOST_FRAMES, _MOST_CHAINED = 10_000, 100
_MOST_LINE = 2**31
_SECONDS = 2.0
_CUT = "[the beginning is left out]\n"


class Failure:
    """``words``: the sentence for people. ``as_json()``: type, message, and file, line and traceback where known."""

    def __init__(self, error: BaseException, seconds: float = _SECONDS) -> None:
        shown = _without_statement(error)
        self._type = _type_name(shown)
        self._place = _place(error)
        said: JsonDict = {"message": ""}
        in_time = _within(seconds, lambda: said.update(message=_said(shown)))
        self._message = said["message"]
        if in_time:  # else its words would be waited for again
            _within(seconds, lambda: said.update(traceback=_traceback(error)))
        self._traceback: str = said.get("traceback") or _bare_traceback(error)
        self._is_plain = _is_plain(shown) and bool(self._message)

    @property
    def words(self) -> str:
        text = self._message if self._is_plain else f"{self._type}: {self._message}"
        return text[:LONGEST_ERROR]

    @property
    def traceback(self) -> str:
        return self._traceback

    def as_json(self) -> JsonDict:
        found: JsonDict = {"type": self._type, "message": self._message}
        if self._place is not None:
            found["file"], found["line"] = self._place
        return found | ({"traceback": self._traceback} if self._traceback else {})


def told_failure(kind: str, message: str) -> JsonDict:
    """Of an end that the server gives."""
    return {"type": kind, "message": storable(message[:LONGEST_ERROR])}


def checked_failure(said: object) -> JsonDict | None:
    """What a job's process told of its error: whoever is in it can write there. None for what makes no sense."""
    if not isinstance(said, dict):
        return None
    most = {"type": _LONGEST_TYPE, "message": LONGEST_ERROR, "file": _LONGEST_FILE, "traceback": LONGEST_TRACEBACK}
    found: JsonDict = {
        name: storable(said[name][:length]) for name, length in most.items() if isinstance(said.get(name), str)
    }
    line = said.get("line")
    if type(line) is int and 0 < line < _MOST_LINE and "file" in found:
        found["line"] = line
    return found if {"type", "message"} <= found.keys() else None


def _within(seconds: float, act: Callable[[], Any]) -> bool:
    """Returns when it is done, has failed or (False) has taken too long; then it goes on, and nobody waits for it."""

    def go() -> None:
        try:
            act()
        except BaseException:  # of the workflow's own: it may do whatever it likes, even exit
            return

    thread = threading.Thread(target=go, name="told-error", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):  # no thread is left
        go()
        return True
    thread.join(seconds)
    return not thread.is_alive()


def _without_statement(error: BaseException) -> BaseException:
    """Of a database's error its cause: without the statement and its parameters."""
    try:
        cause: Any = vars(error).get("orig")
    except BaseException:
        return error
    return cause if issubclass(type(cause), BaseException) else error


def _said(error: BaseException) -> str:
    return storable(str.__str__(str(error))[:LONGEST_ERROR])


def _type_name(error: BaseException) -> str:
    name: str = type.__dict__["__name__"].__get__(type(error))
    return storable(name[:_LONGEST_TYPE])


def _is_plain(error: BaseException) -> bool:
    """Whether its message is a sentence of ours."""
    module = type.__dict__["__module__"].__get__(type(error))
    return isinstance(module, str) and module.startswith("runner.")


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    for _ in range(_MOST_FRAMES):
        if trace is None:
            return
        yield trace
        trace = trace.tb_next


def _file_of(trace: TracebackType) -> str:
    return trace.tb_frame.f_code.co_filename


def _below_us(error: BaseException) -> TracebackType | None:
    """The traceback without what the runner has around every workflow; all of it where there is nothing else."""
    trace: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return next((one for one in _frames(trace) if _file_of(one) != CHILD), trace)


def _place(error: BaseException) -> tuple[str, int] | None:
    """The last line of the workflow's own; of source that is no Python, where that stands."""
    if (found := _place_of_source(error)) is not None:
        return found
    frames = list(_frames(_below_us(error)))
    first = next((one for one in frames if not _file_of(one).startswith("<")), None)
    home = home_of(_file_of(first)) if first is not None else None
    own = [one for one in frames if is_users(_file_of(one), home)]
    if not own or own[-1].tb_lineno is None:
        return None
    return storable(_file_of(own[-1])[-_LONGEST_FILE:]), own[-1].tb_lineno


def _place_of_source(error: BaseException) -> tuple[str, int] | None:
    if not issubclass(type(error), SyntaxError):  # isinstance would ask the error itself
        return None
    file: object = SyntaxError.__dict__["filename"].__get__(error)
    line: object = SyntaxError.__dict__["lineno"].__get__(error)
    if type(file) is not str or type(line) is not int or not file.endswith(".py") or not 0 < line < _MOST_LINE:
        return None
    return storable(file[-_LONGEST_FILE:]), line


def _traceback(error: BaseException) -> str:
    _hide_parameters(error)
    told = traceback.TracebackException(type(error), error, _below_us(error), compact=True)
    return _end_of(told.format())


def _hide_parameters(error: BaseException) -> None:
    """What a database's errors in the chain say of their statements has no people's data in it."""
    left, seen = [error], set[int]()
    while left and len(seen) < _MOST_CHAINED:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if "hide_parameters" in vars(one):
            one.hide_parameters = True  # type: ignore[attr-defined]
        causes = [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
        left += [cause for cause in causes if isinstance(cause, BaseException)]


def _bare_traceback(error: BaseException) -> str:
    """Of an error that cannot be told: only where it went through."""
    frames = [(_file_of(one), one.tb_lineno, one.tb_frame.f_code.co_name) for one in _frames(_below_us(error))]
    return _end_of([*(f'  File "{file}", line {line}, in {name}\n' for file, line, name in frames), _type_name(error)])


def _end_of(parts: Any) -> str:
    """Its last characters. No part is so long that the rest would be lost for it."""
    kept, size, is_cut = [], 0, False
    for part in parts:
        text = storable(part if len(part) <= LONGEST_ERROR else part[:LONGEST_ERROR] + "…\n")
        kept.append(text)
        size += len(text)
        while size - len(kept[0]) > LONGEST_TRACEBACK:
            size -= len(kept.pop(0))
            is_cut = True
    whole = "".join(kept)
    if not is_cut and len(whole) <= LONGEST_TRACEBACK:
        return whole
    return _CUT + whole[len(_CUT) - LONGEST_TRACEBACK :]
