"""What gateways send, as gateways.md 2.4 and 3 have it, to be filled in."""

from __future__ import annotations

from typing import Any

INSTANCE = "p2"
ACCOUNT = f"evolution/{INSTANCE}"
GROUP = "120363000000000001@g.us"
API_KEY = "0123456789ABCDEF-this-is-the-instances-own-key"


def evolution(event: str, data: Any, **more: Any) -> dict[str, Any]:
    """An envelope of Evolution 2.3.6, with the instance's key in it."""
    return {
        "event": event,
        "instance": INSTANCE,
        "data": data,
        "destination": "http://bot.example/webhook",
        "date_time": "2026-01-01T10:00:00.000Z",
        "server_url": "http://gw.example",
        "apikey": API_KEY,
    } | more


def message(
    key_id: str | None,
    participant: str | None,
    seconds: Any,
    *,
    group: str = GROUP,
    name: str | None = "Ana",
    alt: str | None = None,
    from_me: bool = False,
    **more: Any,
) -> dict[str, Any]:
    key = {"remoteJid": group, "fromMe": from_me, "id": key_id, "addressingMode": "lid"}
    key |= {"participant": participant} if participant else {}
    key |= {"participantAlt": alt} if alt else {}
    data = {
        "key": key,
        "pushName": name,
        "status": "DELIVERY_ACK",
        "message": {"conversation": "hello"},
        "messageType": "conversation",
        "messageTimestamp": seconds,
        "source": "unknown",
    }
    return evolution("messages.upsert", data | more)


def participants(action: str, rows: Any, *, group: str = GROUP, author: Any = None, **more: Any) -> dict[str, Any]:
    data = {"id": group, "author": author, "participants": rows, "action": action}
    return evolution("group-participants.update", data, **more)


def row(lid: str, phone: str | None = None) -> dict[str, Any]:
    """As 2.3.6 names somebody."""
    return {"id": lid, "phoneNumber": phone, "admin": None} if phone else {"id": lid, "admin": None}


def connection(state: str) -> dict[str, Any]:
    return evolution("connection.update", {"instance": INSTANCE, "state": state, "statusReason": 200})


def waha(event: str, payload: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "evt_01hzzzzzzzzzzzzzzzzzzzzzzz",
        "timestamp": 1_760_000_000_000,
        "event": event,
        "session": "default",
        "payload": payload,
        "me": {"id": "5511900000000@c.us", "pushName": "Us"},
        "engine": "NOWEB",
        "environment": {"version": "2026.7.1", "engine": "NOWEB", "tier": "CORE", "browser": None},
    } | more
