"""Reading the settings, and saying in a sentence what is wrong with them."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource

from runner.settings import AT_A_DISTANCE, Settings
from web.faults import faults_of

if TYPE_CHECKING:
    from runner.store import Store


_NO_SETTINGS = frozenset(
    {
        *("RUNNER_JOB", "RUNNER_SERVER", "RUNNER_PRELOAD_WORKFLOWS"),  # marks of our own processes
        *("RUNNER_CRASHPOINT", "RUNNER_CRASHPOINT_LOG"),
        # What GitHub Actions gives to every step.
        *("RUNNER_ARCH", "RUNNER_DEBUG", "RUNNER_ENVIRONMENT", "RUNNER_NAME", "RUNNER_OS", "RUNNER_TEMP"),
        *("RUNNER_TOOL_CACHE", "RUNNER_TRACKING_ID", "RUNNER_WORKSPACE"),
    }
)
"""Variables of our prefix that mean something, and are no settings."""


class WrongConfiguration(Exception):
    """It cannot start like this; the message says what to change."""


def read_settings() -> Settings:
    """Raises WrongConfiguration with every fault."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"RUNNER_{(fault.field or 'gateway').upper()}: {fault.message}" for fault in faults_of(error, [])]
        raise WrongConfiguration("; ".join(faults)) from None


DEMO_MARK = "this-is-a-demo"
"""A file in the home of a demo: what is started for a demo there stays there."""


def read_demo_settings() -> Settings:
    """A home and a database of its own: a demo never puts its group, jobs and tokens beside real ones. Raises
    WrongConfiguration.
    """
    if "RUNNER_GATEWAY" not in _variables():
        os.environ["RUNNER_GATEWAY"] = "roster"
    settings = read_settings()
    home = settings.home if (settings.home / DEMO_MARK).is_file() else settings.home / "demo"
    return settings.model_copy(update={"home": home, "database_url": ""})


def read_server_settings(*, demo: bool = False) -> Settings:
    """Raises WrongConfiguration also for what only a server minds. demo: in a home of its own, on the roster unless
    RUNNER_GATEWAY is given.
    """
    from runner.opening import GatewayUnknown, call_seconds  # here: a client's verbs need no database code

    settings = read_demo_settings() if demo else read_settings()
    check_home(settings)
    check_database_url(settings)
    try:
        call_seconds(settings)
    except GatewayUnknown as error:
        raise WrongConfiguration(str(error)) from None
    return settings


def forget_secrets() -> None:
    """Takes every secret out of this process's environment, which jobs inherit: what they need they get by their pipe.

    Call it once the settings are read. Names count in either case, as they do for the settings.
    """
    for name in [name for name in os.environ if name.upper() in Settings.secret_variables()]:
        del os.environ[name]


def missing_for_a_gateway(settings: Settings) -> str | None:
    """``WAHA_API_KEY is not set for waha``: where nobody chose the roster, and some variables of another are there."""
    if "gateway" in settings.model_fields_set:
        return None
    missing = {name: settings.missing_for(name) for name in sorted(AT_A_DISTANCE) if settings.is_begun(name)}
    said = [
        f"{' and '.join(keys)} {'is' if len(keys) == 1 else 'are'} not set for {name}"
        for name, keys in missing.items()
        if keys
    ]
    return ", and ".join(said) or None


def unknown_variables() -> list[str]:
    """A sentence for each RUNNER_* variable that sets nothing, with the nearest that does. Values are not repeated."""
    known = [f"RUNNER_{name.upper()}" for name, field in Settings.model_fields.items() if not field.validation_alias]
    known.append("RUNNER_LOG_LEVEL")
    strange = sorted(name for name in _variables() if name.startswith("RUNNER_") and not _is_used(name, known))
    return [f"{name} is no setting and changes nothing{_nearest(name, known)}" for name in strange]


def _is_used(name: str, settings: Iterable[str]) -> bool:
    return name in settings or name in _NO_SETTINGS or name.startswith("RUNNER_TEST_")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.7)
    return f": did you mean {near[0]}?" if near else ""


def _variables() -> set[str]:
    """The names that are set, in the environment or in ``.env``."""
    return {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}


def check_reach(settings: Settings, store: Store) -> None:
    """Others may reach the server only where a token keeps them out. Raises WrongConfiguration."""
    from runner.stores.tokens import TokenRows

    if is_loopback(settings.host):
        return
    with store.read() as tx:
        guarded = TokenRows(tx).any_valid()
    if not guarded:
        raise WrongConfiguration(
            f"RUNNER_HOST is {settings.host}, which others could reach, and there is no valid token to keep them out: "
            "make one with 'runner token new NAME --role admin', or leave it at 127.0.0.1"
        )


def check_home(settings: Settings) -> None:
    """Raises WrongConfiguration where the user has no home folder and nobody has named another."""
    if not settings.home.is_absolute():
        raise WrongConfiguration(
            f"{settings.home} cannot be found: this user has no home folder, or the current one is gone; name a "
            "folder with RUNNER_HOME or --home"
        )


def check_database_url(settings: Settings) -> None:
    """Raises WrongConfiguration for what is none, and repeats nothing of it: there may be a password in it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(settings.url)
    except (ArgumentError, ValueError):
        raise WrongConfiguration(
            "RUNNER_DATABASE_URL is no address of a database, such as postgresql+psycopg://user:password@host/name; in "
            "a password write @ as %40, : as %3A and / as %2F"
        ) from None


def unusable_database(settings: Settings, error: Exception) -> WrongConfiguration:
    """What SQLAlchemy could not do with it, in a sentence: it may be no database at all."""
    from sqlalchemy.engine import make_url

    cause = str(getattr(error, "orig", None) or error).splitlines()[0]
    return WrongConfiguration(
        f"The database {make_url(settings.url).render_as_string()} cannot be used: {cause}. It was left as it is; "
        "put a backup in its place, or name another with RUNNER_DATABASE_URL"
    )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine is there; False for names that may be anywhere, and for nonsense."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
