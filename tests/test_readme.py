"""The README is true: its blocks run as they are written, and what it names is there.

A block under ``<!-- tested -->`` is run by bash, all blocks of a section in one shell, against the server that the last
block under ``<!-- tested: server -->`` started; ``<!-- tested: file x -->`` is written to a file. A JSON block under
``<!-- answer -->`` has the keys of the last answer before it, or with ``answer: x`` of what that has under x. Only
port and home differ from what a reader has. A server with a gateway (``server evolution``) is for
``test_story.py``.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.clock import Clock
from runner.demo.seed import write_demo_files
from runner.settings import Settings
from scripts.demo_server import clean_environment, free_port
from tests.endtoend.server import Server

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SAME = ("message", "status", "phase")
"""What must be equal in an answer, not only there."""

_BLOCK = re.compile(
    r"^<!-- (?:tested: )?(?P<kind>server|file|tested|answer):? ?(?P<name>[\w.]*) -->\n"
    r"```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_pause = threading.Event()


@dataclass(frozen=True)
class Block:
    """``kind``: server, file, tested or answer; ``name``: which gateway, which file, or which part of an answer."""

    kind: str
    name: str
    language: str
    text: str
    line: int


@dataclass
class Section:
    """What is tried on one server: the command that starts it, and the blocks after it."""

    server: Block
    blocks: list[Block] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


@cache
def marked_blocks() -> list[Block]:
    return [
        Block(**found.groupdict(), line=README[: found.start()].count("\n") + 1) for found in _BLOCK.finditer(README)
    ]


@cache
def sections() -> list[Section]:
    """A file belongs to the server that is started after it."""
    made: list[Section] = []
    files: dict[str, str] = {}
    for block in marked_blocks():
        if block.kind == "file":
            files[block.name] = block.text
        elif block.kind == "server":
            made.append(Section(block, files=files))
            files = {}
        else:
            made[-1].blocks.append(block)
    return made


class Reader:
    """Somebody who pastes what stands there, in a folder of their own, with the files they would have."""

    def __init__(self, folder: Path, variables: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._environment = clean_environment(folder / "home", self.port) | {"CURL_HOME": str(folder)}
        self._environment |= variables or {}
        (folder / ".curlrc").write_text(
            f'connect-to = "localhost:3000:127.0.0.1:{self.port}"\nfail-with-body\nsilent\nshow-error\nnoproxy = "*"\n'
        )
        write_demo_files(folder, Clock())

    def start(self, block: Block) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("wb") as log:
            process = self._open(block.text, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._wait_until_ready(process)
        return process

    def paste(self, blocks: list[Block], between: str = "") -> list[str]:
        """What each block printed; the shell stops at the first command that fails. ``between`` two blocks: a line."""
        mark = "----- next block -----"
        script = f"\n{between}\necho '{mark}'\n".join(block.text for block in blocks)
        with self._open(f"set -euo pipefail\n{script}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as shell:
            said = shell.communicate(timeout=100)[0].decode()
        printed = said.split(f"{mark}\n")
        assert shell.returncode == 0, f"README.md:{blocks[len(printed) - 1].line} failed: {printed[-1]}"
        return printed

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def _open(self, script: str, **how: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", script], cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, **how
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            assert process.poll() is None, self.log()
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            _pause.wait(0.05)
        raise AssertionError(f"the server did not answer within 30 s: {self.log()}")


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


@pytest.fixture
def started(reader: Reader) -> Iterator[Callable[[Block], None]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield lambda block: processes.append(reader.start(block))
    for process in processes:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(30) == 0, reader.log()
        finally:
            process.kill()


def section_id(section: Section) -> str:
    return f"line {section.server.line}"


@pytest.mark.parametrize("section", [one for one in sections() if not one.server.name], ids=section_id)
def test_the_blocks_run_as_they_are_written(reader: Reader, started: Callable[[Block], None], section: Section) -> None:
    for name, text in section.files.items():
        (reader.folder / name).write_text(text)
    started(section.server)
    tried = [block for block in section.blocks if block.kind == "tested"]
    printed = dict(zip((block.line for block in tried), reader.paste(tried), strict=True))
    last = ""
    for block in section.blocks:
        if block.kind == "tested":
            last = printed[block.line]
        else:
            answer = answers_in(last)[-1]
            real = answer[block.name] if block.name else answer
            check_answer(json.loads(block.text), real, f"README.md:{block.line}")


def answers_in(printed: str) -> list[Any]:
    """Every JSON object or array in what was printed, in its order."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while at < len(printed):
        if printed[at] in "{[":
            value, at = decoder.raw_decode(printed, at)
            found.append(value)
        else:
            at += 1
    return found


