"""By what it is told whose a process is: the marks in its environment, and the name of the database in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from runner.clock import Clock
from runner.proc import environment
from runner.tree import MARK, SERVER, left_behind, name_of_database, server_mark
from tests.waiting import wait_for

DATABASE = f"sqlite:////nowhere/{os.getpid()}.db"
NAME = name_of_database(DATABASE)
POSTGRES = "postgresql+psycopg://me:secret@host:5432/jobs"


@pytest.fixture
def begin() -> Iterator[Callable[..., int]]:
    """Starts a program with that environment."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin_one(**marks: str) -> int:
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        begun.append(subprocess.Popen(command, env=marks))
        pid = begun[-1].pid
        expected = {f"{name}={value}".encode() for name, value in marks.items()}
        wait_for(lambda: expected <= set(environment(pid)), "it has begun")
        return pid

    yield begin_one
    for process in begun:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_who_comes_of_a_dead_server(begin: Callable[..., int]) -> None:
    clock = Clock()
    of_the_dead = begin(**{SERVER: f"{NAME}:{os.getpid()}:1"})
    of_a_job = begin(**{MARK: "job"})
    begin(**{SERVER: server_mark(DATABASE, clock)})
    begin(**{SERVER: server_mark(DATABASE, clock), MARK: "job"})
    begin(**{SERVER: f"{name_of_database(POSTGRES)}:{os.getpid()}:1"})
    begin(**{MARK: "another"})
    assert {process.pid for process in left_behind(DATABASE, ["job"], clock)} == {of_the_dead, of_a_job}


@pytest.mark.parametrize("mark", ["", ":x", ":12", ":1:2:3", ":-1:1", f":{'9' * 5000}:1", ":1:1 "])
def test_what_is_no_mark_of_a_server_says_nothing(begin: Callable[..., int], mark: str) -> None:
    """Anybody can set it; the next start must not fail of that."""
    begin(**{SERVER: NAME + mark})
    of_the_dead = begin(**{SERVER: f"{NAME}:{os.getpid()}:1"})
    assert {process.pid for process in left_behind(DATABASE, [], Clock())} == {of_the_dead}


@pytest.mark.parametrize(
    "other",
    [
        "postgresql+psycopg://me@host:5432/jobs",
        "postgresql+psycopg://me:another@host:5432/jobs",
        "postgresql+psycopg://me@host:5432/jobs?password=secret",
        "postgresql+psycopg://me@host:5432/jobs?sslpassword=secret",
    ],
)
def test_the_name_of_a_database_tells_nothing_of_its_password(other: str) -> None:
    assert name_of_database(other) == name_of_database(POSTGRES)


@pytest.mark.parametrize(
    "other",
    [
        "postgresql+psycopg://you:secret@host:5432/jobs",
        "postgresql+psycopg://me:secret@another:5432/jobs",
        "postgresql+psycopg://me:secret@host:5433/jobs",
        "postgresql+psycopg://me:secret@host:5432/others",
        "postgresql+psycopg://me:secret@host:5432/jobs?options=-csearch_path=x",
        pytest.param(DATABASE, id="of this process"),
    ],
)
def test_another_database_has_another_name(other: str) -> None:
    assert name_of_database(other) != name_of_database(POSTGRES)
