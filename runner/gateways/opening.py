"""Which gateway: chosen by one setting, opened in the process that uses it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from runner.clock import Clock
from runner.errors import RunnerError
from runner.gateway import GroupGateway
from runner.gateways.roster import CALL_SECONDS, RosterGateway
from runner.settings import Settings
from runner.store import Store

ROSTER = "roster"
NOT_YET = ("evolution", "waha")
UNSAID_CALL_SECONDS = 90.0
"""How long a call of an operator's own gateway may take when its factory does not say: longer than WhatsApp's 60 s."""

Factory = Callable[[Settings, Store, Clock], GroupGateway]


class GatewayUnknown(RunnerError):
    """``RUNNER_GATEWAY`` names nothing that can be opened."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"RUNNER_GATEWAY={name}: {why}")


def open_gateway(settings: Settings, store: Store, clock: Clock) -> GroupGateway:
    """The gateway of ``settings.gateway``: roster, or ``module:factory`` with ``factory(settings, store, clock)``.

    Raises GatewayUnknown.
    """
    if settings.gateway == ROSTER:
        return RosterGateway(store, clock)
    return _factory(settings.gateway)(settings, store, clock)


def call_seconds(settings: Settings) -> float:
    """The longest a removal by that gateway may take, without opening it: ``call_seconds`` of the factory, else 90."""
    if settings.gateway == ROSTER:
        return CALL_SECONDS
    return float(getattr(_factory(settings.gateway), "call_seconds", UNSAID_CALL_SECONDS))


def _factory(name: str) -> Factory:
    module, colon, factory = name.partition(":")
    if name in NOT_YET:
        raise GatewayUnknown(name, "this gateway is not built in yet; use roster, or module:factory of your own")
    if not (module and colon and factory):
        raise GatewayUnknown(name, "there is no such gateway; use roster, or module:factory of your own")
    try:
        found: Any = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise GatewayUnknown(name, f"it cannot be imported: {error}") from error
    return found  # type: ignore[no-any-return]
