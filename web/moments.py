"""Times as people write them on a command line."""

from __future__ import annotations

from datetime import datetime, tzinfo

import typer


def read_moment(option: str, text: str, zone: tzinfo | None = None) -> int:
    """``2026-01-31`` or ``2026-01-31T18:00``, in ``zone``, else in this machine's; UTC milliseconds.

    Raises typer.BadParameter.
    """
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("must be like 2026-01-31 or 2026-01-31T18:00", param_hint=option) from None
    placed = said if said.tzinfo else said.replace(tzinfo=zone) if zone else said.astimezone()
    return int(placed.timestamp() * 1000)
