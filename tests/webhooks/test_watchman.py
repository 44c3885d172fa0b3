"""The watchman: a gateway that does not answer must not keep it from saying that this server is there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.errors import StoreUnavailable
from runner.groups.missed import Missed
from runner.groups.tallies import TallyRows
from runner.groups.watchman import Watchman
from runner.settings import Settings
from tests.gateways.fake import FakeServer, control
from tests.waiting import wait_for
from tests.webhooks.days import Days
from tests.webhooks.samples import ACCOUNT, INSTANCE


def test_a_look_that_hangs_holds_up_no_beat(days: Days, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT_SECONDS", 0.02), ("_AGAIN_SECONDS", 0.01), ("LOOK_SECONDS", 0.01)):
        monkeypatch.setattr(f"runner.groups.watchman.{name}", seconds)
    days.message()

    def is_beating() -> bool:
        line = days.kept.line(ACCOUNT)
        return line is not None and line.alive_at == days.kept.now

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        settings = Settings(
            home=tmp_path,
            gateway_call_seconds=600,  # a look takes a tenth of it
            gateway="evolution",
            evolution_api_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            evolution_api_key=SecretStr("a-key-of-the-tests"),
            evolution_instance_name=INSTANCE,
        )
        watchman = Watchman(settings, days.kept.store, days.kept.store.clock)
        watchman.start()
        asked, _ = silent.accept()  # and says nothing
        with asked:
            for _ in range(2):
                days.kept.now += 5000
                wait_for(is_beating, "it beats while the look hangs", 20)
        watchman.stop()


def test_what_was_missed_last_is_written_at_the_end(
    days: Days, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.groups.watchman._AGAIN_SECONDS", 60)
    missed = Missed()
    watchman = Watchman(Settings(home=tmp_path), days.kept.store, days.kept.store.clock, missed)
    watchman.start()
    missed.too_large(None)
    watchman.stop()
    with days.kept.store.read() as tx:
        assert [one.number for one in TallyRows(tx).list() if one.event == "too-large"] == [1]


def test_the_first_beat_is_tried_until_it_is_written(
    days: Days, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days.message()
    watchman = Watchman(Settings(home=tmp_path), days.kept.store, days.kept.store.clock)
    beat, failures = watchman.beat, iter(range(3))

    def beat_at_last() -> None:
        if next(failures, None) is not None:
            raise StoreUnavailable("locked")
        beat()

    monkeypatch.setattr(watchman, "beat", beat_at_last)
    days.kept.now += 5000
    watchman.begin()
    line = days.kept.line(ACCOUNT)
    assert line is not None
    assert line.back_at == days.kept.now


def test_a_gateway_is_asked_also_where_another_removes_people(days: Days, tmp_path: Path) -> None:
    days.message()
    control(tmp_path)
    with FakeServer(tmp_path) as fake:
        settings = Settings(
            home=tmp_path,
            gateway="roster",
            evolution_api_url=fake.url,
            evolution_api_key=SecretStr("key-of-evolution"),
            evolution_instance_name=INSTANCE,
        )
        days.kept.now += 5000
        Watchman(settings, days.kept.store, days.kept.store.clock).look()
    line = days.kept.line(ACCOUNT)
    assert line is not None
    assert line.looked_at == days.kept.now
