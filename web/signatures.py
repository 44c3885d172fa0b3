"""Who sends a webhook: proved by a secret of its own, whatever else this server asks for.

Without a secret no webhook is taken, on loopback neither: what makes people active must not be anybody's to say, and
a proxy in front would open it to the network.
"""

from __future__ import annotations

import hashlib
import hmac
import time

import falcon
import jwt

from runner.groups.refused import Refusal
from runner.settings import Settings

LEEWAY_SECONDS = 60
"""How far the clock of a gateway may be ahead."""

TRIED_SECONDS = 1800
"""How long a token is taken after it has run out. Evolution makes it once for each event, good for ten minutes, and
sends the event with it up to ten times over about 25 minutes; an event refused with 401 it never sends again."""

SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105 (the header's name)
_HOW = (
    "Evolution proves itself with RUNNER_WEBHOOK_SECRET: set it as jwt_key among the webhook's headers, or send it as "
    f"'Authorization: Bearer <secret>' or '{SECRET_HEADER}: <secret>'"
)
_HOW_WAHA = "WAHA proves itself with RUNNER_WAHA_HMAC_KEY: set it as hmac.key of the webhook"


def check_evolution(req: falcon.Request, settings: Settings) -> None:
    """A fixed secret in a header, or a token that Evolution signs with it. Raises HTTPUnauthorized."""
    if not settings.webhook_secret.get_secret_value():
        why = "Webhooks of Evolution are not taken until RUNNER_WEBHOOK_SECRET is set; "
        raise _turned_away(req, Refusal.NOT_SET_UP, why + _HOW)
    given = req.get_header("Authorization"), req.get_header(SECRET_HEADER)
    if given == (None, None):
        raise _turned_away(req, Refusal.NO_SECRET, _HOW)
    if not is_evolution(*given, settings):
        why = "That secret, or the token signed with it, is not ours, or is out of date; "
        raise _turned_away(req, Refusal.WRONG_SECRET, why + _HOW)


def is_evolution(authorization: str | None, secret_header: str | None, settings: Settings) -> bool:
    """By the two headers that may prove it."""
    secret = settings.webhook_secret.get_secret_value()
    scheme, _, token = (authorization or "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else secret_header
    return bool(secret and given) and (_same(str(given), secret) or _is_signed(str(given), secret))


def check_waha(req: falcon.Request, raw: bytes, settings: Settings) -> None:
    """HMAC-SHA512 over the body as it came. Raises HTTPUnauthorized."""
    key = settings.waha_hmac_key.get_secret_value()
    if not key:
        why = "Webhooks of WAHA are not taken until RUNNER_WAHA_HMAC_KEY is set; "
        raise _turned_away(req, Refusal.NOT_SET_UP, why + _HOW_WAHA)
    given = req.get_header("X-Webhook-Hmac")
    if given is None:
        raise _turned_away(req, Refusal.NO_SECRET, _HOW_WAHA)
    if (req.get_header("X-Webhook-Hmac-Algorithm") or "sha512").lower() != "sha512":
        raise _turned_away(req, Refusal.BAD_SIGNATURE, "X-Webhook-Hmac-Algorithm must be sha512")
    if not _same(given.strip().lower(), hmac.new(key.encode(), raw, hashlib.sha512).hexdigest()):
        raise _turned_away(req, Refusal.BAD_SIGNATURE, "X-Webhook-Hmac is not that of this body; " + _HOW_WAHA)


def _same(given: str, wanted: str) -> bool:
    """In a time that says nothing of how much of it was right; bytes, since text of other alphabets is refused."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _is_signed(token: str, secret: str) -> bool:
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat"], "verify_exp": False},
        )
        is_over = int(claims["exp"]) + TRIED_SECONDS <= time.time()
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return False
    return not is_over and claims.get("app") == "evolution" and claims.get("action") == "webhook"


def _turned_away(req: falcon.Request, reason: Refusal, why: str) -> falcon.HTTPUnauthorized:
    """``reason``: under which ``web.refusals`` counts it."""
    req.context.refusal = reason
    return falcon.HTTPUnauthorized(description=why, challenges=["Bearer"])
