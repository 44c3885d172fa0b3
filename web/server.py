"""The server: the one place where everything is put together.

Exit codes: 0 stopped in order · 1 something unexpected · 3 some jobs had to be forced · 4 a second signal: jobs were
left to end by themselves · 78 the configuration is wrong, and a sentence says what. Ctrl-C before it stands ends the
process by that signal.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError

from runner.clock import Clock
from runner.errors import RunnerError
from runner.groups.missed import Missed
from runner.groups.watchman import Watchman
from runner.manager import JobManager
from runner.settings import Settings
from runner.sockets import clear, socket_folder, sweep_old_folders
from runner.stores.migrate import migrate
from runner.stores.session import DatabaseSession
from runner.stores.tokens import TokenRows
from runner.sweep import sweep
from web.app import create_app
from web.banner import banner
from web.carryover import carried_over
from web.configuration import (
    DEMO_MARK,
    WrongConfiguration,
    check_reach,
    forget_secrets,
    is_loopback,
    read_server_settings,
    unknown_variables,
    unusable_database,
)
from web.draining import BROKEN, Draining
from web.intake import BODY_BYTES, parser_for
from web.listening import listening, most_connections
from web.lock import AlreadyRunning, ServerLock
from web.logs import UnknownLevel, set_up_logs
from web.places import Bounds, Places
from web.proxies import Proxies
from web.streams import last_words, take_over_streams
from web.visible import visible

log = logging.getLogger(__name__)
_SWEEP_SECONDS = 5.0

WRONG_CONFIGURATION = 78


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m web", description="The server. Configured by RUNNER_* variables.")
    parser.add_argument("--demo", action="store_true", help="make the demo's group, with members to work on")
    demo = parser.parse_args(arguments).demo
    os.umask(0o077)  # what is kept here is people's data
    take_over_streams()
    try:
        manager, server, watchman = begin(demo)
    except (WrongConfiguration, AlreadyRunning, UnknownLevel) as error:
        print(f"runner: {visible(str(error))}", file=sys.stderr)
        _leave_at_once(WRONG_CONFIGURATION)  # it may have begun processes, and threads that nobody can wait for
    return serve(manager, server, watchman, demo=demo)


def begin(demo: bool) -> tuple[JobManager, Any, Watchman]:
    """Everything but the answers. Raises WrongConfiguration, AlreadyRunning and UnknownLevel."""
    try:
        set_up_logs()
        settings = read_server_settings(demo=demo)
        for sentence in unknown_variables():
            log.warning(sentence)
        forget_secrets()
        lock = ServerLock(settings)
        lock.take()
        session = take_session(settings)
        manager = prepare(settings, demo)
        missed = Missed(settings.home / "missed.journal")
        server = listen(manager, missed)
        watchman = open_manager(manager, missed)
        session.watch(_drain)
        return manager, server, watchman
    except (OSError, RunnerError, MemoryError) as error:
        raise WrongConfiguration(cannot_start(error)) from error
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        raise WrongConfiguration(cannot_start(error)) from error


def cannot_start(error: Exception) -> str:
    """What the system refuses, in a sentence: a full disk, no threads, no rights."""
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"The system does not let the server start: {error.strerror}{where}"
    if isinstance(error, RuntimeError | MemoryError):
        why = str(error) or "no memory"
        return f"The system does not let the server start: {why}; it, or this user, has reached a limit"
    return str(error)


def take_session(settings: Settings) -> DatabaseSession:
    """The hold on a database that is no file. Raises WrongConfiguration, or ServedAlready."""
    try:
        session = DatabaseSession(settings.url)
        session.take()
    except ModuleNotFoundError as error:
        raise WrongConfiguration(
            f"The driver of the database is not installed ({error.name}): for PostgreSQL install "
            "'cancellable-jobs[postgres]' and write postgresql+psycopg:// in RUNNER_DATABASE_URL"
        ) from error
    except SQLAlchemyError as error:
        raise unusable_database(settings, error) from error
    return session


def _drain(sentence: str) -> None:
    """This server may not go on: it goes down in order, as on a SIGTERM."""
    log.error("Going down: %s", sentence)
    os.kill(os.getpid(), signal.SIGTERM)


def prepare(settings: Settings, demo: bool) -> JobManager:
    """Home, database and manager; nothing runs yet. Raises WrongConfiguration."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep_old_folders()
        # Before the database is asked: one of them may have been suspended while it held the lock on writing.
        sweep([], settings.url, Clock(), _SWEEP_SECONDS)
        migrate(settings.url)
        clear(socket_folder(settings.home, os.environ.get("XDG_RUNTIME_DIR")))
        manager = JobManager(settings)
        check_reach(settings, manager.store)
        if demo:
            from runner.demo.seed import seed_demo

            (settings.home / DEMO_MARK).touch()
            seed_demo(manager.store, manager.clock)
    except SQLAlchemyError as error:
        raise unusable_database(settings, error) from error
    return manager


