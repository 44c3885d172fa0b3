"""Whether what a webhook sends would be taken in here: its address and proof beside our own. No value is repeated."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from runner.gateway import Reception, Sending

_PORTS = {"http": 80, "https": 443}
_REFUSED = ": what it sends is refused here"
_GETS_LOST = ": what it sends gets lost"


def arrival_of_evolution(webhook: Mapping[str, Any], ours: Reception) -> list[Sending]:
    """What is wrong with a webhook as ``webhook/find`` tells it; empty where nothing is."""
    step = "set the webhook anew with RUNNER_WEBHOOK_SECRET as jwt_key among its headers"
    said = _of_address(webhook.get("url"), ours, ("/webhook", ""))
    proof = _proof_of_evolution(webhook.get("headers"))
    if proof is None:
        said.append(Sending(f"the webhook has no secret, neither jwt_key nor a header of ours{_REFUSED}", step))
    elif not _same(proof, ours.secret):
        said.append(Sending(f"the webhook has another secret than RUNNER_WEBHOOK_SECRET{_REFUSED}", step))
    return said


def arrival_of_waha(webhook: Mapping[str, Any], ours: Reception) -> list[Sending]:
    """The same of one of a session's webhooks."""
    step = "set the webhook anew with RUNNER_WAHA_HMAC_KEY as hmac.key"
    said = _of_address(webhook.get("url"), ours, ("/webhook/waha",))
    signed = webhook.get("hmac")
    key = signed.get("key") if isinstance(signed, dict) else None
    if not isinstance(key, str) or not key:
        said.append(Sending(f"the webhook is not signed, since it has no hmac.key{_REFUSED}", step))
    elif not _same(key, ours.secret):
        said.append(Sending(f"the webhook is signed with another key than RUNNER_WAHA_HMAC_KEY{_REFUSED}", step))
    return said


def _proof_of_evolution(headers: Any) -> str | None:
    """What it will prove itself by, in the order in which this server looks: a token comes before a header of ours."""
    given = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    scheme, _, token = str(given.get("authorization", "")).partition(" ")
    found = given.get("jwt_key") or (token.strip() if scheme.lower() == "bearer" else given.get("x-webhook-secret"))
    return str(found) if found else None


def _of_address(url: Any, ours: Reception, paths: tuple[str, ...]) -> list[Sending]:
    """By its path, and by its host where it is known by which name we are reached."""
    parts, wanted = _split(url), urlsplit(ours.public_url)
    prefix = wanted.path.rstrip("/")
    step = f"set the webhook's url to {ours.public_url.rstrip('/') or 'http://(this server)'}{paths[0]}"
    if parts is None:
        return [Sending(f"the webhook's url is none that could be called{_GETS_LOST}", step)]
    if parts.path.rstrip("/") not in {prefix + path for path in paths}:
        return [Sending(f"the webhook's url has another path than ours, {prefix}{paths[0]}{_GETS_LOST}", step)]
    if ours.public_url and _where(parts) != _where(wanted):
        return [Sending(f"the webhook's url leads elsewhere than RUNNER_PUBLIC_URL{_GETS_LOST}", step)]
    return []


def _split(url: Any) -> SplitResult | None:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts if parts and parts.scheme in _PORTS and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _where(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
