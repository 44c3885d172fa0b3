"""What a gateway is set to send by itself: whether messages of groups can come in by its webhook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runner.gateway import GatewayError, Reception, Sending
from runner.gateways.arrival import arrival_of_evolution, arrival_of_waha
from runner.gateways.channel import Answer

_ONLY_BY_ONE_OF_ALL = (
    "group messages come in only if one of all {} sends them here; if not, set one up as the README has it, under "
    "'As it happens: webhooks'"
)
_SENDS = "the webhook is set to send messages of groups"
_WAHA_MESSAGES = frozenset({"message", "message.any", "*"})


def evolution_sending(look: Callable[[str], Answer], instance: str, ours: Reception | None = None) -> list[Sending]:
    """By ``settings/find`` and ``webhook/find``; both hold secrets, of which nothing is said. Raises nothing."""
    settings = _found(look, f"/settings/find/{instance}")
    webhook = _found(look, f"/webhook/find/{instance}")
    ignores = settings.get("groupsIgnore") if settings else None
    said = []
    if ignores is True:
        step = "switch groupsIgnore off in the instance's settings"
        said.append(Sending("groupsIgnore is on in the instance's settings: no group message can come in", step))
    elif ignores is not False:
        said.append(Sending("whether the instance ignores groups (groupsIgnore) could not be asked", is_known=False))
    if webhook is None:
        said.append(Sending("what the instance's webhook sends could not be asked", is_known=False))
    elif webhook.get("enabled") is not True:
        words = "the instance has no webhook of its own that is switched on: "
        said.append(Sending(words + _ONLY_BY_ONE_OF_ALL.format("instances"), is_known=False))
    elif "MESSAGES_UPSERT" not in _names(webhook.get("events")):
        step = "add MESSAGES_UPSERT to the events of the webhook"
        said.append(Sending("the instance's webhook does not send MESSAGES_UPSERT: no group message can come in", step))
    if ours is not None and webhook and webhook.get("enabled") is True:
        said += arrival_of_evolution(webhook, ours)
    return said or [Sending(_SENDS)]


def waha_sending(look: Callable[[str], Answer], session: str, ours: Reception | None = None) -> list[Sending]:
    """By the session's ``config``; it holds secrets, of which nothing is said. Raises nothing."""
    found = _found(look, f"/api/sessions/{session}")
    config = found.get("config") if found else None
    if not isinstance(config, dict):
        return [Sending("what the session's webhook sends could not be asked", is_known=False)]
    ignores, webhooks = config.get("ignore"), config.get("webhooks")
    said = []
    if isinstance(ignores, dict) and ignores.get("groups") is True:
        step = "set ignore.groups to false in the session's config"
        said.append(Sending("ignore.groups is on in the session's config: no group message can come in", step))
    rows = [one for one in webhooks if isinstance(one, dict)] if isinstance(webhooks, list) else []
    if not rows:
        words = "the session has no webhook of its own: "
        said.append(Sending(words + _ONLY_BY_ONE_OF_ALL.format("sessions"), is_known=False))
    elif not (sending := [one for one in rows if _WAHA_MESSAGES & _names(one.get("events"))]):
        step = "add message.any to the events of the webhook"
        words = "no webhook of the session sends message or message.any: no group message can come in"
        said.append(Sending(words, step))
    elif ours is not None:
        faults: list[list[Sending]] = [arrival_of_waha(one, ours) for one in sending]
        said += sorted(faults, key=len)[0]  # one that is right is enough
    return said or [Sending(_SENDS)]


def _found(look: Callable[[str], Answer], path: str) -> Mapping[str, Any] | None:
    """Empty where the gateway says ``null``: there is none; None where it does not say."""
    try:
        answer = look(path)
    except GatewayError:
        return None
    if answer.status == 200 and answer.sample.strip() == "null":
        return {}
    return answer.body if answer.status == 200 and isinstance(answer.body, dict) else None


def _names(events: Any) -> set[str]:
    return {one for one in events if isinstance(one, str)} if isinstance(events, list) else set()
