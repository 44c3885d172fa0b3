"""The grammar of one line of a chat export: stamp, and who wrote it. Its words are in ``export_words``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time
from typing import Final, Literal

from runner.groups.export_words import fold, half_of, is_known, may_say_nothing

Form = Literal["bracket", "dash"]

LRM: Final = "\u200e"
"""WhatsApp for iPhone puts this mark before every text a person did not type."""

MARKS: Final = "\ufeff\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
_CLEAN: Final = {ord(mark): None for mark in MARKS} | {0x202F: " ", 0xA0: " "}

_LEADING: Final = MARKS + "".join(map(chr, (*range(9), *range(14, 32), 127)))
"""What may stand before a stamp: marks, and what is left of a damaged line."""

_BLANKS: Final = "\t\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u205f\u3000"
_LIKE_ASCII: Final = "\uff1a\u2236\uff0f\uff0e\uff0d\u2010\u2011\u2212\u2014"
_PLAIN: Final = dict.fromkeys(map(ord, _BLANKS), " ") | dict(zip(map(ord, _LIKE_ASCII), "::/.-----", strict=True))
"""One for one, in the stamp alone: names keep their blanks."""

NAME_CHARS: Final = 500
"""A longer "name" is a sentence with a colon in it; WhatsApp allows people 25 and groups 100."""

_LONGEST_UNKNOWN: Final = 16
"""A longer word beside a time that is in no table is text."""

_DATE: Final = r"(?P<a>\d{1,4}|[RH]\d{1,2})(?P<sep>[./-] ?)(?P<b>\d{1,2})(?P=sep)(?P<c>\d{1,4})\.?"
_CLOCK: Final = (
    r"(?P<hour>\d{1,2})(?:[:.]| ?[hH時时시] ?)(?P<minute>\d\d)(?:(?:[:.]| ?(?:min|[分분]) ?)(?P<second>\d\d))?"
)
# Dotted clocks before dotted dates would be read two ways, so the rarer time-first shape needs colons.
_COLON_CLOCK: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
_STAMPS: Final = (
    rf"{_DATE}(?P<middle>[^\d\[\]]{{1,24}}?){_CLOCK}(?P<tail>[^\d\[\]:\u2013-]{{0,24}}?)",
    rf"{_COLON_CLOCK}(?P<middle>[^\d\[\]\u2013-]{{1,16}}?){_DATE}(?P<tail>)",
)
_SHAPES: Final[dict[Form, tuple[re.Pattern[str], ...]]] = {
    "bracket": tuple(re.compile(rf"\[(?P<stamp>{stamp}) ?\](?P<rest>.*)", re.DOTALL) for stamp in _STAMPS),
    "dash": tuple(re.compile(rf"(?P<stamp>{stamp}) [\u2013-](?P<rest>$| .*)", re.DOTALL) for stamp in _STAMPS),
}

_SEPARATOR: Final = re.compile(r":(?= |$)")
_QUOTES: Final = re.compile('["“„«「『]')
_QUOTED: Final = re.compile(r'"(?=[^\s:])[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』')


@dataclass(frozen=True, slots=True)
class Header:
    """A line that starts a message or a system line.

    `date` holds the three parts as written, in their order; `clock` is wall time; `stamp` is date and time as
    written; `rest` is all behind the stamp, marks stripped. `worded` tells whether am/pm was written;
    `unknown` is a word beside the time that is in no table ("" if none), and then `clock` means nothing; `filler` is
    one that may mean no more than "at", which only the hours beside it can show.
    """

    form: Form
    date: tuple[str, str, str]
    clock: time
    stamp: str
    rest: str
    worded: bool
    unknown: str
    filler: str


def clean(text: str) -> str:
    """Strip direction marks and turn narrow and no-break spaces into plain ones."""
    return text.translate(_CLEAN)


def read_header(line: str) -> Header | None:
    """Read the header at the start of `line`; None if the line has none and so continues a message."""
    first = line.lstrip(_LEADING)[:1]
    form: Form = "bracket" if first == "[" else "dash"
    if form == "dash" and not (first.isdigit() or first in ("R", "H")):
        return None
    cleaned = clean(line).lstrip(_LEADING)
    plain = cleaned.translate(_PLAIN)
    for shape in _SHAPES[form]:
        found = shape.match(plain)
        if found:
            return _header(form, found, cleaned[found.start("rest") :])
    return None


def _header(form: Form, found: re.Match[str], rest: str) -> Header | None:
    part = found.groupdict()
    words = [fold(part["middle"]), fold(part["tail"])]
    filler = words[0] if may_say_nothing(part["middle"], words[0]) else ""
    unknown = next((word for word in words if word and word != filler and not is_known(word)), "")
    if len(unknown) > _LONGEST_UNKNOWN:
        return None
    half = next((half for word in words if (half := half_of(word)) is not None), None)
    clock = _wall_time(int(part["hour"]), int(part["minute"]), int(part["second"] or 0), half)
    if clock is None:
        return None
    date = (part["a"], part["b"], part["c"])
    return Header(form, date, clock, part["stamp"].strip(), rest.strip(), half is not None, unknown, filler)


def _wall_time(hour: int, minute: int, second: int, half: int | None) -> time | None:
    """24-hour time; `half` is 0 beside am, 12 beside pm. `23:59 PM` and `00:08 AM` mean what they say."""
    if half == 12 and hour < 12:
        hour += 12
    elif hour == 24 or (half == 0 and hour == 12):
        hour = 0
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def last_quoted(rest: str) -> str:
    """What stands last in quotation marks, as the group's name does in lines that tell of it; "" if nothing does."""
    found = _QUOTED.findall(rest[: 2 * NAME_CHARS])
    return found[-1][1:-1].strip() if found else ""


def split_author(rest: str) -> tuple[str, bool]:
    """Who wrote the line: (name, sure). An empty name is a system line.

    The name ends at the first `: ` (or a colon ending the line, for an empty message) outside quotation
    marks; a colon with anything else behind it, as in `10:30`, ends no name. A line whose only such colons
    are quoted, as in `Ana created group "Team: a"`, gives the part before the first of them with sure =
    False: it is a person only if the same name also speaks elsewhere. Limit: `Ana: work` is read as `Ana`.
    """
    head = rest[:NAME_CHARS]
    found = [match.start() for match in _SEPARATOR.finditer(head)]
    if not found:
        return "", True
    if not _QUOTES.search(head, 0, found[0]):
        return head[: found[0]].strip(), True
    quoted = [match.span() for match in _QUOTED.finditer(rest[: 2 * NAME_CHARS])]
    for colon in found:
        if not any(start < colon < end for start, end in quoted):
            return head[:colon].strip(), True
    return head[: found[0]].strip(), False
