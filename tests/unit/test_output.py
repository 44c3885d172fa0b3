"""What jobs print: what is kept of it, and what goes on to the console; with real pipes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.console import A_SECOND, Console, ConsoleShare
from runner.output import KEPT_BYTES, Output, OutputReader
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]


class Printer:
    """A process's end of an output, and the server's."""

    def __init__(self, reader: OutputReader) -> None:
        descriptor, self._end = os.pipe()
        self.output = Output(descriptor, 4711, reader)
        self._is_open = True

    def prints(self, data: bytes) -> None:
        """All of it: waits while the pipe is full."""
        while data:
            data = data[os.write(self._end, data) :]

    def hang_up(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._end)


@pytest.fixture
def console() -> Iterator[tuple[int, int]]:
    """A pipe in the console's place: where it is read, where it is written."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def reader(console: tuple[int, int]) -> Iterator[OutputReader]:
    made = OutputReader(console[1])
    yield made
    made.finish()


@pytest.fixture
def printer(reader: OutputReader) -> Iterator[Printer]:
    made = Printer(reader)
    yield made
    made.hang_up()
    made.output.close()


class Screen:
    """What has come out at the console's other end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = b""

    def text(self) -> bytes:
        try:
            while data := os.read(self._descriptor, 65536):
                self._text += data
        except BlockingIOError:
            pass
        return self._text


@pytest.fixture
def screen(console: tuple[int, int]) -> Screen:
    return Screen(console[0])


def test_the_last_lines_are_there_at_once(printer: Printer) -> None:
    printer.prints(b"".join(b"line %d\n" % number for number in range(300)))
    assert printer.output.tail(200) == [f"line {number}" for number in range(100, 300)]
    assert printer.output.tail(1) == ["line 299"]
    assert printer.output.tail(0) == []


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"half a line", ["half a line"]),
        (b"a\r\nb", ["a", "b"]),
        (b"a\n\n\nb\n", ["a", "", "", "b"]),
        (b"\xff\xc3\n", ["\ufffd\ufffd"]),
        (b"\x1b[31mred\x00\n", ["\x1b[31mred\x00"]),
    ],
)
def test_lines_are_what_was_printed(printer: Printer, printed: bytes, lines: list[str]) -> None:
    printer.prints(printed)
    assert printer.output.tail(200) == lines


def test_of_a_flood_the_end_is_kept_and_no_more(printer: Printer) -> None:
    block = b"x" * 99 + b"\n"
    for _ in range(10):
        printer.prints(block * 4000)
    printer.prints(b"the end\n")
    assert printer.output.tail(2) == ["x" * 99, "the end"]
    kept = printer.output.tail(10**9)
    assert sum(len(line) + 1 for line in kept) <= KEPT_BYTES + 1


def test_one_line_without_an_end_is_kept_in_part(printer: Printer) -> None:
    printer.prints(b"y" * 3 * KEPT_BYTES)
    assert len("".join(printer.output.tail(200))) == KEPT_BYTES


def test_of_many_each_keeps_less(reader: OutputReader) -> None:
    printers = [Printer(reader) for _ in range(200)]
    try:
        printers[0].prints(b"z\n" * KEPT_BYTES)
        kept = len(printers[0].output.tail(10**9)) * 2
        assert 0 < kept <= 64_000_000 // 200
    finally:
        for printer in printers:
            printer.hang_up()
            printer.output.close()


def test_whoever_is_closed_is_still_known_and_its_descriptor_given_back(printer: Printer) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    printer.prints(b"last words\n")
    printer.output.close()
    printer.output.close()
    assert printer.output.tail(200) == ["last words"]
    assert len(list(Path("/dev/fd").iterdir())) == before - 1


def test_one_that_hangs_up_costs_nothing(printer: Printer, reader: OutputReader, screen: Screen) -> None:
    """An end of file stays readable for ever: a reader that kept it would spin."""
    printer.hang_up()
    wait_for(lambda: reader.watched() == 0, "it is let go")
    second = Printer(reader)
    second.prints(b"still read\n")
    wait_for(lambda: screen.text() == b"[process 4711] still read\n", "the reader lives")
    second.hang_up()
    second.output.close()


def test_what_is_printed_comes_to_the_console_in_whole_lines(printer: Printer, screen: Screen) -> None:
    printer.prints(b"one\ntwo")
    wait_for(lambda: screen.text() == b"[process 4711] one\n", "the whole line has come")
    printer.prints(b" and\n")
    wait_for(lambda: screen.text() == b"[process 4711] one\n[process 4711] two and\n", "the rest has come")
    printer.prints(b"begun")
    printer.output.close()
    whole = b"[process 4711] one\n[process 4711] two and\n[process 4711] begun\n"
    wait_for(lambda: screen.text() == whole, "what had only begun has come at the end")


def test_a_flood_is_cut_on_the_console_and_said(printer: Printer, screen: Screen) -> None:
    flood = b"q" * 99 + b"\n"
    writer = threading.Thread(target=printer.prints, args=(flood * 50_000,))
    writer.start()
    wait_for(lambda: b"left out" in screen.text(), "it is told how much is left out")
    wait_for(lambda: screen.text() and not writer.is_alive(), "the flood is over")
    printer.output.close()
    wait_for(lambda: _accounted(screen.text()) == len(flood) * 50_000, "each byte was said or counted")
    writer.join()


def _accounted(text: bytes) -> int:
    said = sum(len(line.split()[-1]) + 1 for line in text.splitlines() if line.endswith(b"q"))
    told = [int(line[1:].split()[0]) for line in text.splitlines() if line.endswith(b"here]")]
    return said + sum(told)


def test_a_console_that_nobody_reads_holds_up_nobody(printer: Printer, screen: Screen) -> None:
    """The pipe in its place takes 64 kB; a hundred times that is printed."""
    printer.prints((b"w" * 99 + b"\n") * 64_000)
    printer.prints(b"the end\n")
    assert printer.output.tail(1) == ["the end"]
    wait_for(lambda: screen.text().startswith(b"[process 4711] www"), "it goes on when it is read again")


@pytest.fixture
def terminal() -> Iterator[int]:
    """One that nobody reads: it says that it can be written to, and takes less than what is written."""
    ends = pty.openpty()
    yield ends[1]
    for end in ends:
        os.close(end)


def test_a_terminal_that_is_stuck_holds_up_neither_the_jobs_nor_the_end(terminal: int) -> None:
    reader = OutputReader(terminal)
    printer = Printer(reader)
    printing = threading.Thread(target=printer.prints, args=((b"w" * 99 + b"\n") * 20_000,), daemon=True)
    printing.start()
    wait_for(lambda: not printing.is_alive(), "all that is printed is read", 20)
    ending = threading.Thread(target=reader.finish, daemon=True)
    ending.start()
    wait_for(lambda: not ending.is_alive(), "the reader ends", 20)
    printer.hang_up()
    printer.output.close()


PRINTS_AND_ENDS = """
import os, threading
from runner.output import Output, OutputReader
reading, writing = os.pipe()
output = Output(reading, 4711, OutputReader(2))
for _ in range(200):
    os.write(writing, b"w" * 999 + b"\\n")
