"""Modules that do something to the process which loads them: they are loaded in their jobs, and it is said."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import loading
from runner.loading import for_the_fork_server, load_workflows, preload, threads_of
from runner.testing import NotStopSafe, assert_stop_safe

THREADS = "tests.processes.samples_threads"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What modules of one test did is not said to the fork server of another."""
    yield
    for name in ("odd_socket", "odd_loop", "odd_signal"):
        loading._unfit.pop(name, None)


def load(folder: Path, name: str, text: str) -> list[str]:
    """What the fork server is told to load of it."""
    (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    try:
        load_workflows([name])
        return [found for found in for_the_fork_server([name]) if found.lstrip("!") == name]
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("odd_socket", "import socket\nmine = socket.socket()\n", "opens a connection or an event loop"),
        ("odd_loop", "import asyncio\nmine = asyncio.new_event_loop()\n", "opens a connection or an event loop"),
        ("odd_signal", "import signal\nsignal.signal(signal.SIGUSR2, print)\n", "takes over signals"),
    ],
)
def test_what_does_not_go_along_is_not_loaded_ahead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, text: str, why: str
) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    assert load(tmp_path, name, text) == [f"!{name}"]
    assert f"{name} {why} when it is imported" in caplog.text
    assert signal.getsignal(signal.SIGUSR2) == before
    mine = getattr(sys.modules[name], "mine", None)
    if mine is not None:
        mine.close()


def test_a_plain_module_is_loaded_ahead(tmp_path: Path) -> None:
    assert load(tmp_path, "plain_module", "print('loaded')\n") == ["plain_module"]


def test_what_needs_a_module_that_is_barred_is_not_loaded_ahead_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "barred_module.py").write_text("")
    (tmp_path / "needs_barred.py").write_text("import barred_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    preload(["!barred_module", "needs_barred"])
    assert not {"barred_module", "needs_barred"} & sys.modules.keys()


def test_a_thread_that_a_module_has_started_is_named_where_its_workflow_waits_for_ever(tmp_path: Path) -> None:
    load_workflows([THREADS])
    assert f"!{THREADS}" in for_the_fork_server([THREADS])
    assert threads_of(THREADS) == ["answerer"]
    with pytest.raises(NotStopSafe, match=r"samples_threads runs a thread here \(answerer\)"):
        assert_stop_safe("asks_a_thread", {}, folder=tmp_path, limit_seconds=1.0)
