"""From bytes to lines: whichever way they end, never more of one than is needed, and UTF-8 to the last byte."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, Protocol

LINE_CHARS: Final = 8 * 1024
"""How much of one line is looked at; a header with its name is far shorter."""

_CHUNK: Final = 4 * 1024
_END: Final = re.compile("(\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029])")
ORDINARY: Final = frozenset(("\n", "\r\n", "\r"))
_LOOKED_AT, _IN_A_ROW = 2000, 3
_HOLE: Final = bytes(256)


class TooLong(Exception):
    """There are more bytes than are allowed."""


class HasHole(Exception):
    """A part of the text is nothing but NUL characters, as a disk leaves them: nobody knows what stood there."""


class Line(NamedTuple):
    """`text` is its start, `before` and `after` the ends of line that stand there ("" at the edges of the file).

    `number` counts from 1 by ordinary ends, as editors do, unless others are told to count.
    """

    number: int
    text: str
    before: str
    after: str
    is_cut: bool


class Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


def lines_of(stream: Bytes, max_bytes: int, counted: frozenset[str] = ORDINARY) -> Iterator[Line]:
    """`counted`: the ends that count in the numbers of lines. Raises TooLong, HasHole, UnicodeDecodeError."""
    number, before, start, is_cut = 1, "", "", False
    for text in _texts(stream, max_bytes):
        pieces = _END.split(text)
        for at in range(0, len(pieces) - 1, 2):
            whole, end = start + pieces[at], pieces[at + 1]
            yield Line(number, whole[:LINE_CHARS], before, end, is_cut or len(whole) > LINE_CHARS)
            number += end in counted
            before, start, is_cut = end, "", False
        start += pieces[-1]
        start, is_cut = start[:LINE_CHARS], is_cut or len(start) > LINE_CHARS
    if start:
        yield Line(number, start, before, "", is_cut)


def _texts(stream: Bytes, max_bytes: int) -> Iterator[str]:
    """Pieces of the text; none ends with a CR that may be half of an end."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, held = 0, ""
    while chunk := stream.read(_CHUNK):
        total += len(chunk)
        if total > max_bytes:
            raise TooLong
        if _HOLE in chunk:
            raise HasHole
        text = held + decoder.decode(chunk)
        held = "\r" if text.endswith("\r") else ""
        yield text.removesuffix("\r")
    yield held + decoder.decode(b"", final=True)


def own_ends(lines: Iterable[Line], starts_message: Callable[[str], bool]) -> frozenset[str]:
    """How the lines end that have a header behind them; empty: no end is better than another.

    WhatsApp for iPhone ends messages with CR LF and lines inside of them with LF, so that what stands behind a bare
    LF there is text, whatever it looks like. Told from the first thousands of lines; where both are as many, by CR LF.
    """
    ends: Counter[str] = Counter()
    last, in_a_row = "", ("", 0)
    for line in islice(lines, _LOOKED_AT):
        if line.before and starts_message(line.text):
            in_a_row = (line.before, in_a_row[1] + 1 if in_a_row[0] == line.before else 1)
            ends[line.before] += in_a_row[1] <= _IN_A_ROW  # a talk that was pasted is one of many lines
        last = line.after
    if not ends.total():
        return frozenset()
    ends[last] += 1
    most = max((end for end in ends if end), key=lambda end: (ends[end], end == "\r\n"))
    return frozenset((most, "\r\n")) if most in ORDINARY else frozenset((most,))
