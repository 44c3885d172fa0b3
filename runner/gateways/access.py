"""How a gateway at a distance is reached: its address, our key, and what we are called there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from runner.errors import RunnerError
from runner.settings import Settings


class GatewayUnknown(RunnerError):
    """The gateway in force cannot be opened. ``name``: what RUNNER_GATEWAY says, None where nobody has set it."""

    def __init__(self, name: str | None, why: str) -> None:
        super().__init__(why if name is None else f"RUNNER_GATEWAY={name}: {why}")


class _Unfit(Exception):
    """A variable is missing or wrong; the message names it and has nothing of its value."""


@dataclass(frozen=True)
class Access:
    """``url`` without a slash at its end; ``key`` does not show itself; ``name``: the instance or the session."""

    url: str
    key: SecretStr
    name: str


def access_to(gateway: str, settings: Settings) -> Access:
    """By its three variables, as EVOLUTION_*. Raises GatewayUnknown, which names the one that is missing or wrong."""
    given, variables = settings.reach_of(gateway), settings.variables_of(gateway)
    with _said_of(settings):
        _all_given(settings.missing_for(gateway))
        url, key = _address(variables.url, given.url), _fit_for_a_header(variables.key, given.key)
    return Access(url, key, given.name)


@contextmanager
def _said_of(settings: Settings) -> Iterator[None]:
    """RUNNER_GATEWAY is named to those alone who have set it: others would look for what is not there."""
    try:
        yield
    except _Unfit as error:
        name = settings.gateway if "gateway" in settings.model_fields_set else None
        raise GatewayUnknown(name, str(error)) from None


def _all_given(missing: Sequence[str]) -> None:
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise _Unfit(f"{' and '.join(missing)} {verb} not set, and this gateway needs it")


def _address(variable: str, text: str) -> str:
    """The value itself is not repeated in an error: it may be a key in the wrong place, or hold a password."""
    try:
        parts = urlsplit(text.strip())
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        plain = text.isascii() and not any(char.isspace() or ord(char) < 32 for char in text.strip())
    except ValueError:
        raise _Unfit(f"{variable} is no address; it should look like http://127.0.0.1:8080") from None
    if not (fits and plain):
        raise _Unfit(f"{variable} must be an address like http://127.0.0.1:8080 or https://host/path")
    if parts.username is not None or parts.password is not None:
        raise _Unfit(f"{variable} must not have a name or password in it")
    if parts.query or parts.fragment:
        raise _Unfit(f"{variable} must end before any ? or #")
    return text.strip().rstrip("/")


def _fit_for_a_header(variable: str, key: str) -> SecretStr:
    plain = key.strip()
    if not plain or not plain.isascii() or not plain.isprintable():
        raise _Unfit(f"{variable} has characters that no key has")
    return SecretStr(plain)
