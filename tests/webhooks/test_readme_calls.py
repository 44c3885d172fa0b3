"""The README's calls that connect a gateway, run as they stand there: what they set up is what this server takes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from runner.webhooks import evolution, waha
from runner.webhooks.fields import event_name
from tests.endtoend.server import Server
from tests.webhooks import samples
from tests.webhooks.listing_server import KEY, ListingServer, group, person
from tests.webhooks.samples import INSTANCE
from tests.webhooks.test_answers import Gateway

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECRETS, EVOLUTION, WAHA, INGEST = re.findall(r"^```shell\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
SEEDS_GROUP = "120363403645737238@g.us"


class Reader:
    """Somebody who pastes the blocks, one after another."""

    def __init__(self, folder: Path) -> None:
        self.gateway = ListingServer()
        self.gateway.groups = {SEEDS_GROUP: group(SEEDS_GROUP, [person(0, "admin"), person(1)])}
        self._environment = {
            "PATH": os.environ["PATH"],
            "CURL_HOME": str(folder),
            "EVOLUTION_API_URL": self.gateway.url,
            "EVOLUTION_API_KEY": KEY,
            "EVOLUTION_INSTANCE_NAME": INSTANCE,
            "WAHA_URL": self.gateway.url,
            "WAHA_API_KEY": KEY,
            "WAHA_SESSION": "default",
        }
        made = self.paste(f"{SECRETS}\nenv | grep ^RUNNER_").split()
        self.secrets = dict(line.split("=", 1) for line in made)
        self._environment |= self.secrets
        self.server = Server(folder, gateway="evolution", gateway_call_seconds=5)
        named = {name: value for name, value in self._environment.items() if name.startswith("EVOLUTION")}
        self.server.add_environment(named | self.secrets)
        self.server.start()
        curl = f'connect-to = "localhost:3000:127.0.0.1:{self.server.port}"\nfail-with-body\nsilent\nnoproxy = "*"\n'
        (folder / ".curlrc").write_text(curl)

    def paste(self, block: str) -> str:
        run = subprocess.run(
            ["bash", "-ec", block], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def told(self, block: str) -> tuple[str, Any]:
        """The call that the block makes to its gateway, and the body; our key is beside it."""
        self.paste(block)
        call, headers, body = self.gateway.told[-1]
        assert KEY in headers.values()
        return call, body

    def close(self) -> None:
        self.server.close()
        self.gateway.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("home"))
    yield made
    made.close()


def test_evolution_as_it_is_told_to_is_taken(reader: Reader) -> None:
    call, body = reader.told(EVOLUTION)
    wanted = body["webhook"]
    assert call == f"POST /webhook/set/{INSTANCE}"
    assert {event_name(event) for event in wanted["events"]} <= set(evolution.SIGNS)
    claims = {"iat": int(time.time()), "exp": int(time.time()) + 600, "app": "evolution", "action": "webhook"}
    proof = "Bearer " + jwt.encode(claims, wanted["headers"]["jwt_key"], algorithm="HS256")
    path = urlsplit(wanted["url"]).path
    assert Gateway(reader.server).say(samples.connection("open"), path, Authorization=proof) == 200


def test_waha_as_it_is_told_to_is_taken(reader: Reader) -> None:
    call, body = reader.told(WAHA)
    (wanted,) = body["config"]["webhooks"]
    assert call == "PUT /api/sessions/default"
    assert {event_name(event) for event in wanted["events"]} <= set(waha.SIGNS)
    assert waha.ACTIVITY - {event_name(event) for event in wanted["events"]} <= {"message", "message-waiting"}
    raw = json.dumps(samples.waha("session.status", {"status": "WORKING"})).encode()
    proof = hmac.new(wanted["hmac"]["key"].encode(), raw, hashlib.sha512).hexdigest()
    answer = Gateway(reader.server).post(urlsplit(wanted["url"]).path, raw, {"X-Webhook-Hmac": proof})
    assert answer[0] == 200


def test_the_group_is_taken_in(reader: Reader) -> None:
    assert json.loads(reader.paste(INGEST))["members"] == 2