def listen(manager: JobManager, missed: Missed) -> Any:
    """Binds the port, before anything runs that would have to be stopped again. Raises WrongConfiguration."""
    settings = manager.settings
    app = create_app(manager, missed)
    places = Places(Bounds(most=most_connections()), is_loopback, Proxies(settings.proxy_networks))
    try:
        return listening(
            app,
            places,
            parser_for(settings, missed),
            host=settings.host,
            port=settings.port,
            threads=16,
            ident=None,
            asyncore_use_poll=True,
            channel_request_lookahead=1,
            outbuf_high_watermark=65_536,
            max_request_body_size=BODY_BYTES,
            trusted_proxy=None,
            clear_untrusted_proxy_headers=False,  # web.gate sees by them who does not ask from this machine
        )
    except OSError as error:
        raise WrongConfiguration(
            f"Port {settings.port} of {settings.host} cannot be had ({error.strerror}); name another with --port"
        ) from error
    except ValueError as error:  # waitress's word for a name that cannot be resolved
        raise WrongConfiguration(f"RUNNER_HOST is {settings.host!r}, which no address is known of") from error


def port_of(server: Any) -> int:
    """The first, where a name has several addresses, as localhost has on most machines."""
    several = getattr(server, "effective_listen", None)
    return int(several[0][1] if several else server.effective_port)


def open_manager(manager: JobManager, missed: Missed) -> Watchman:
    """Starts the processes and takes up what was left: jobs that go on must find a gap in what was heard told.

    Raises WrongConfiguration for workflows that do not load.
    """
    watchman = Watchman(manager.settings, manager.store, manager.clock, missed)
    watchman.end_what_is_refused()
    watchman.begin()
    try:
        manager.open()
        watchman.start()
    except ImportError as error:
        raise WrongConfiguration(f"RUNNER_WORKFLOWS: {error}") from error
    return watchman


def serve(manager: JobManager, server: Any, watchman: Watchman, *, demo: bool) -> int:
    """Answers until it is told to stop; returns the exit code."""
    draining = Draining(manager)
    draining.listen()
    going_on = carried_over(manager)
    port, tokens = port_of(server), _any_tokens(manager)
    print(banner(manager.settings, port, demo=demo, tokens=tokens, going_on=going_on), flush=True)
    try:
        server.run()
    except SystemExit:
        log.debug("Left before the first request")
    watchman.stop()
    manager.close()
    draining.over()
    log.info("Stopped")
    if draining.code == BROKEN:
        _leave_at_once(BROKEN)
    return draining.code


def _any_tokens(manager: JobManager) -> bool:
    with manager.store.read() as tx:
        return TokenRows(tx).any_made()


def _leave_at_once(code: int) -> NoReturn:
    """Without waiting for jobs that could not be stopped: they end when this process is gone."""
    last_words()
    os._exit(code)
