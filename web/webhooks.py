"""Webhooks: what gateways tell by themselves, and what has come of it.

Answered with 2xx only when it is on disk. A gateway that hears 503 sends it again; 4xx it never does, so that what
cannot be understood is counted and answered like the rest.
"""

from __future__ import annotations

import falcon

from runner.clock import iso
from runner.groups.accounts import own_account
from runner.groups.hearing import HearingRows, Limits, Line
from runner.groups.inbox import Inbox
from runner.groups.missed import Missed
from runner.groups.tallies import REFUSED, TallyRows
from runner.groups.versions import Version, VersionRows
from runner.job import JsonDict
from runner.manager import JobManager
from runner.webhooks import evolution, waha
from web.queries import read_query
from web.signatures import check_evolution, check_waha

MAX_BYTES = 16_000_000
"""A message with its picture in it (base64), as Evolution sends it where it is told to; above: see ``web.intake``."""

RECEIVED = {"received": True}


class EvolutionWebhook:
    def __init__(self, manager: JobManager, inbox: Inbox) -> None:
        self._manager = manager
        self._inbox = inbox

    def on_post(self, req: falcon.Request, resp: falcon.Response, event: str | None = None) -> None:
        """``event``: its name, where Evolution puts it into the address (byEvents)."""
        check_evolution(req, self._manager.settings)
        self._inbox.take(evolution.read(_body(req), self._manager.clock.now_ms(), event))
        resp.media = RECEIVED


class EvolutionEvent:
    """The same without ``/webhook`` before the event: only for names that Evolution has."""

    def __init__(self, webhook: EvolutionWebhook, event: str) -> None:
        self._webhook = webhook
        self._event = event

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._webhook.on_post(req, resp, self._event)


class WahaWebhook:
    def __init__(self, manager: JobManager, inbox: Inbox) -> None:
        self._manager = manager
        self._inbox = inbox

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        raw = _body(req)
        check_waha(req, raw, self._manager.settings)
        self._inbox.take(waha.read(raw, self._manager.clock.now_ms()))
        resp.media = RECEIVED


class WebhookState:
    """How events come in, how many of which came to what, and how many were refused. Counts are some seconds old."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        read_query(req, ())
        limits = Limits.of(self._manager.settings)
        with self._manager.store.read() as tx:
            now, lines, tallies = tx.now, HearingRows(tx, limits).lines(), TallyRows(tx).list()
            versions = {line.account: VersionRows(tx).find(line.account) for line in lines}
            account = own_account(self._manager.settings)
            ours = VersionRows(tx).find(account) if account else None
        resp.media = {
            "accounts": [_line_on_wire(line, now, limits) | _on_wire(versions[line.account]) for line in lines],
            "events": [
                {"event": one.event, "outcome": one.outcome, "number": one.number, "lastAt": iso(one.last_at)}
                for one in tallies
                if one.outcome != REFUSED
            ],
            "refused": [
                {"reason": one.event, "number": one.number, "lastAt": iso(one.last_at)}
                for one in tallies
                if one.outcome == REFUSED
            ],
        }
        if ours is not None:
            resp.media["gateway"] = {"account": ours.account} | _on_wire(ours)


def add_webhooks(app: falcon.App[falcon.Request, falcon.Response], manager: JobManager, missed: Missed) -> None:
    """Evolution sends to the address it is given, or to one below it for each event."""
    inbox = Inbox(manager.store, Limits.of(manager.settings), missed)
    webhook = EvolutionWebhook(manager, inbox)
    app.add_route("/", webhook)
    app.add_route("/webhook", webhook)
    app.add_route("/webhook/{event}", webhook)
    app.add_route("/webhook/waha", WahaWebhook(manager, inbox))
    for event in evolution.SIGNS:
        app.add_route(f"/{event}", EvolutionEvent(webhook, event))
    app.add_route("/admin/webhooks", WebhookState(manager))


def is_webhook(method: str, path: str) -> bool:
    """Whether a request is one: it has a secret of its own, and may be as large as a message."""
    return method == "POST" and (path in _PATHS or path.startswith("/webhook/"))


_PATHS = frozenset({"/", "/webhook", *(f"/{event}" for event in evolution.SIGNS)})


def _body(req: falcon.Request) -> bytes:
    raw: bytes = req.bounded_stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise falcon.HTTPContentTooLarge(description=f"The body is larger than {MAX_BYTES} bytes")
    return raw


def _line_on_wire(line: Line, now: int, limits: Limits) -> JsonDict:
    """What there is nothing to say of is left out."""
    times = {"lastEventAt": line.heard_at, "lastGroupMessageAt": line.group_heard_at, "downSince": line.down_since}
    said = {name: iso(at) for name, at in times.items() if at is not None}
    return {"account": line.account, "heard": not line.is_broken(now, limits)} | said


def _on_wire(version: Version | None) -> JsonDict:
    """Of an account's gateway, as it was asked last; empty where it could not be."""
    if version is None or version.name is None:
        return {}
    return {"version": version.name, "showsVotes": version.shows_votes}
