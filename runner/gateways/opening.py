"""Which gateway: chosen by one setting, opened in the process that uses it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from runner.clock import Clock
from runner.gateway import GroupGateway
from runner.gateways.access import GatewayUnknown, access_to
from runner.gateways.roster import CALL_SECONDS, RosterGateway
from runner.settings import AT_A_DISTANCE, Settings
from runner.store import Store

ROSTER = "roster"
UNSAID_CALL_SECONDS = 90.0
"""How long a call of an operator's own gateway may take when its factory does not say: longer than WhatsApp's 60 s."""

Factory = Callable[[Settings, Store, Clock], GroupGateway]


def open_gateway(settings: Settings, store: Store, clock: Clock) -> GroupGateway:
    """The gateway of ``settings.gateway``: roster, evolution, waha, or ``module:factory`` with
    ``factory(settings, store, clock)``.

    Raises GatewayUnknown, also for a variable that is missing or wrong. Nothing is sent yet.
    """
    match settings.gateway:
        case "roster":
            return RosterGateway(store, clock)
        case "evolution":  # what speaks HTTP is loaded only by who needs it: see preload_gateway
            from runner.gateways.evolution import EvolutionGateway

            return EvolutionGateway(access_to("evolution", settings), settings.gateway_call_seconds)
        case "waha":
            from runner.gateways.waha import WahaGateway

            return WahaGateway(access_to("waha", settings), settings.gateway_call_seconds)
        case name:
            return _factory(name)(settings, store, clock)


def call_seconds(settings: Settings) -> float:
    """The longest a removal by that gateway may take, without opening it: ``call_seconds`` of the factory, else 90.

    Raises GatewayUnknown as ``open_gateway`` does.
    """
    if settings.gateway == ROSTER:
        return CALL_SECONDS
    if settings.gateway in AT_A_DISTANCE:
        access_to(settings.gateway, settings)
        return settings.gateway_call_seconds
    return float(getattr(_factory(settings.gateway), "call_seconds", UNSAID_CALL_SECONDS))


def preload_gateway(name: str) -> None:
    """Loads what that gateway will need, once for all processes that are forked from this one. Raises nothing."""
    if name in AT_A_DISTANCE:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"runner.gateways.{name}")


def _factory(name: str) -> Factory:
    module, colon, factory = name.partition(":")
    if not (module and colon and factory):
        raise GatewayUnknown(
            name, "there is no such gateway; use roster, evolution, waha, or module:factory of your own"
        )
    try:
        found: Any = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise GatewayUnknown(name, f"it cannot be imported: {error}") from error
    return found  # type: ignore[no-any-return]
