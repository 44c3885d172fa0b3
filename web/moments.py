"""Times as people write them on a command line."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import typer


def read_moment(option: str, text: str, zone: tzinfo | None = None) -> int:
    """``2026-01-31`` or ``2026-01-31T18:00``, in ``zone``, else in this machine's; UTC milliseconds.

    Raises typer.BadParameter.
    """
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("must be like 2026-01-31 or 2026-01-31T18:00", param_hint=option) from None
    try:
        placed = said if said.tzinfo else said.replace(tzinfo=zone) if zone else said.astimezone()
        in_utc = placed.astimezone(UTC)
    except (OverflowError, ValueError):
        raise typer.BadParameter("is in no year that a date may have", param_hint=option) from None
    return int(in_utc.timestamp() * 1000)
