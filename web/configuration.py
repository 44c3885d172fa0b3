"""Reading the settings, and saying in a sentence what is wrong with them."""

from __future__ import annotations

import ipaddress

from pydantic import ValidationError

from runner.settings import Settings
from web.faults import faults_of


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
    if not _is_loopback(settings.host):
        raise WrongConfiguration(
            f"RUNNER_HOST is {settings.host}, which others could reach, and there are no tokens yet to keep them "
            "out: leave it at 127.0.0.1, and put a proxy that asks for a password in front"
        )
    try:
        call_seconds(settings)
    except GatewayUnknown as error:
        raise WrongConfiguration(str(error)) from None
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
