"""The fake's Evolution API: 2.3.6, 2.3.7, and 2.3.4 with its spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from tests.gateways.fake.schemas import is_full_id, wrong_for_evolution
from tests.gateways.fake.wire import Reply, Request
from tests.gateways.fake.world import Fault, Json, Row, World, listed_id

VERSION = "2.3.6"
_ROUTES = {
    ("GET", ""): "version",
    ("GET", "/group/findGroupInfos"): "list",
    ("GET", "/group/participants"): "list",
    ("GET", "/group/fetchAllGroups"): "list",
    ("POST", "/group/updateParticipant"): "remove",
    ("GET", "/instance/connectionState"): "state",
    ("GET", "/instance/fetchInstances"): "state",
    ("GET", "/settings/find"): "sending",
    ("GET", "/webhook/find"): "sending",
}
_TEXTS = {
    "closed": "Error: Connection Closed",
    "timed_out": "Error: Timed Out",
    "unanswered": "TypeError: Cannot read properties of undefined (reading 'attrs')",
}
"""``unanswered``: WhatsApp said nothing for 60 s. A removal has a form of its own for it: 201 and no rows."""
_FAILS = {
    "/group/findGroupInfos": (404, "Error fetching group"),
    "/group/participants": (404, "No participants"),
    "/group/fetchAllGroups": (500, "Error fetching groups"),
    "/group/updateParticipant": (400, "Error updating participants"),
}
_STATES = {"never": "close", "down": "connecting"}
"""A socket that is down is being connected again: ``close`` is said by whoever is logged out, or never was in."""
_NEVER = {"/group/updateParticipant": "groupParticipantsUpdate", "/group/fetchAllGroups": "groupFetchAllParticipating"}


def kind_of(request: Request) -> str:
    return _ROUTES.get((request.method, _route(request)[0]), "other")


def wrong_with(request: Request) -> str | None:
    """What no call of ours may have."""
    if kind_of(request) != "remove":
        return None
    if faults := wrong_for_evolution(request.body):
        return faults[0]["message"]
    short = [known for known in request.body["participants"] if not is_full_id(known)]
    return f"{short[0]} is no full id" if short else None


def answer(world: World, request: Request, call: int, fault: Fault) -> Reply:
    """In the order of the real one: is there such an instance, is the key right, is the request, is it connected."""
    settings = world.settings.get("evolution", {})
    route, name = _route(request)
    state = settings.get("state", "open")
    if kind_of(request) == "version":
        return _welcome(settings)
    if (refused := _turned_away(request, settings, fault)) is not None:
        return refused
    if (said := _of_the_instance(world, route, name, settings)) is not None:
        return said
    if kind_of(request) == "remove" and (faults := wrong_for_evolution(request.body)):
        return error(400, faults)
    if (text := _refusal(route, state, fault)) is not None:
        return _failed(route, text)
    return _of_a_group(world, request, call, fault, route)


def _turned_away(request: Request, settings: Json, fault: Fault) -> Reply | None:
    route, name = _route(request)
    if (request.method, route) not in _ROUTES:
        return error(404, [f"Cannot {request.method} {request.path}"])
    if name != settings.get("instance", "p2"):
        return error(404, [f'The "{name}" instance does not exist'])
    if request.headers.get("apikey") != settings.get("key", "key-of-evolution") or fault.name == "401":
        return error(401, "Unauthorized")
    return None


def _of_the_instance(world: World, route: str, name: str, settings: Json) -> Reply | None:
    """What it answers connected or not."""
    match route:
        case "/instance/fetchInstances":
            return _instances(world, settings)
        case "/settings/find":
            return Reply(200, _settings(settings))
        case "/webhook/find":
            return Reply(200, _webhook(settings))
        case "/instance/connectionState":
            state = settings.get("state", "open")
            return Reply(200, {"instance": {"instanceName": name, "state": _STATES.get(state, state)}})
        case _:
            return None


def _of_a_group(world: World, request: Request, call: int, fault: Fault, route: str) -> Reply:
    if route == "/group/fetchAllGroups":
        return Reply(200, [_group(world, wa_id) for wa_id in world.settings.get("groups", {})])
    wa_id = request.query.get("groupJid", "")
    if world.group(wa_id) is None:
        return _failed(route, "Error: item-not-found")
    if route == "/group/findGroupInfos":
        return Reply(200, _group(world, wa_id))
    if route == "/group/participants":
        return Reply(200, {"participants": _group(world, wa_id)["participants"]})
    rows = world.remove(wa_id, request.body["participants"], call, only_look=not fault.acts)
    if fault.name == "flood":
        rows = [Row(row.id, "429") for row in rows]
    said = [] if fault.name in ("empty", "unanswered") else baileys_rows(rows)
    return Reply(201, {"updateParticipants": said})


def baileys_rows(rows: Sequence[Row]) -> list[Json]:
    found = []
    for row in rows:
        attributes = {"jid": row.id} | ({} if row.code == "200" else {"error": row.code})
        found.append({"status": row.code, "jid": row.id, "content": {"tag": "participant", "attrs": attributes}})
    return found


def text_of(fault: Fault) -> str | None:
    """What the engine says instead of doing it."""
    if fault.name and fault.name.startswith("text:"):
        return fault.name.removeprefix("text:")
    return _TEXTS.get(fault.name or "")


def error(status: int, message: Any) -> Reply:
    return Reply(status, {"status": status, "error": HTTPStatus(status).phrase, "response": {"message": message}})


def failed_after(request: Request, text: str) -> Reply:
    """It was done, and the engine failed afterwards."""
    if text == _TEXTS["unanswered"] and kind_of(request) == "remove":
        return Reply(201, {"updateParticipants": []})
    return _failed(_route(request)[0], text)


def _refusal(route: str, state: str, fault: Fault) -> str | None:
    if state == "never":
        called = _NEVER.get(route, "groupMetadata")
        return f"TypeError: Cannot read properties of undefined (reading '{called}')"
    if state != "open":
        return "Error: Connection Closed"
    if fault.name == "unanswered" and route == "/group/updateParticipant":
        return None
    return None if fault.acts else text_of(fault)


def _failed(route: str, text: str) -> Reply:
    status, first = _FAILS[route]
    return error(status, [first, text])


def _route(request: Request) -> tuple[str, str]:
    if request.path == "/instance/fetchInstances":
        return request.path, request.query.get("instanceName", "")
    found = re.fullmatch(r"(/\w+/\w+)/([^/]+)", request.path)
    return (found[1], found[2]) if found else (request.path, "")


def _welcome(settings: Json) -> Reply:
    """To everybody, without a key; ``"version": null``: as one that does not say."""
    said = {
        "status": 200,
        "message": "Welcome to the Evolution API, it is working!",
        "clientName": "evolution_exchange",
    }
    version = settings.get("version", VERSION)
    return Reply(200, said | ({} if version is None else {"version": version}))


def _instances(world: World, settings: Json) -> Reply:
    """Of the real one's many fields those that are read, and one that must not be."""
    owner, state = world.settings.get("me", {}).get("pn"), settings.get("state", "open")
    instance = {"id": "00000000-0000-4000-8000-000000000001", "name": settings.get("instance", "p2")}
    said = {"connectionStatus": state, "ownerJid": owner, "token": "a-secret-of-the-instance"}
    return Reply(200, [instance | said])


