"""A server in a throw-away home, on a free port of this machine alone; and the `runner` commands beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import httpx

Found = TypeVar("Found")
START_SECONDS = 30.0
_END_SECONDS = 20.0
_KILL_SECONDS = 5.0
_TRIES = 3
_LOOK_SECONDS = 0.05
_SETTINGS = ("RUNNER_", "EVOLUTION_", "WAHA_")


class NotAsPromised(Exception):
    """Something did not go as the README says; the message is a plain sentence for whoever ran the demo."""


class DemoServer:
    """``python -m web`` in ``home``, which is also its current directory: no ``.env`` of the user's is read.

    Started in a session of its own, so that a Ctrl-C reaches it through ``stop`` alone.
    """

    def __init__(self, home: Path, settings: dict[str, str], arguments: Sequence[str] = ()) -> None:
        self.home = home
        self.log = home / "server.log"
        self.port = free_port()
        self._arguments = arguments
        self.environment = clean_environment(home, self.port) | settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers. Raises NotAsPromised with the end of its log."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "web", *self._arguments],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._is_ready, "the server answered", START_SECONDS)

    def stop(self) -> int | None:
        """Ends it as a user would, then by force, also when this is interrupted; returns its exit code.

        None if it does not run (any more).
        """
        process = self._process
        if process is None:
            return None
        try:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        finally:
            self._process = None
            if process.poll() is None:
                process.kill()
        return process.wait(_KILL_SECONDS)

    def wait(self) -> int:
        """Until it ends by itself."""
        return self._process.wait() if self._process else 0

    def run(self, *arguments: str) -> str:
        """One ``runner`` command as a user would type it; returns what it said. Raises NotAsPromised if it failed."""
        done = subprocess.run(
            [Path(sys.executable).with_name("runner"), *arguments],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise NotAsPromised(f"runner {arguments[0]} ended with {done.returncode} and said:\n{done.stdout}")
        return done.stdout

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""

    def _is_ready(self) -> bool:
        code = self._process.poll() if self._process else None
        if code is not None:
            raise NotAsPromised(f"The server ended with {code} and said:\n{self.last_words()}")
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextlib.contextmanager
def throw_away_server(settings: dict[str, str] | None = None, arguments: Sequence[str] = ()) -> Iterator[DemoServer]:
    """A running server whose home is gone afterwards. Another port is tried where somebody was quicker to take it."""
    home = Path(tempfile.mkdtemp(prefix="cancellable-jobs-"))
    server = DemoServer(home, settings or {}, arguments)
    try:
        _start_on_a_free_port(server)
        yield server
        if code := server.stop():
            raise NotAsPromised(f"The server did not stop in order: it ended with {code}.")
    finally:
        try:
            server.stop()
        finally:
            shutil.rmtree(home, ignore_errors=True)


def _start_on_a_free_port(server: DemoServer) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            return server.start()
        except NotAsPromised:
            server.stop()
            if not tries_left or "in use" not in server.last_words():
                raise
            server.port = free_port()
            server.environment["RUNNER_PORT"] = str(server.port)
    raise AssertionError("the last try returns or raises")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def clean_environment(home: Path, port: int) -> dict[str, str]:
    """The caller's environment without settings of ours: a demo must never meet the database of a real group."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    own = {"RUNNER_HOME": str(home), "RUNNER_HOST": "127.0.0.1", "RUNNER_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    scripts = str(Path(sys.executable).parent)
    return kept | own | {"PATH": os.pathsep.join([scripts, kept.get("PATH", os.defpath)])}


def wait_for(condition: Callable[[], Found | None], sentence: str, seconds: float) -> Found:
    """The first true value of ``condition``. Raises NotAsPromised when there is none within ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise NotAsPromised(f"Within {seconds:g} s it did not come true that {sentence}.")
        time.sleep(_LOOK_SECONDS)
    return found
