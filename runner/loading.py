"""Loading the modules of workflows, and what each does to the process that loads it.

A thread, a connection or an event loop that a module makes when it is imported does not go along when a process is
forked: whoever waits for it then waits for ever. So such a module is not loaded in the fork server, but in each job.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

log = logging.getLogger(__name__)
ENTRY_POINTS = "cancellable_jobs.workflows"
_OWN = "runner.workflows"
_THREADS, _FILES = Path("/proc/self/task"), Path("/proc/self/fd")
_KINDS = ("socket:", "anon_inode:[event", "anon_inode:[io_uring")

_unfit: dict[str, str] = {}


def load_workflows(modules: Sequence[str]) -> None:
    """Imports the modules that define types: the runner's own, installed ones, and those of RUNNER_WORKFLOWS."""
    importlib.import_module(_OWN)
    for entry in entry_points(group=ENTRY_POINTS):
        _watched(entry.module, entry.load)
    for module in modules:
        _watched(module, lambda module=module: importlib.import_module(module))  # type: ignore[misc]


def for_the_fork_server(modules: Sequence[str]) -> list[str]:
    """What it is to load, each with a "!" before it that it must not load: said aloud. After ``load_workflows``."""
    for module, why in _unfit.items():
        log.warning(
            "%s %s when it is imported: it is loaded in each of its jobs, which begin later for it", module, why
        )
    names = [_OWN, *(entry.module for entry in entry_points(group=ENTRY_POINTS)), *modules]
    return [f"!{name}" for name in _unfit] + [name for name in dict.fromkeys(names) if name not in _unfit]


def preload(names: Sequence[str]) -> None:
    """Loads what ``for_the_fork_server`` says. What needs a module that must not be loaded is not loaded either."""
    barred = [name[1:] for name in names if name.startswith("!")]
    barred = [name for name in barred if name not in sys.modules]
    sys.modules.update(dict.fromkeys(barred))  # type: ignore[arg-type] # None: whoever imports it gets an ImportError
    for name in names:
        if not name.startswith("!"):
            with contextlib.suppress(
                BaseException
            ):  # it fails again, aloud, in the server and in the job that needs it
                importlib.import_module(name)
    for name in barred:
        sys.modules.pop(name, None)


def threads_of(module: str) -> list[str]:
    """The names of living threads that run code of this module."""
    return [thread.name for thread in threading.enumerate() if _module_of(thread) == module]


def _watched(module: str, load: Callable[[], object]) -> None:
    if module in sys.modules:
        load()
        return
    before = set(threading.enumerate())
    threads, files = _native_threads(), set(_files())
    with _signals_kept() as changed:
        load()
    started = [thread for thread in threading.enumerate() if thread not in before]
    if started or _native_threads() > threads:
        _unfit[module] = f"starts a thread{f' ({started[0].name})' if started else ''}"
        barred = {
            name for thread in started if (name := _module_of(thread)).split(".")[0] not in sys.stdlib_module_names
        }
        _unfit.update(dict.fromkeys(barred - {module}, "starts a thread"))
    elif set(_files()) - files:
        _unfit[module] = "opens a connection or an event loop"
    elif changed:
        _unfit[module] = "takes over signals"


@contextlib.contextmanager
def _signals_kept() -> Iterator[list[int]]:
    """What a module sets is for its own process, and not for the one that must stop when it is told to."""
    changed: list[int] = []
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield changed
    finally:
        for number, reaction in before.items():
            if reaction is not None and signal.getsignal(number) != reaction:
                changed.append(number)
                with contextlib.suppress(ValueError, OSError):  # not in the main thread: then nobody could change it
                    signal.signal(number, reaction)


def _is_pythons(module: str) -> bool:
    return module.split(".")[0] in sys.stdlib_module_names


def _module_of(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", None) or type(thread).__module__


def _native_threads() -> int:
    try:
        return sum(1 for _ in _THREADS.iterdir())
    except OSError:
        return 0


def _files() -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in _FILES.iterdir():
            with contextlib.suppress(OSError):
                if (link := str(entry.readlink())).startswith(_KINDS):
                    yield link