def check_answer(shown: Any, real: Any, where: str) -> None:
    assert type(shown) is type(real), where
    if isinstance(shown, dict):
        assert sorted(shown) == sorted(real), where
        for name, value in shown.items():
            check_answer(value, real[name], f"{where} {name}")
            assert name not in SAME or value == real[name], f"{where} {name}"


def test_every_marked_block_is_tried() -> None:
    """A mark with a slip in it would be a block that nobody tries."""
    assert len(re.findall(r"^<!-- (tested|answer)", README, re.MULTILINE)) == len(marked_blocks())
    assert {block.kind for block in marked_blocks()} == {"server", "file", "tested", "answer"}
    assert [section.server.name for section in sections()] == ["evolution", *[""] * 4]


def test_every_program_block_is_marked() -> None:
    """All but the one with the two scripts that install and test."""
    fenced = re.findall(r"^```(?:bash|sh|python)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    tried = {block.text for block in marked_blocks()}
    assert [text for text in fenced if text not in tried] == [fenced[0]]
    assert re.findall(r"^\./(scripts/\w+)", fenced[0], re.MULTILINE) == ["scripts/demo", "scripts/test"]


def test_the_seeds_start_stands_there_unchanged() -> None:
    body = next(block.text for block in marked_blocks() if "removal_workflow" in block.text and "curl" in block.text)
    assert body.startswith("curl -X POST http://localhost:3000/admin/jobs/start \\\n")
    assert '"groupWaId": "120363403645737238@g.us",\n    "batchSize": 5,\n    "delayMs": 10000,' in body


def test_every_file_named_is_there() -> None:
    named = set(re.findall(r"(?:scripts|runner|web|tests)/[\w./]+\w", README)) | set(
        re.findall(r"\]\((\w+\.md)", README)
    )
    assert len(named) > 5
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_test_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
    assert len(named) >= 7
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path)] == []


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_setting_is_in_the_table_and_no_other() -> None:
    table = README.partition("## Settings")[2].partition("## HTTP")[0]
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", table))
    fields = Settings.model_fields.items()
    real = {str(known.validation_alias or f"RUNNER_{name}").upper() for name, known in fields}
    assert named == real | {"RUNNER_LOG_LEVEL"}
    assert set(re.findall(r"\b(?:RUNNER|EVOLUTION|WAHA)_[A-Z_]+", README)) <= named


def test_every_default_in_the_table_is_the_default() -> None:
    table = re.findall(r"^\| `RUNNER_(\w+)` \| ([\w.]+) \|", README, re.MULTILINE)
    assert len(table) > 8
    for name, shown in table:
        if name != "LOG_LEVEL":
            assert str(Settings.model_fields[name.lower()].default) in (shown, f"{shown}.0"), name


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([\w-]+)\)", README))))
def test_every_link_inside_leads_somewhere(anchor: str) -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_no_machine_of_ours_is_named() -> None:
    assert re.findall(r"/(?:home|root|work|tmp|Users)/|https?://(?!localhost:3000)[^\s)]+", README) == []


def test_the_demo_goes_as_promised() -> None:
    """With a shorter delay than the real one; everything else as ``scripts/demo --once`` does it."""
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {"HOME": ""}
    command = [sys.executable, "-m", "scripts.demo_run", "--once", "--delay-ms", "3000"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Result and history name the same 4 people" in " ".join(done.stdout.split())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, workflows="tests.processes.samples")
    yield made
    made.close()


def test_what_was_answered_outlives_a_killed_server(server: Server) -> None:
    """Promises 1 and 4: a start and a cancel, each with the server killed as soon as it has answered."""
    server.start()
    job_id = server.start_job(type="count", total=4, batchSize=2, delayMs=3_600_000)
    server.kill()
    server.start()
    assert server.job(job_id)["status"] in ("pending", "running")
    assert server.call("POST", f"/admin/jobs/{job_id}/cancel")[0] == 200
    server.kill()
    server.start()
    assert server.job(job_id)["status"] == "cancelled"
    assert server.job(job_id)["progress"]["processed"] < 4
