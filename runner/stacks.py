"""Python stacks as ``faulthandler`` writes them, read again; and where they say that a process is."""

from __future__ import annotations

import ast
import functools
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from runner.frames import CHILD, home_of, is_runners, is_users

# The file is the job's to write to as well: none of these may look far from where it begins.
_THREAD = re.compile(r"(Current thread|Thread) (0x[0-9a-f]{1,16})[^\n]{0,80}?\(most recent call first\):\n")
_FRAME = re.compile(r'^  File "(.*)", line (\d{1,9}) in (.*)', re.MULTILINE)
_FATAL = re.compile(r"Fatal Python error: ([^\n]{1,200})\n")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U(00(?:0[0-9a-f]|10)[0-9a-f]{4}))")
_MORE_THREADS = re.compile(r"^\.\.\.$", re.MULTILINE)
_MOST_FRAMES_TOLD = 100
_SAY_NOTHING = frozenset({"range", "enumerate", "zip", "len", "isinstance"})
_LONGEST_SOURCE = 100_000
_LONGEST_NAME = 80
_LONGEST_TOLD = 500
"""Of a file or a function in a report: as much as faulthandler itself tells; but the job can write there too."""


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


_NOT_TOLD = Stack("", ())
"""Stands for all threads beyond the hundredth; the main thread is one of them."""


@dataclass(frozen=True)
class Stacks:
    """The main thread first, if it is there. ``fatal``: what the process died of, in the system's words."""

    threads: tuple[Stack, ...] = ()
    fatal: str | None = None
    home: str | None = None
    """The folder of the workflow: whatever lies there is the user's, even among the libraries."""


def read_stacks(text: str) -> Stacks:
    """The last whole report in ``text``, which may have several, and broken ones.

    A report has each thread once, and the main thread last, unless there are more than a hundred.
    """
    last = next(reversed(list(_FATAL.finditer(text))), None)
    reports: list[dict[str, Stack]] = [{}]
    for block in _blocks(text[last.end() :] if last else text):
        if block.thread in reports[-1]:
            reports.append({})
        reports[-1][block.thread] = block
        if _around(block) is not None or block == _NOT_TOLD:  # the next one begins, maybe with a thread that is new
            reports.append({})
    found = [tuple(report.values()) for report in reports if report]
    whole = [report for report in found if _is_main(report[-1])]
    report = (whole or found or [()])[-1]
    return Stacks(tuple(_ours_left_out(report)), last[1] if last else None, _home(report))


def where(stacks: Stacks) -> str | None:
    """``in `hashlib.scrypt`, called from mine.py:12 (reindex)``, for people.

    It is the main thread that does not stop; but what is fatal happens in any.
    """
    told = [stack for stack in stacks.threads if (stack.is_current if stacks.fatal else stack.thread == "main")]
    if not told:
        return None
    frames = told[0].frames
    index = next((index for index, frame in enumerate(frames) if is_users(frame.file, stacks.home)), None)
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
        end = max(head.end(), text.rfind("\n", 0, following.start() if following else len(text)) + 1)
        found = _FRAME.finditer(text, head.end(), end)  # whole lines: the last one may have been cut off
        frames = (Frame(_plain(frame[1]), int(frame[2]), _plain(frame[3])) for frame in found)
        yield Stack(head[2], tuple(frames), head[1] != "Thread")
        if _MORE_THREADS.search(text, head.end(), end):
            yield _NOT_TOLD


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)[:_LONGEST_TOLD]


def _around(stack: Stack) -> int | None:
    """From which frame on it is only what the runner has around a job; None when that is not there."""
    return next((at for at, frame in enumerate(stack.frames) if frame.file == CHILD), None)


def _is_main(last: Stack) -> bool:
    """Whether the last thread of a report is the main one, and not the last before the report was cut off.

    Its frames end in what is around a job, or are too many to be told of to there.
    """
    return _around(last) is not None or len(last.frames) >= _MOST_FRAMES_TOLD


def _ours_left_out(report: Sequence[Stack]) -> Iterator[Stack]:
    has_main = bool(report) and _is_main(report[-1])
    if has_main:
        main = report[-1]
        yield Stack("main", main.frames[: _around(main)] or main.frames, main.is_current)
    for stack in report[:-1] if has_main else report:
        if stack.frames and not _is_the_runners(stack):
            yield stack


def _is_the_runners(stack: Stack) -> bool:
    """One of the threads that the runner has in every job."""
    in_runner = any(is_runners(frame.file) for frame in stack.frames)
    return in_runner and not any(is_users(frame.file, None) for frame in stack.frames)


def _home(report: Sequence[Stack]) -> str | None:
    at = _around(report[-1]) if report else None
    if not at:
        return None
    return home_of(report[-1].frames[at - 1].file)


def _place(frame: Frame) -> str:
    return f"{Path(frame.file).name}:{frame.line}"


def _call_at(frame: Frame, inner: str | None) -> str | None:
    """The call that a line is in. ``inner``: the function it has come to, if that is Python."""
    calls = [call for call in _calls(frame.file) if call.lineno <= frame.line <= (call.end_lineno or call.lineno)]
    at_line = [call for call in calls if frame.line in (call.lineno, call.func.end_lineno)] or calls
    names = [_dotted(call.func) for call in at_line]
    if inner is not None:
        fitting = [name for name in names if name.rpartition(".")[2] == inner]
        return fitting[0] if fitting else names[0] if len(names) == 1 else None
    telling = [name for name in names if name not in _SAY_NOTHING]
    dotted = [name for name in telling if "." in name]
    return next(iter([*dotted, *telling]), None)


def _dotted(node: ast.expr) -> str:
    """The end of it, if it is long. Step by step: a chain of calls may be longer than Python's own stack."""
    said = ""
    while len(said) < _LONGEST_NAME:
        match node:
            case ast.Attribute(value=inner, attr=name):
                node, said = inner, f".{name}{said}"
            case ast.Call(func=inner):
                node, said = inner, f"(){said}"
            case ast.Subscript(value=inner):
                node, said = inner, f"[…]{said}"
            case _:
                said = (node.id if isinstance(node, ast.Name) else "…") + said
                break
    return said[-_LONGEST_NAME:]


def _calls(file: str) -> tuple[ast.Call, ...]:
    """The calls in a source file, the outer before the inner; none where a job names what is no plain source."""
    try:
        found = Path(file).stat() if file.endswith(".py") else None
    except (OSError, ValueError):
        return ()
    return _calls_in(file, found.st_mtime_ns) if found is not None and _is_source(found) else ()


def _is_source(found: os.stat_result) -> bool:
    """What is made up as it is read, as in ``/proc``, is a plain file too, but has no size; and may never end."""
    return stat.S_ISREG(found.st_mode) and 0 < found.st_size <= _LONGEST_SOURCE


@functools.lru_cache(maxsize=32)
def _calls_in(file: str, _: int) -> tuple[ast.Call, ...]:
    try:
        tree = ast.parse(_source(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _source(file: str) -> str:
    """Opened so that it cannot wait, and looked at once more: it may have become something else meanwhile."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return os.read(descriptor, _LONGEST_SOURCE).decode(errors="replace") if _is_source(os.fstat(descriptor)) else ""
    finally:
        os.close(descriptor)
