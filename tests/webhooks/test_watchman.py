"""The watchman: a gateway that does not answer must not keep it from saying that this server is there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.groups.watchman import Watchman
from runner.settings import Settings
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
