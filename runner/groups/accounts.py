"""Accounts: a gateway and its instance there, as webhooks and groups name them: ``evolution/name``."""

from __future__ import annotations

from runner.settings import Settings


def own_account(settings: Settings) -> str | None:
    """That of the configured gateway; None where it sends no events."""
    names = {"evolution": settings.evolution_instance_name, "waha": settings.waha_session}
    name = names.get(settings.gateway, "")
    return f"{settings.gateway}/{name}" if name else None
