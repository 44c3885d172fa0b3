"""How a gateway at a distance is reached: its address, our key, and what we are called there."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from runner.errors import RunnerError
from runner.settings import Settings

EVOLUTION, WAHA = "evolution", "waha"


class GatewayUnknown(RunnerError):
    """``RUNNER_GATEWAY`` names nothing that can be opened."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"RUNNER_GATEWAY={name}: {why}")


@dataclass(frozen=True)
class Access:
    """``url`` without a slash at its end; ``key`` does not show itself; ``name``: the instance or the session."""

    url: str
    key: SecretStr
    name: str


def evolution_access(settings: Settings) -> Access:
    """By the three EVOLUTION_* variables. Raises GatewayUnknown, which names the variable that is missing or wrong."""
    _all_given(
        EVOLUTION,
        EVOLUTION_API_URL=settings.evolution_api_url,
        EVOLUTION_API_KEY=settings.evolution_api_key.get_secret_value(),
        EVOLUTION_INSTANCE_NAME=settings.evolution_instance_name,
    )
    url = _address(EVOLUTION, "EVOLUTION_API_URL", settings.evolution_api_url)
    key = _fit_for_a_header(EVOLUTION, "EVOLUTION_API_KEY", settings.evolution_api_key)
    return Access(url, key, settings.evolution_instance_name)


def waha_access(settings: Settings) -> Access:
    """By WAHA_URL, WAHA_API_KEY and WAHA_SESSION. Raises as ``evolution_access``."""
    _all_given(
        WAHA,
        WAHA_URL=settings.waha_url,
        WAHA_API_KEY=settings.waha_api_key.get_secret_value(),
        WAHA_SESSION=settings.waha_session,
    )
    url = _address(WAHA, "WAHA_URL", settings.waha_url)
    return Access(url, _fit_for_a_header(WAHA, "WAHA_API_KEY", settings.waha_api_key), settings.waha_session)


def _all_given(gateway: str, **values: str) -> None:
    missing = [name for name, value in values.items() if not value]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise GatewayUnknown(gateway, f"{' and '.join(missing)} {verb} not set, and this gateway needs it")


def _address(gateway: str, variable: str, text: str) -> str:
    """The value itself is not repeated in an error: it may be a key in the wrong place, or hold a password."""
    try:
        parts = urlsplit(text.strip())
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        plain = text.isascii() and not any(char.isspace() or ord(char) < 32 for char in text.strip())
    except ValueError:
        raise GatewayUnknown(gateway, f"{variable} is no address; it should look like http://127.0.0.1:8080") from None
    if not (fits and plain):
        raise GatewayUnknown(gateway, f"{variable} must be an address like http://127.0.0.1:8080 or https://host/path")
    if parts.username is not None or parts.password is not None:
        raise GatewayUnknown(gateway, f"{variable} must not have a name or password in it")
    if parts.query or parts.fragment:
        raise GatewayUnknown(gateway, f"{variable} must end before any ? or #")
    return text.strip().rstrip("/")


def _fit_for_a_header(gateway: str, variable: str, key: SecretStr) -> SecretStr:
    plain = key.get_secret_value().strip()
    if not plain or not plain.isascii() or not plain.isprintable():
        raise GatewayUnknown(gateway, f"{variable} has characters that no key has")
    return SecretStr(plain)
