"""The groups behind the fake: who is in them, what was done, and what goes wrong in which call."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.identity import person_id

CONTROL, EFFECTS, CALLS = "gateway.json", "effects.jsonl", "calls.jsonl"
Json = dict[str, Any]


def control(folder: Path, **settings: Any) -> None:
    """Writes the control file, whole or not at all."""
    unfinished = folder / f"{CONTROL}.new"
    unfinished.write_text(json.dumps(settings))
    unfinished.replace(folder / CONTROL)


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass(frozen=True)
class Fault:
    """What goes wrong in one call. ``name`` None: nothing."""

    name: str | None = None
    acts: bool = True
    before: float = 0.0
    after: float = 0.0

    @classmethod
    def of(cls, raw: Any) -> Fault:
        given = raw if isinstance(raw, dict) else {"fault": raw}
        said = given.get("fault")
        if said is None:
            return cls(None, True, given.get("before", 0.0), given.get("after", 0.0))
        name = str(said).removesuffix("_after")
        return cls(name, name != said, given.get("before", 0.0), given.get("after", 0.0))


@dataclass(frozen=True)
class Row:
    """What became of one id of a removal."""

    id: str
    code: str


class World:
    """All groups; safe to be used by the server's many threads. What was removed is read from the log at the start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._removed = {(line["group"], known) for line in lines(folder / EFFECTS) for known in line["ids"]}
        self._calls = Counter(line["kind"] for line in lines(folder / CALLS))
        self._asked: Counter[tuple[str, str]] = Counter()
        self._read: tuple[tuple[int, int], Json] = ((0, 0), {})

    @property
    def settings(self) -> Json:
        """The control file; read again when it was written again."""
        try:
            found = (self.folder / CONTROL).stat()
        except FileNotFoundError:
            return {}
        version = (found.st_ino, found.st_mtime_ns)
        if self._read[0] != version:
            self._read = (version, json.loads((self.folder / CONTROL).read_text()))
        return self._read[1]

    def begin(self, kind: str, method: str, path: str, body: Any, wrong: str | None) -> tuple[int, Fault]:
        """Notes a call; its number, and what goes wrong in it."""
        with self._lock:
            self._calls[kind] += 1
            call = self._calls[kind]
            said = {"kind": kind, "call": call, "method": method, "path": path, "body": body, "wrong": wrong}
            self._note(CALLS, said)
        faults = self.settings.get("faults", {}).get(kind, {})
        return call, Fault.of(faults.get(str(call), faults.get("*")))

    def group(self, wa_id: str) -> Json | None:
        found: Json | None = self.settings.get("groups", {}).get(wa_id)
        return found

    def people(self, wa_id: str, *, fresh: bool = False) -> list[Json]:
        """Who is in the group, as it lists them; ``fresh``: also where its list is stale."""
        group = self.group(wa_id) or {}
        everybody: list[Json] = group.get("people", [])
        if group.get("stale") and not fresh:
            return everybody
        with self._lock:
            gone = {known for of, known in self._removed if of == wa_id} - set(group.get("back", []))
        here = [one for one in everybody if listed_id(group, one) not in gone]
        return here if fresh else here[: group.get("first", len(here))]

    def remove(self, wa_id: str, ids: Sequence[str], call: int, *, only_look: bool) -> list[Row]:
        """A row for each id; whoever gets 200 is out from now on, unless ``only_look``."""
        group = self.group(wa_id) or {}
        rows = [Row(known, self._code(wa_id, group, known)) for known in ids]
        here = {known: listed_id(group, one) for one in self.people(wa_id, fresh=True) for known in ids_of(one)}
        out = [here[person_id(row.id) or ""] for row in rows if row.code == "200"]
        if out and not only_look:
            with self._lock:
                self._removed.update((wa_id, known) for known in out)
                self._note(EFFECTS, {"group": wa_id, "ids": out, "call": call})
        return rows

    def is_me(self, one: Json) -> bool:
        me = self.settings.get("me", {})
        return not ids_of(one).isdisjoint(ids_of(me))

    def _code(self, wa_id: str, group: Json, known: str) -> str:
        people = {one_id: one for one in self.people(wa_id, fresh=True) for one_id in ids_of(one)}
        me = next((one for one in people.values() if self.is_me(one)), None)
        if me is not None and me.get("role", "member") == "member":
            return "403"
        person = people.get(person_id(known) or "")
        if person is None:
            return "404"
        return self._scripted(wa_id, group, person) or ("406" if person.get("role") == "superadmin" else "200")

    def _scripted(self, wa_id: str, group: Json, person: Json) -> str | None:
        codes = next((group["codes"][one] for one in ids_of(person) if one in group.get("codes", {})), None)
        if not isinstance(codes, list):
            return codes
        with self._lock:
            asked = self._asked[wa_id, listed_id(group, person)]
            self._asked[wa_id, listed_id(group, person)] += 1
        return str(codes[min(asked, len(codes) - 1)])

    def _note(self, name: str, said: Json) -> None:
        with (self.folder / name).open("ab", buffering=0) as log:
            log.write(json.dumps(said | {"at": time.time()}).encode() + b"\n")


def ids_of(person: Json) -> set[str]:
    return {person[name] for name in ("lid", "pn") if person.get(name)}


def listed_id(group: Json, person: Json) -> str:
    """By what the group lists them: as it addresses its people, as far as that id is known."""
    first, second = ("pn", "lid") if group.get("addressing") == "pn" else ("lid", "pn")
    return str(person.get(first) or person[second])
