"""The fake gateway as a process of its own, its groups and its whims; and what of it a play may change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from tests.endtoend.server import ROOT
from tests.gateways.fake import control
from tests.gateways.fake.world import CALLS, EFFECTS, lines

GROUPS = tuple(f"12036300000000002{number}@g.us" for number in range(4))
US = {"lid": "100000000000099@lid", "pn": "33100000099@s.whatsapp.net", "role": "admin"}
_OWNER, _ADMIN, _NEW_ADMIN = range(3)
WHITELISTED, SILENT, QUEUED, LIVELY = (3, 4), range(5, 15), range(15, 20), range(20, 24)
EVERYBODY = range(24)
_HANGS = ("hang", "hang_after", "drip_after")
_CALLS = (
    *("reset", "reset_after", "empty", "empty_after", "garbage_after", "cut_after", "502", "502_after", "flood"),
    *("text:Error: rate-overlimit", "http429", "closed", "closed_after", "html_after", *_HANGS),
)
_LISTS = ("reset", "502", "garbage", "closed", "cut", "http429", "empty")
_CODES: tuple[Any, ...] = ("403", "406", ["429", "200"], ["500", "429", "200"])
_MANY = 400


def neighbour(group: int, number: int) -> str:
    return f"2000000000{group}{number:04d}@lid"


def role_of(number: int) -> str:
    """Really. The store has not heard of the newest admin."""
    return {_OWNER: "superadmin", _ADMIN: "admin", _NEW_ADMIN: "admin"}.get(number, "member")


def known_role_of(number: int) -> str:
    return "member" if number == _NEW_ADMIN else role_of(number)


class FakeGateway:
    """``python -m tests.gateways.fake``; ``kind``: evolution or waha, by which it is spoken to."""

    def __init__(self, folder: Path, kind: str, chance: Random) -> None:
        folder.mkdir()
        self.folder, self.kind = folder, kind
        self._settings = _world(chance)
        self._keep()
        command = [sys.executable, "-m", "tests.gateways.fake", str(folder)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), text=True, **pipes)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.promoted: dict[str, float] = {}
        self.left: set[str] = set()
        self.shown_stale: set[str] = set()

    def environment(self) -> dict[str, str]:
        if self.kind == "waha":
            return {"RUNNER_GATEWAY": "waha", "WAHA_URL": self.url, "WAHA_API_KEY": "key-of-waha"}
        given = {"EVOLUTION_API_KEY": "key-of-evolution", "EVOLUTION_INSTANCE_NAME": "p2"}
        return {"RUNNER_GATEWAY": "evolution", "EVOLUTION_API_URL": self.url} | given

    def close(self) -> None:
        """It ends with its stdin."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    # -- what was done -------------------------------------------------------------------------------------------

    def effects(self) -> list[str]:
        return [known for line in lines(self.folder / EFFECTS) for known in line["ids"]]

    def calls(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in lines(self.folder / CALLS) if line["kind"] == kind]

    def wrong(self) -> list[dict[str, Any]]:
        return [line for line in lines(self.folder / CALLS) if line["wrong"]]

    # -- what may change -----------------------------------------------------------------------------------------

    def calm(self) -> None:
        """No fault from here on, and whatever was changed for a while is as it was."""
        self._settings["faults"] = {}
        for group in self._groups():
            group |= {"stale": False}
            group.pop("first", None)
        self.change(connected=True, our_role="admin", key=None)

    def change(
        self, *, connected: bool | None = None, our_role: str | None = None, key: str | None = "as it was"
    ) -> None:
        """``key``: the one that is taken; None: ours."""
        evolution, waha = self._settings["evolution"], self._settings["waha"]
        if connected is not None:
            evolution["state"], waha["status"] = ("open", "WORKING") if connected else ("down", "STARTING")
        for group in self._groups() if our_role else ():
            group["people"][-1]["role"] = our_role
        if key != "as it was":
            evolution["key"], waha["key"] = key or "key-of-evolution", key or "key-of-waha"
        self._keep()

    def lie(self, wa_id: str, **how: Any) -> None:
        """``stale`` or ``first``: see the fake. ``shown_stale``: everybody who was ever on a list that was."""
        self._settings["groups"][wa_id] |= how
        if how.get("stale"):
            self.shown_stale |= {one["lid"] for one in self._settings["groups"][wa_id]["people"]}
        self._keep()

    def promote(self, wa_id: str, known: str) -> None:
        person = next(one for one in self._settings["groups"][wa_id]["people"] if one["lid"] == known)
        person["role"] = "admin"
        self._keep()
        self.promoted.setdefault(known, time.time())

    def leave(self, wa_id: str, known: str) -> None:
        """By themselves."""
        group = self._settings["groups"][wa_id]
        group["people"] = [one for one in group["people"] if one["lid"] != known]
        self._keep()
        self.left.add(known)

    def plain(self, wa_id: str) -> list[str]:
        """Who is a member there and has not left by themselves."""
        people = self._settings["groups"][wa_id]["people"]
        return [one["lid"] for one in people if one["role"] == "member" and one["lid"] != US["lid"]]

    def _groups(self) -> Iterable[dict[str, Any]]:
        found: Iterable[dict[str, Any]] = self._settings["groups"].values()
        return found

    def _keep(self) -> None:
        control(self.folder, **self._settings)


def _world(chance: Random) -> dict[str, Any]:
    """Groups with their people, and what goes wrong in which call."""
    groups = {}
    for group, wa_id in enumerate(GROUPS):
        people = [{"lid": neighbour(group, number), "role": role_of(number)} for number in EVERYBODY]
        refused = {one["lid"]: chance.choice(_CODES) for one in people if chance.random() < 0.15}
        groups[wa_id] = {"people": [*people, dict(US)], "codes": refused}
    often = chance.choice([0.1, 0.3, 0.5])
    faults = {"remove": _faults(chance, _CALLS, often), "list": _faults(chance, _LISTS, often / 3)}
    return {
        "me": {"lid": US["lid"], "pn": US["pn"]},
        "evolution": {"key": "key-of-evolution", "instance": "p2", "state": "open"},
        "waha": {"key": "key-of-waha", "status": "WORKING", "engine": chance.choice(["NOWEB", "GOWS", "WEBJS"])},
        "groups": groups,
        "faults": faults,
        "hang_seconds": 20,
        "drip_seconds": 0.3,
    }


def _faults(chance: Random, names: tuple[str, ...], often: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for call in range(1, _MANY):
        if chance.random() < often:
            found[str(call)] = {"fault": chance.choice(names), "before": chance.choice([0, 0, 0.2]), "after": 0}
        elif chance.random() < 0.3:
            found[str(call)] = {"before": chance.choice([0.05, 0.3]), "after": chance.choice([0, 0.3])}
    return found
