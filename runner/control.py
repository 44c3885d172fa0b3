"""``ControlPipe``: the server's end of what a job's process and the server say to each other.

The process speaks ``multiprocessing``'s frames (four bytes that tell the length, or -1 and eight more), and whoever is
in it can write there. So nothing is read that is not there yet, nothing is kept beyond a bound, and what makes no sense
is a fault of that process, told as a sentence; it is never an error of the one who listens.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.job import JsonDict

MOST_BYTES = 1_000_000
"""All that one process may say in its life; what it has to say is some hundred bytes."""

MOST_MESSAGES = 100
HALF_SECONDS = 5.0
"""How long a message may be half there."""

_READ_BYTES = 65_536
"""At most so much in one turn: the others have theirs."""

_SHORT, _LONG = struct.Struct("!i"), struct.Struct("!Q")
_NOT_SAID = "what it sent on its control pipe"

Moment = Annotated[int, Field(ge=0, le=1 << 53)]


class Said(BaseModel):
    """One message. Numbers are numbers, and no text has half a character: it goes to the database as it is."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    ready: bool | None = None
    held: Literal["cgroup", "subreaper", "psutil"] | None = None
    ack: Moment | None = None
    seen: Moment | None = None
    ended: Literal["completed", "failed", "stopped", "settled", "superseded"] | None = None
    error: str | None = None
    failure: JsonDict | None = None
    progress: JsonDict | None = None
    killed: list[Annotated[int, Field(ge=1, le=1 << 31)]] | None = None


class ControlPipe:
    """Non-blocking, in both directions. ``fault``: why nothing more is heard from it, in words for people.

    ``hung_up``: it has closed its end, or has been hung up on. Read by one thread at a time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        os.set_blocking(connection.fileno(), False)
        self._unread = bytearray()
        self._heard = self._messages = 0
        self._half_since: float | None = None
        self.hung_up = False
        self.fault: str | None = None

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    @property
    def overdue_at(self) -> float | None:
        """When what is half there should be whole, in boot seconds."""
        return None if self._half_since is None or self.hung_up else self._half_since + HALF_SECONDS

    def send(self, message: bytes) -> None:
        """Sends all of it. What a process does not take at once, a thread sends that can be lost. OSError when it is
        gone.
        """
        data = _SHORT.pack(len(message)) + message
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = os.write(self.fileno(), data)
        if sent < len(data):
            _send_on(os.dup(self.fileno()), data[sent:])

    def receive(self, now: float) -> Iterator[JsonDict]:
        """What is there, up to the bound of one turn; ``now``: boot seconds."""
        if self.hung_up:
            return
        try:
            data = os.read(self.fileno(), _READ_BYTES)
        except BlockingIOError:
            self._look_at_half(now)
            return
        except OSError:
            data = b""
        if not data:
            self.hung_up = True
            return
        self._unread += data
        self._heard += len(data)
        if self._heard > MOST_BYTES:
            self._hang_up(f"{_NOT_SAID} was more than {MOST_BYTES} bytes")
        yield from self._whole_ones()
        self._look_at_half(now)

    def receive_rest(self, now: float) -> Iterator[JsonDict]:
        """All that is left of a process that is gone; as much as it may say at most."""
        before = -1
        while not self.hung_up and self._heard != before:
            before = self._heard
            yield from self.receive(now)

    def _whole_ones(self) -> Iterator[JsonDict]:
        while not self.hung_up and (frame := self._next_frame()) is not None:
            self._messages += 1
            if self._messages > MOST_MESSAGES:
                self._hang_up(f"{_NOT_SAID} was more than {MOST_MESSAGES} messages")
            elif (message := _read(frame)) is None:
                self._hang_up(f"{_NOT_SAID} was no message of a job")
            else:
                yield message

    def _next_frame(self) -> bytes | None:
        """The next whole one, taken off what is unread."""
        if len(self._unread) < _SHORT.size:
            return None
        begin, (length,) = _SHORT.size, _SHORT.unpack_from(self._unread)
        if length == -1:
            if len(self._unread) < begin + _LONG.size:
                return None
            (length,) = _LONG.unpack_from(self._unread, begin)
            begin += _LONG.size
        if not 0 <= length <= MOST_BYTES:
            self._hang_up(f"{_NOT_SAID} was announced as a message of {length} bytes")
            return None
        if len(self._unread) < begin + length:
            return None
        frame = bytes(self._unread[begin : begin + length])
        del self._unread[: begin + length]
        return frame

    def _look_at_half(self, now: float) -> None:
        if not self._unread:
            self._half_since = None
        elif self._half_since is None:
            self._half_since = now
        elif now >= self._half_since + HALF_SECONDS:
            self._hang_up(f"{_NOT_SAID} was half a message, and the rest never came")

    def _hang_up(self, why: str) -> None:
        self.hung_up, self.fault = True, self.fault or why
        self._unread.clear()


def _read(frame: bytes) -> JsonDict | None:
    """None for what is no object, has other types, or says nothing that is known."""
    try:
        said = Said.model_validate_json(frame)
    except ValidationError:
        return None
    return said.model_dump(exclude_unset=True) or None


def _send_on(descriptor: int, data: bytes) -> None:
    """``descriptor``: a copy of its own, so that it can be nobody else's by the time it is written to."""

    def send() -> None:
        left = memoryview(data)
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        with contextlib.suppress(OSError):  # it is gone, and its end is seen by others
            while left:
                poller.poll()
                with contextlib.suppress(BlockingIOError):
                    left = left[os.write(descriptor, left) :]
        os.close(descriptor)

    try:
        threading.Thread(target=send, name="hand-over", daemon=True).start()
    except RuntimeError as error:  # no thread is left
        os.close(descriptor)
        raise OSError("what it is to do could not be sent whole") from error