os.write(1, b"all is printed")
"""


def test_a_server_whose_terminal_is_stuck_exits(terminal: int) -> None:
    program = [sys.executable, "-c", PRINTS_AND_ENDS]
    run = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, check=False, timeout=60)
    assert (run.returncode, run.stdout) == (0, b"all is printed")


def test_a_console_that_is_gone_takes_everything() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    console = Console(writing)
    console.write(b"to nobody\n")
    assert console.finish(60)
    os.close(writing)


def test_a_console_that_takes_nothing_now_is_written_to_later() -> None:
    """Whoever has it too may have made it non-blocking."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    console = Console(writing)
    console.write(b"a" * 900_000 + b"\n")
    assert not console.finish(0.01)
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(reading, 65536)
    assert len(text) == 900_001
    assert console.finish(60)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("more", [b"", b"c\n"])
def test_the_lines_that_a_console_has_no_room_for_are_counted(more: bytes) -> None:
    """Said before the next line, or once it is known that there is room."""
    reading, writing = os.pipe()
    console = Console(writing)
    console.write(b"a" * 900_000 + b"\n")
    console.write((b"b" * 99 + b"\n") * 9_000)
    text = b""
    while b"\n" not in text:
        text += os.read(reading, 65536)
    console.write(more)
    while not text.endswith(more or b"here]\n"):
        text += os.read(reading, 65536)
    assert text == b"a" * 900_000 + b"\n[9000 lines that jobs printed are left out here]\n" + more
    assert console.finish(60)
    os.close(reading)
    os.close(writing)


def test_a_share_by_the_second() -> None:
    share = ConsoleShare(4711)
    mark, line = b"[process 4711] ", b"s" * 984 + b"\n"
    assert share.part_of(line * 300, 10.0) == (mark + line) * (A_SECOND // 1000)
    assert share.due_at == 11.0
    assert share.part_of(line, 10.5) == b"", "nothing is said with a gap before it"
    told = b"[44325 bytes that process 4711 printed are left out here]\n"
    assert share.part_of(line, 11.0) == told + mark + line
    assert share.due_at is None


def test_a_line_too_long_to_wait_for_is_said_in_parts() -> None:
    share = ConsoleShare(4711)
    assert share.part_of(b"p" * 8000, 10.0) == b""
    assert share.part_of(b"p" * 1000, 10.0) == b"[process 4711] " + b"p" * 9000 + b"\n"


def test_what_a_job_prints_is_marked_as_its_own_and_does_not_act(printer: Printer, screen: Screen) -> None:
    printer.output.belongs_to("job_7")
    printer.prints(b'{"event": "forged"}\r\n\x1b[2J\x07\ta\rb\n\xff\xe2\x80\xae\xe2\x80\xa8\xc3\xa9\n')
    lines = [
        b'[job_7] {"event": "forged"}',
        rb"[job_7] \x1b[2J\x07\x09a\x0db",
        rb"[job_7] \xff\u202e\u2028" + "é".encode(),
    ]
    wait_for(lambda: screen.text() == b"\n".join(lines) + b"\n", "each line is marked, and all of it is shown")


def test_a_line_without_an_end_is_not_cut_within_a_character() -> None:
    share = ConsoleShare(4711)
    smile = "😀".encode()
    assert share.part_of(b"p" * 9000 + smile[:3], 10.0) == b"[process 4711] " + b"p" * 9000 + b"\n"
    assert share.part_of(smile[3:] + b"\n", 10.0) == b"[process 4711] " + smile + b"\n"
