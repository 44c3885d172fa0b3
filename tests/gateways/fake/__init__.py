"""A server that speaks Evolution API's and WAHA's HTTP as they were seen to do: what our adapters are tested on.

In a process of its own: ``python -m tests.gateways.fake FOLDER [--port N]``; it prints its address. In a test:
``with FakeServer(folder) as fake``. Either way its groups and its whims stand in ``FOLDER/gateway.json``, read anew
at each call (``control``). All keys may be left out:

    {"evolution": {"key", "instance", "version": "2.3.6" or "2.3.7", "2.3.4" (which spells people in its way),
                   "state": "open", "down" (its socket is, and is being connected again), "close" (logged out), "never",
                   "settings": {"groupsIgnore": false}, "webhook": {"enabled": true, "events": ["MESSAGES_UPSERT"]}},
     "waha": {"key", "session", "version", "status": "WORKING", "engine": "NOWEB", "config"},
     "me": {"lid", "pn"},
     "groups": {"1@g.us": {
         "subject", "owner", "people": [{"lid", "pn", "role"}],
         "addressing": "lid",                     or "pn": which id the group lists people by
         "isCommunity": false, "isCommunityAnnounce": false, "announce": false,
         "codes": {"3@lid": "403"},               what becomes of whom; of a list, the next at each request
         "back": ["3@lid"],                       in again after a removal
         "stale": true,                           the list does not know of removals
         "first": 3, "size": 7}},                 how many it lists; what it says of its size, which no version was
                                                  seen to do: it is always how many are listed
     "faults": {"remove": {"2": "reset_after", "*": …}, "list": {…}, "state": {…}, "version": {…}, "describe": {…}},
                                              counted over all
                                              calls of that kind; describe (WAHA's): "empty" says ``empty_body``, or {}
     "hang_seconds": 600, "drip_seconds": 1}

A fault is a name, or ``{"fault": name, "before": seconds, "after": seconds}``: how long it dawdles before the effect
and before the answer. Without ``_after`` at its end nothing is done; with it the effect comes first. Names:

    hang, reset, drip (a byte a second), garbage, html, cut (half of a body), huge, 502, empty ([] or {}), packed,
    closed, timed_out, text:… (what the engine says), 401, redirect, http429 (with Retry-After: 7), flood (429 each),
    unanswered (by WhatsApp for 60 s: a list is 404 with a TypeError, a removal 201 with [])

What Evolution sends by itself, by version, is ``Happenings``: the bodies of its webhooks, for a test to post.

Two files beside it are only ever appended to, one JSON line each:

    effects.jsonl   {"group", "ids", "call", "at"}: who was really removed, by the ids the group lists. The oracle.
    calls.jsonl     {"kind", "call", "method", "path", "body", "wrong", "at"}: everything that was asked; ``wrong`` says
                    what is against the server's own rules. ``kind`` remove is the only one that can change something.
"""

from tests.gateways.fake.happenings import Happenings
from tests.gateways.fake.server import FakeServer
from tests.gateways.fake.world import World, control

__all__ = ["FakeServer", "Happenings", "World", "control"]
