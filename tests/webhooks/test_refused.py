"""A server without the secret of a gateway refuses its events: it observes nothing by them, and waits for none."""

from __future__ import annotations

import http.client
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import falcon
import falcon.testing
import pytest
from pydantic import SecretStr
from sqlalchemy import event

from runner.clock import Clock
from runner.gateway import Software
from runner.groups.group import GroupRows
from runner.groups.hearing import HearingRows
from runner.groups.missed import Missed
from runner.groups.refused import Refusal, RefusalReport
from runner.groups.tallies import MOST_NAMES, TallyRows
from runner.groups.versions import VersionRows
from runner.groups.watchman import Watchman
from runner.settings import Settings
from tests.endtoend.server import Server
from tests.unit.groupstore import DAY, WA_ID
from tests.waiting import wait_for
from tests.webhooks import samples
from tests.webhooks.days import Days
from tests.webhooks.kept import LIMITS, Kept
from tests.webhooks.sender import SECRET
from web.intake import BODY_BYTES
from web.signatures import check_waha
from web.webhooks import WebhookState


@pytest.mark.parametrize(("given", "waits"), [({}, False), ({"webhook_secret": "s" * 32}, True)])
def test_only_who_takes_events_waits_for_them(kept: Kept, tmp_path: Path, given: dict[str, Any], waits: bool) -> None:
    Days(kept).hear_until(kept.now + 2 * DAY)
    watchman = Watchman(Settings(home=tmp_path, **given), kept.store, Clock(lambda: kept.now))
    watchman.end_what_is_refused()
    watchman.begin()
    with kept.store.read() as tx:
        until = HearingRows(tx, LIMITS).late_until(GroupRows(tx).get(WA_ID))
    assert ((until is not None), (kept.watch() is not None)) == (waits, waits)


def sent(server: Server, path: str, body: bytes = b"{}", **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body=body, headers={"Content-Type": "application/json"} | given)
        return connection.getresponse().status


def refused(server: Server) -> dict[str, int]:
    found = server.call("GET", "/admin/webhooks")[1]["refused"]
    assert all(one.keys() == {"reason", "number", "lastAt"} for one in found)
    return {one["reason"]: one["number"] for one in found}


def test_what_is_refused_is_counted_by_its_reason_and_told_in_the_log(tmp_path: Path) -> None:
    server = Server(tmp_path, webhook_secret=SECRET, waha_hmac_key="")
    server.start()
    try:
        assert refused(server) == {}
        assert [sent(server, path, Host="elsewhere.example") for path in ("/webhooks", "/hook/evolution")] == [421, 421]
        assert sent(server, "/webhook/a/b") == 404
        assert sent(server, "/webhook") == sent(server, "/messages-upsert") == sent(server, "/") == 401
        assert sent(server, "/webhook", X_Webhook_Secret="another") == 401
        assert sent(server, "/webhook", Authorization=f"Bearer {SECRET}x") == 401
        assert sent(server, "/webhook/waha", X_Webhook_Hmac="00") == 401
        assert sent(server, "/webhook", b"{" * (BODY_BYTES + 1)) == 413
        assert sent(server, "/webhook", Sec_Fetch_Site="cross-site", X_Webhook_Secret=SECRET) == 403
        assert sent(server, "/webhook", X_Webhook_Secret=SECRET) == 200
        assert sent(server, "/admin/nothing") == 404
        words = ("unknown-path", "no-secret", "wrong-secret", "not-set-up", "too-large", "other-site")
        all_of_them = dict(zip(words, (3, 3, 2, 1, 1, 1), strict=True))
        wait_for(lambda: refused(server) == all_of_them, "all of them are counted")
        events = server.call("GET", "/admin/webhooks")[1]["events"]
        assert [one["event"] for one in events] == ["other"], "what is refused is no event"
        assert sent(server, "/webhook") == 401
        wait_for(lambda: refused(server)["no-secret"] == 4, "one more is")
    finally:
        server.close()
    log = [line for line in (tmp_path / "server.log").read_text().splitlines() if "Webhooks were refused" in line]
    assert len(log) < 3, "what comes later is told an hour later"
    assert "at a path where nothing is" in "".join(log)
    assert SECRET not in "".join(log)


def test_a_signature_that_is_wrong_has_a_reason_of_its_own(kept: Kept, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, waha_hmac_key=SecretStr("k" * 32))
    for headers in ({"X-Webhook-Hmac": "00"}, {"X-Webhook-Hmac": "00", "X-Webhook-Hmac-Algorithm": "md5"}):
        request = falcon.testing.create_req(headers=headers)
        with pytest.raises(falcon.HTTPUnauthorized):
            check_waha(request, b"{}", settings)
        assert request.context.refusal is Refusal.BAD_SIGNATURE


def test_a_flood_is_written_down_once_and_fills_nothing(kept: Kept, tmp_path: Path) -> None:
    missed = Missed()
    watchman = Watchman(Settings(home=tmp_path), kept.store, Clock(lambda: kept.now), missed)
    writes: list[object] = []
    event.listen(kept.store.engine, "commit", writes.append)
    for _ in range(5000):
        for why in Refusal:
            missed.refused(why)
    assert (writes, missed.is_urgent) == ([], False)
    watchman.beat()
    watchman.beat()
    with kept.store.read() as tx:
        found = TallyRows(tx).list()
    assert [(one.outcome, one.number) for one in found] == [("refused", 5000)] * len(Refusal)


def test_refusals_have_their_place_where_there_are_too_many_names(kept: Kept) -> None:
    with kept.store.write() as tx:
        TallyRows(tx).add({(f"event-{number}", "stored"): 1 for number in range(MOST_NAMES + 10)})
        TallyRows(tx).refused(Counter([Refusal.NO_SECRET]))
        assert ("no-secret", "refused") in [(one.event, one.outcome) for one in TallyRows(tx).list()]


def test_the_first_are_told_at_once_and_the_others_once_an_hour() -> None:
    report = RefusalReport()
    assert report.add({}, 0) is None
    assert "refused: 2 without a secret" in str(report.add({Refusal.NO_SECRET: 2}, 10))
    assert report.add({Refusal.NO_SECRET: 3}, 11) is None
    assert report.add({Refusal.TOO_LARGE: 1}, 3609) is None
    assert "refused: 3 without a secret or signature, 1 larger than is taken." in str(report.add({}, 3610))
    assert report.add({}, 9000) is None


def test_the_version_of_each_account_is_shown(tmp_path: Path) -> None:
    days = Kept(tmp_path)
    Days(days).hear_until(days.now + DAY)
    with days.store.write() as tx:
        for account in (samples.ACCOUNT, "evolution/mine"):
            VersionRows(tx).note(account, Software("Evolution 2.3.7", True))
    settings = Settings(home=tmp_path, gateway="evolution", evolution_instance_name="mine")
    state = WebhookState(SimpleNamespace(settings=settings, store=days.store))  # type: ignore[arg-type]
    response = falcon.Response()
    state.on_get(falcon.testing.create_req(), response)
    days.store.close()
    version = {"version": "Evolution 2.3.7", "showsVotes": True}
    (account,) = response.media["accounts"]
    assert version.items() <= account.items()
    assert response.media["gateway"] == {"account": "evolution/mine"} | version
