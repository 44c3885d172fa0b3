"""The fake's WAHA, with the three ways of its engines to answer a removal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus

from tests.gateways.fake.evolution import baileys_rows, text_of
from tests.gateways.fake.schemas import WahaGroupParticipant, wrong_for_waha
from tests.gateways.fake.wire import Reply, Request
from tests.gateways.fake.world import Fault, Json, Row, World, listed_id

_KINDS = {"": "describe", "/participants/v2": "list", "/participants/remove": "remove"}


def kind_of(request: Request) -> str:
    if re.fullmatch(r"/api/sessions/[^/]+", request.path):
        return "state"
    if request.path == "/api/server/version":
        return "version"
    found = _in_group(request)
    known = found is not None and (request.method == "POST") == (found[3] == "/participants/remove")
    return _KINDS.get(found[3], "other") if found and known else "other"


def wrong_with(request: Request) -> str | None:
    return wrong_for_waha(request.body) if kind_of(request) == "remove" else None


def answer(world: World, request: Request, call: int, fault: Fault) -> Reply:
    settings = world.settings.get("waha", {})
    if request.headers.get("x-api-key") != settings.get("key", "key-of-waha") or fault.name == "401":
        return Reply(401, {"message": "Unauthorized", "statusCode": 401})
    if kind_of(request) == "version":
        said = {"version": settings.get("version", "2026.7.1"), "engine": settings.get("engine", "NOWEB")}
        return Reply(200, said | {"tier": "CORE", "browser": None})
    if kind_of(request) == "state":
        return _session(world, request, settings)
    lookup = re.fullmatch(r"/api/([^/]+)/lids/(\d+@lid)", request.path)
    if (reply := _number(world, lookup[2]) if lookup else _turned_away(request, settings)) is not None:
        return reply
    if not fault.acts and (text := text_of(fault)) is not None:
        return _exception(request, text.removeprefix("Error: "))
    return _of_a_group(world, request, call, fault)


def _turned_away(request: Request, settings: Json) -> Reply | None:
    session, status = settings.get("session", "default"), settings.get("status", "WORKING")
    found = _in_group(request)
    if found is None or kind_of(request) == "other":
        return _error(404, f"Cannot {request.method} {request.path}")
    if found[1] != session:
        return _error(404, f"Session not found: {found[1]}")
    if status != "WORKING":
        said = "Session status is not as expected. Try again later or restart the session"
        return Reply(422, {"error": said, "session": session, "status": status, "expected": ["WORKING"]})
    wrong = wrong_with(request)
    return _error(400, wrong) if wrong else None


def _of_a_group(world: World, request: Request, call: int, fault: Fault) -> Reply:
    found = _in_group(request)
    wa_id = found[2] if found else ""
    if world.group(wa_id) is None:
        return _exception(request, "item-not-found")
    if kind_of(request) == "describe":
        if fault.name == "empty":
            return Reply(200, world.settings.get("empty_body", {}))
        return Reply(200, _description(world, wa_id))
    if kind_of(request) == "list":
        return Reply(200, _participants(world, wa_id))
    engine = world.settings.get("waha", {}).get("engine", "NOWEB")
    ids = [one["id"].replace("@c.us", "@s.whatsapp.net") for one in request.body["participants"]]
    rows = world.remove(wa_id, ids, call, only_look=not fault.acts)
    if fault.name == "flood":
        rows = [Row(row.id, "429") for row in rows]
    if fault.name == "empty":
        return Reply(200, [])
    return Reply(201, _ROWS[engine](rows))


def failed_after(request: Request, text: str) -> Reply:
    """It was done, and the engine failed afterwards."""
    return _exception(request, text.removeprefix("Error: "))


def _gows_rows(rows: Sequence[Row]) -> list[Json]:
    return [
        {
            "JID": row.id,
            "PhoneNumber": "" if row.id.endswith("@lid") else row.id,
            "LID": row.id if row.id.endswith("@lid") else "",
            "IsAdmin": False,
            "IsSuperAdmin": False,
            "DisplayName": "",
            "Error": 0 if row.code == "200" else int(row.code),
        }
        for row in rows
    ]


def _webjs_rows(_rows: Sequence[Row]) -> Json:
    return {"status": 200}


_ROWS: dict[str, Callable[[Sequence[Row]], list[Json] | Json]] = {
    "NOWEB": baileys_rows,
    "GOWS": _gows_rows,
    "WEBJS": _webjs_rows,
}


def _description(world: World, wa_id: str) -> Json:
    group = world.group(wa_id) or {}
    subject = group.get("subject", "Neighbours")
    community, announcement = group.get("isCommunity", False), group.get("isCommunityAnnounce", False)
    announce = group.get("announce", False)
    match world.settings.get("waha", {}).get("engine", "NOWEB"):
        case "GOWS":
            flags = {"IsParent": community, "IsDefaultSubGroup": announcement, "IsAnnounce": announce}
            return {"JID": wa_id, "Name": subject, **flags}
        case "WEBJS":
            flags = {"isParentGroup": community, "defaultSubgroup": announcement, "announce": announce}
            return {"id": {"_serialized": wa_id}, "name": subject, "groupMetadata": {"subject": subject, **flags}}
        case _:
            flags = {"isCommunity": community, "isCommunityAnnounce": announcement, "announce": announce}
            return {"id": wa_id, "subject": subject, **flags}


def _participants(world: World, wa_id: str) -> list[Json]:
    group = world.group(wa_id) or {}
    roles = {"member": "participant"}
    found = []
    for one in world.people(wa_id):
        role = one.get("role", "member")
        said = {"id": _c_us(listed_id(group, one)), "role": roles.get(role, role)}
        if one.get("pn"):
            said["pn"] = _c_us(one["pn"])
        found.append(WahaGroupParticipant.model_validate(said).model_dump(exclude_none=True))
    return found


def _session(world: World, request: Request, settings: Json) -> Reply:
    session, status = settings.get("session", "default"), settings.get("status", "WORKING")
    name = request.path.removeprefix("/api/sessions/")
    if name != session:
        return _error(404, f"Session not found: {name}")
    me = world.settings.get("me", {})
    shown = {"id": _c_us(me["pn"]), "pushName": "us"} if me.get("pn") else {}
    account = shown | ({"lid": me["lid"]} if me.get("lid") and not me.get("hides_lid") else {})
    said = {"name": name, "status": status, "me": (account or None) if status == "WORKING" else None}
    said |= {"config": settings["config"]} if "config" in settings else {}
    return Reply(200, said | {"engine": {"engine": world.settings.get("waha", {}).get("engine", "NOWEB")}})


def _number(world: World, lid: str) -> Reply:
    everybody = [one for wa_id in world.settings.get("groups", {}) for one in world.people(wa_id)]
    everybody.append(world.settings.get("me", {}))
    pn = next((one["pn"] for one in everybody if one.get("lid") == lid and one.get("pn")), None)
    return Reply(200, {"lid": lid, "pn": _c_us(pn) if pn else None})


def _error(status: int, message: str) -> Reply:
    return Reply(status, {"message": message, "error": HTTPStatus(status).phrase, "statusCode": status})


def _exception(request: Request, text: str) -> Reply:
    said = {"message": text, "name": "Error", "stack": f"Error: {text}\n    at somewhere"}
    return Reply(500, {"statusCode": 500, "exception": said, "request": {"path": request.path}, "version": {}})


def _in_group(request: Request) -> re.Match[str] | None:
    """Session, group, and the rest of the path."""
    return re.fullmatch(r"/api/([^/]+)/groups/([^/]+)((?:/[a-z0-9]+)*)", request.path)


def _c_us(known: str) -> str:
    return known.replace("@s.whatsapp.net", "@c.us")
