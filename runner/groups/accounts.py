"""Accounts: a gateway and its instance there, as webhooks and groups name them: ``evolution/name``."""

from __future__ import annotations

from runner.settings import AT_A_DISTANCE, Settings


def own_account(settings: Settings) -> str | None:
    """That of the configured gateway; None where it sends no events."""
    name = settings.reach_of(settings.gateway).name if settings.gateway in AT_A_DISTANCE else ""
    return f"{settings.gateway}/{name}" if name else None


def accounts_to_ask(settings: Settings) -> dict[str, str]:
    """Every account that can be asked how it stands, and its gateway: also where another gateway removes people."""
    return {f"{gateway}/{settings.reach_of(gateway).name}": gateway for gateway in settings.gateways_ready}


def secrets_of(settings: Settings) -> dict[str, tuple[str, str]]:
    """By gateway: the variable by which its webhooks prove themselves, and its value, "" where none are taken."""
    return {
        "evolution": ("RUNNER_WEBHOOK_SECRET", settings.webhook_secret.get_secret_value()),
        "waha": ("RUNNER_WAHA_HMAC_KEY", settings.waha_hmac_key.get_secret_value()),
    }
