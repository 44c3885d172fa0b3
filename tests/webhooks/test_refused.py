"""A server without the secret of a gateway refuses its events: it observes nothing by them, and waits for none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.clock import Clock
from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows
from runner.groups.watchman import Watchman
from runner.settings import Settings
from tests.unit.groupstore import DAY, WA_ID
from tests.webhooks.days import Days
from tests.webhooks.kept import LIMITS, Kept


@pytest.mark.parametrize(("given", "waits"), [({}, False), ({"webhook_secret": "s" * 32}, True)])
def test_only_who_takes_events_waits_for_them(kept: Kept, tmp_path: Path, given: dict[str, Any], waits: bool) -> None:
    Days(kept).hear_until(kept.now + 2 * DAY)
    watchman = Watchman(Settings(home=tmp_path, **given), kept.store, Clock(lambda: kept.now))
    watchman.end_what_is_refused()
    watchman.begin()
    with kept.store.read() as tx:
        until = HearingRows(tx, LIMITS).late_until(GroupRows(tx).get(WA_ID))
    assert ((until is not None), (kept.watch() is not None)) == (waits, waits)
