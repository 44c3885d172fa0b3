"""Accounts: a gateway and its instance there, as webhooks and groups name them: ``evolution/name``."""

from __future__ import annotations

from runner.settings import Settings


def own_account(settings: Settings) -> str | None:
    """That of the configured gateway; None where it sends no events."""
    name = _names(settings).get(settings.gateway, "")
    return f"{settings.gateway}/{name}" if name else None


def accounts_to_ask(settings: Settings) -> dict[str, str]:
    """Every account that can be asked how it stands, and its gateway: also where another gateway removes people."""
    names = _names(settings)
    return {f"{gateway}/{names[gateway]}": gateway for gateway in settings.gateways_ready}


def _names(settings: Settings) -> dict[str, str]:
    return {"evolution": settings.evolution_instance_name, "waha": settings.waha_session}