def _settings(settings: Json) -> Json:
    off = ("rejectCall", "groupsIgnore", "alwaysOnline", "readMessages", "readStatus", "syncFullHistory")
    return dict.fromkeys(off, False) | {"msgCall": "", "wavoipToken": ""} | dict(settings.get("settings", {}))


def _webhook(settings: Json) -> Json | None:
    """As it is kept: null where none was ever set, with no events where it is switched off."""
    if "webhook" not in settings:
        return None
    kept = {
        "id": "cm0000000000000000000000",
        "url": "http://bot.example/webhook",
        "headers": {"jwt_key": "a-secret-of-the-webhook"},
        "enabled": True,
        "events": ["MESSAGES_UPSERT"],
        "webhookByEvents": False,
        "webhookBase64": False,
        "instanceId": "00000000-0000-4000-8000-000000000001",
    }
    return kept | dict(settings["webhook"])


def _group(world: World, wa_id: str) -> Json:
    group = world.group(wa_id) or {}
    people = world.people(wa_id)
    said: Json = {
        "id": wa_id,
        "subject": group.get("subject", "Neighbours"),
        "size": group.get("size", len(people)),
    }
    said |= {name: group[name] for name in ("owner", "linkedParent") if name in group}
    said |= {name: group.get(name, False) for name in ("restrict", "announce", "isCommunity", "isCommunityAnnounce")}
    return said | {"participants": [_participant(world, group, one) for one in people]}


def _participant(world: World, group: Json, one: Json) -> Json:
    first = listed_id(group, one)
    role = one.get("role", "member")
    said: Json = {"id": first}
    older = world.settings.get("evolution", {}).get("version") == "2.3.4"
    if one.get("pn") and (older or first != one["pn"]):
        said["jid" if older else "phoneNumber"] = one["pn"]
    if one.get("lid") and (older or first != one["lid"]):
        said["lid"] = one["lid"]
    return said | {"admin": None if role == "member" else role}
