"""When an export was made: until then what it says of silence counts, and not a second longer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from runner.clock import iso
from runner.groups.activity import span
from runner.groups.export_pace import is_far
from runner.groups.export_source import ExportError

CLOCK_ERROR_MS: Final = 120_000
_DAY_MS: Final = 86_400_000

Source = Literal["given", "entry", "file", "line"]


class MadeOpen(ExportError):
    """Nobody wrote for so long before the file's own time that it may be the time of a download.

    ``candidates``: the time of the last line and the file's own, UTC milliseconds.
    """

    def __init__(self, file: str, last: int, made: int, usual: timedelta | None) -> None:
        self.candidates = (last, made)
        often = "" if usual is None else f"; the longest silences before that were of about {span(_ms(usual))}"
        super().__init__(
            f"{file} ends with a line of {iso(last)[:19]}Z, {span(made - last)} before the file's own time "
            f"({iso(made)[:19]}Z){often}. If it was downloaded or copied since, nobody knows what was said meanwhile. "
            f"Nothing was changed. Say when the export was made, by --exported-at: {iso(made)[:19]}Z if the file's own "
            f"time is right, {iso(last)[:19]}Z if you do not know"
        )


@dataclass(frozen=True)
class Made:
    """``at`` in UTC milliseconds; ``source``: what says so: somebody, the zip, the file, or its last line alone."""

    at: int
    source: Source

    @classmethod
    def told(cls, given: int, last: int, now: int) -> Made:
        """By somebody; never before its last line, never in the future."""
        return cls(min(now, max(given, last)), "given")

    @classmethod
    def found(cls, entry: int | None, file: int, last: int, now: int) -> Made:
        """The older of the zip's time and the file's own; one in the future says nothing, nor one before its end."""
        times: list[tuple[int, Source]] = [(file, "file")]
        if entry is not None:
            times.insert(0, (entry, "entry"))
        believed = [(at, source) for at, source in times if at <= now + CLOCK_ERROR_MS]
        at, source = min(believed, key=lambda one: one[0], default=(last, "line"))
        return cls(min(now, at), source) if at > last else cls(min(now, last), "line")

    def check(self, file: str, last: int, usual: timedelta | None) -> None:
        """Raises MadeOpen where the silence before it is far longer than those of the chat."""
        if self.source != "given" and is_far(timedelta(milliseconds=self.at - last), usual):
            raise MadeOpen(file, last, self.at, usual)

    def is_doubted(self, entry: int | None, file: int, last: int) -> bool:
        """Whether somebody says that it was made more than a day after the file itself was written."""
        written = [at for at in (entry, file) if at is not None and at >= last]
        return self.source == "given" and any(self.at > at + _DAY_MS for at in written)


def _ms(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)
