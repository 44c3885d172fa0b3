"""Python stacks as ``faulthandler`` writes them, read again; and where they say that a process is."""

from __future__ import annotations

import ast
import functools
import linecache
import re
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

_THREAD = re.compile(r"(Current thread|Thread) (0x[0-9a-f]+)[^\n]*\(most recent call first\):\n")
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)\n')
_FATAL = re.compile(r"Fatal Python error: ([^\n]+)\n")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_RUNNER = Path(__file__).parent
_CHILD = str(_RUNNER / "child.py")
_WORKFLOWS = tuple(f"{_RUNNER / folder}/" for folder in ("workflows", "demo"))
_LIBRARIES = tuple(f"{path}/" for path in sorted({*sysconfig.get_paths().values(), str(_RUNNER)}))
_SAY_NOTHING = frozenset({"range", "enumerate", "zip", "len", "isinstance"})
_LONGEST_SOURCE = 100_000
_LONGEST_NAME = 80


class Frame(NamedTuple):
    file: str
    line: int
    function: str


@dataclass(frozen=True)
class Stack:
    """One thread's frames, the innermost first, without those of the runner around a workflow."""

    thread: str
    frames: tuple[Frame, ...]
    is_current: bool = False
    """The one that the signal came to: where something fatal happened, or any."""


@dataclass(frozen=True)
class Stacks:
    """The main thread first. ``fatal``: what the process died of, in the system's words."""

    threads: tuple[Stack, ...] = ()
    fatal: str | None = None
    home: str | None = None
    """The folder of the workflow: whatever lies there is the user's, even among the libraries."""


def read_stacks(text: str) -> Stacks:
    """The last whole report in ``text``, which may have several, and broken ones.

    A report has each thread once, and the main thread last.
    """
    last = next(reversed(list(_FATAL.finditer(text))), None)
    reports: list[list[Stack]] = [[]]
    for block in _blocks(text[last.end() :] if last else text):
        if any(block.thread == other.thread for other in reports[-1]):
            reports.append([])
        reports[-1].append(block)
    whole = [report for report in reports if report and _around(report[-1]) is not None]
    report = (whole or reports)[-1]
    return Stacks(tuple(_ours_left_out(report)), last[1] if last else None, _home(report))


def where(stacks: Stacks) -> str | None:
    """``in `hashlib.scrypt`, called from mine.py:12 (reindex)``, for people.

    It is the main thread that does not stop; but what is fatal happens in any.
    """
    told = [stack for stack in stacks.threads if (stack.is_current if stacks.fatal else stack.thread == "main")]
    if not told:
        return None
    frames = told[0].frames
    index = next((index for index, frame in enumerate(frames) if _is_users(frame, stacks.home)), None)
    if index is None:
        return f"in `{frames[0].function}`, at {_place(frames[0])}"
    frame, inner = frames[index], frames[index - 1].function if index else None
    called = _call_at(frame, inner) or inner
    if called is None:
        return f"in `{frame.function}`, at {_place(frame)}"
    return f"in `{called}`, called from {_place(frame)} ({frame.function})"


def _blocks(text: str) -> Iterator[Stack]:
    heads = list(_THREAD.finditer(text))
    for head, following in zip_longest(heads, heads[1:]):
        end = following.start() if following else len(text)
        found = _FRAME.finditer(text, head.end(), end)
        frames = (Frame(_plain(frame[1]), int(frame[2]), _plain(frame[3])) for frame in found)
        yield Stack(head[2], tuple(frames), head[1] != "Thread")


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)


def _around(stack: Stack) -> int | None:
    """From which frame on it is only what the runner has around a job; None when that is not there."""
    return next((at for at, frame in enumerate(stack.frames) if frame.file == _CHILD), None)


def _ours_left_out(report: Sequence[Stack]) -> Iterator[Stack]:
    *others, main = report or [Stack("main", ())]
    if main.frames:
        yield Stack("main", main.frames[: _around(main)] or main.frames, main.is_current)
    for stack in others:
        if stack.frames and not _is_the_runners(stack):
            yield stack


def _is_the_runners(stack: Stack) -> bool:
    """One of the threads that the runner has in every job."""
    in_runner = any(frame.file.startswith(f"{_RUNNER}/") for frame in stack.frames)
    return in_runner and not any(_is_users(frame, None) for frame in stack.frames)


def _home(report: Sequence[Stack]) -> str | None:
    at = _around(report[-1]) if report else None
    if not at:
        return None
    file = report[-1].frames[at - 1].file
    folder = f"{Path(file).parent}/"
    return None if folder in _LIBRARIES or file.startswith(f"{_RUNNER}/") else folder


def _is_users(frame: Frame, home: str | None) -> bool:
    if frame.file.startswith("<"):
        return False
    inside = frame.file.startswith(_WORKFLOWS) or (home is not None and frame.file.startswith(home))
    return inside or not frame.file.startswith(_LIBRARIES)


def _place(frame: Frame) -> str:
    return f"{Path(frame.file).name}:{frame.line}"


def _call_at(frame: Frame, inner: str | None) -> str | None:
    """The call that a line is in. ``inner``: the function it has come to, if that is Python."""
    calls = [call for call in _calls(frame.file) if call.lineno <= frame.line <= (call.end_lineno or call.lineno)]
    at_line = [call for call in calls if frame.line in (call.lineno, call.func.end_lineno)] or calls
    names = [_dotted(call.func)[-_LONGEST_NAME:] for call in at_line]
    if inner is not None:
        fitting = [name for name in names if name.rpartition(".")[2] == inner]
        return fitting[0] if fitting else names[0] if len(names) == 1 else None
    telling = [name for name in names if name not in _SAY_NOTHING]
    dotted = [name for name in telling if "." in name]
    return next(iter([*dotted, *telling]), None)


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
        case ast.Call(func=func):
            return f"{_dotted(func)}()"
        case ast.Subscript(value=value):
            return f"{_dotted(value)}[…]"
        case _:
            return "…"


def _calls(file: str) -> tuple[ast.Call, ...]:
    """The calls in a source file, the outer before the inner; none of what is no plain file, or too long to read."""
    try:
        found = Path(file).stat()
    except (OSError, ValueError):
        return ()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST_SOURCE:
        return ()
    return _calls_in(file, found.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _calls_in(file: str, _: int) -> tuple[ast.Call, ...]:
    linecache.checkcache(file)
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call))
