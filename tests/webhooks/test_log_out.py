"""A device that was logged out is not watched, however short it was, until the next message of a group."""

from __future__ import annotations

from typing import Any

import pytest

from runner.webhook import Sign
from tests.gateways.fake import Happenings
from tests.unit.groupstore import DAY, WA_ID
from tests.webhooks import samples
from tests.webhooks.days import ANA, Days
from tests.webhooks.kept import Kept
from tests.webhooks.samples import ACCOUNT


@pytest.fixture
def days(kept: Kept) -> Days:
    heard = Days(kept)
    kept.receive(samples.message("first", ANA, kept.now // 1000, group=WA_ID))
    heard.hear_until(kept.now + 5 * DAY)
    assert kept.watch() is not None
    return heard


def out(event: str, data: Any = None) -> Any:
    return samples.evolution(event, data)


@pytest.mark.parametrize(
    "bodies",
    [
        [out("logout.instance")],
        [out("LOGOUT_INSTANCE")],
        [out("remove.instance")],
        [out("instance.delete")],
        [out("qrcode.updated", {"qrcode": {"code": "2@x"}})],
        [out("connection.update", {"instance": "p2", "state": "close", "statusReason": 401})],
        Happenings().log_out(),
    ],
    ids=str,
)
def test_a_log_out_ends_what_is_observed_at_once(days: Days, bodies: list[Any]) -> None:
    kept = days.kept
    last = kept.now
    kept.now += 1000
    kept.receive(*bodies)
    assert kept.watch() is None
    kept.now += 23_000
    kept.receive(*Happenings().connect())
    kept.receive(samples.evolution("presence.update", {"id": WA_ID}))
    assert kept.watch() is None
    kept.now += 60_000
    days.message()
    watch = kept.watch()
    assert watch is not None
    assert watch.since == kept.now > last


def test_a_socket_that_is_closed_for_23_seconds_is_no_log_out(days: Days) -> None:
    kept, happen = days.kept, Happenings()
    kept.receive(*happen.socket_down())
    kept.now += 23_000
    kept.receive(*happen.socket_up())
    watch = kept.watch()
    assert watch is not None
    assert watch.since < kept.now - 4 * DAY


def test_waha_asks_for_a_code_of_whoever_is_logged_out(kept: Kept) -> None:
    said = samples.waha("session.status", {"status": "SCAN_QR_CODE"})
    assert kept.read(said).sign is Sign.OUT
    assert ACCOUNT.startswith("evolution/")
