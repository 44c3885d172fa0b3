"""The Manager's dict that all jobs share, at one address whichever Manager serves it.

A Manager that follows another is found there by whoever connects again: no running job need be told. It serves one
dict, under a name instead of an id that only its own proxies know.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from multiprocessing.connection import Client
from multiprocessing.managers import SyncManager, dispatch  # type: ignore[attr-defined]
from multiprocessing.process import current_process
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any, cast

from runner.job import JsonDict
from runner.watch import end_with_server

_NAME = "lines"

Key = tuple[str, int]
"""The job's id and the pid of the process that runs it: what a run leaves behind is never taken for the next one's."""


class LinesLost(Exception):
    """The dict is not to be had over this connection; another one may reach it."""


class SharedLines:
    """Where the dict is: a socket in ``folder``, else in multiprocessing's own. Goes to a process at its birth."""

    def __init__(self, folder: Path | None = None) -> None:
        self.address = str((folder or Path(get_temp_dir())) / f"lines-{secrets.token_hex(4)}")

    def connect(self) -> Lines:
        """Raises LinesLost when nobody listens; waits for ever for a Manager that is stopped."""
        return Lines(self.address)


class Lines:
    """The dict over one connection, for one thread. Every method raises LinesLost, or waits for a stopped Manager.

    No ``DictProxy``: that keeps one connection for a thread and an address, also when it is dead, connects again in
    each process forked from this one, and asks the Manager once more when this one ends.
    """

    def __init__(self, address: str) -> None:
        try:
            self._connection = Client(address, authkey=current_process().authkey)
            dispatch(self._connection, None, "accept_connection", (_NAME,))
        except Exception as error:
            raise LinesLost from error

    def write(self, key: Key, value: JsonDict) -> None:
        self._ask("__setitem__", key, value)

    def drop(self, key: Key) -> None:
        self._ask("pop", key, None)

    def copy(self) -> dict[Key, JsonDict]:
        return cast(dict[Key, JsonDict], self._ask("copy"))

    def fileno(self) -> int:
        """Readable once the Manager is gone."""
        return self._connection.fileno()

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return dispatch(self._connection, _NAME, method, arguments)
        except Exception as error:  # a broken pipe, an end of file, half an answer
            raise LinesLost from error


def serve(address: str) -> None:
    """The Manager's process: until it is killed, or the server ends. An interrupt from the terminal is not for it.

    Exits with the system's error number where it cannot listen.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_server()
    with contextlib.suppress(FileNotFoundError):  # of a Manager that was killed
        os.unlink(address)  # noqa: PTH108
    try:
        server = SyncManager(address).get_server()
    except OSError as error:
        raise SystemExit(error.errno or 1) from None  # the server says so, once
    server.id_to_obj[_NAME] = ({}, {"__setitem__", "pop", "copy"}, {})
    server.serve_forever()
