"""Reading the settings, and saying in a sentence what is wrong with them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from runner.settings import Settings
from web.faults import faults_of

if TYPE_CHECKING:
    from runner.store import Store


class WrongConfiguration(Exception):
    """It cannot start like this; the message says what to change."""


def read_settings() -> Settings:
    """Raises WrongConfiguration with every fault."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"RUNNER_{(fault.field or 'gateway').upper()}: {fault.message}" for fault in faults_of(error, [])]
        raise WrongConfiguration("; ".join(faults)) from None


def read_server_settings() -> Settings:
    """Raises WrongConfiguration also for what only a server minds."""
    from runner.opening import GatewayUnknown, call_seconds  # here: a client's verbs need no database code

    settings = read_settings()
    try:
        call_seconds(settings)
    except GatewayUnknown as error:
        raise WrongConfiguration(str(error)) from None
    return settings


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
