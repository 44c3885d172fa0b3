"""The gate: who calls, and whether they may. Nothing behind it is reached by anybody it has not let through."""

from __future__ import annotations

import re

import falcon

from runner.clock import Clock
from runner.store import Store
from runner.stores.tokens import KnownTokens
from runner.token import ANONYMOUS, Role, Token, is_token
from web.access import GuardedRouter, Untokened
from web.configuration import is_loopback
from web.guesses import Guesses
from web.proxies import Proxies, headers_of, was_passed_on

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="cancellable-jobs"'}
REFUSAL = "A valid token is required, in the header 'Authorization: Bearer …'; 'runner token new' makes one"
"""One sentence for a token that is missing, malformed, unknown, expired or revoked: nobody learns which."""

_BEARER = re.compile("bearer +([!-~]+)", re.IGNORECASE | re.ASCII)


class Gate:
    """Refuses with 401, 403 and 429, before the body of a request is read.

    As long as no token was ever made, everything is open to this machine alone. One that is revoked or has expired
    still counts: a server must never open by itself because time goes by, or because somebody closes a leak.
    """

    def __init__(self, store: Store, clock: Clock, router: GuardedRouter, proxies: Proxies | None = None) -> None:
        self._tokens, self._clock, self._router = KnownTokens(store), clock, router
        self._proxies = proxies or Proxies(())
        self._guesses = Guesses(clock.boot_seconds)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        needed = self._router.access_of(req)
        if isinstance(needed, Untokened):
            return
        token = self._token(req)
        if token is None:
            req.context.caller = ANONYMOUS
        elif token.role.includes(needed):
            req.context.caller = token.name
        else:
            raise falcon.HTTPForbidden(description=_too_little(token, needed))

    def _token(self, req: falcon.Request) -> Token | None:
        """The caller's token; None where none is needed."""
        if self._is_this_machine(req) and not self._tokens.any_made():
            return None
        sent = req.get_header("Authorization")
        text = _text_of(sent)
        found = None if text is None else self._tokens.find(text, self._clock.now_ms())
        if found is None:
            self._refuse(req, guessed=sent is not None)
        return found

    def _is_this_machine(self, req: falcon.Request) -> bool:
        """A proxy on it speaks for others, also where it calls this server by a name of loopback; one that is named in
        the settings may do so without saying it.
        """
        peer = req.remote_addr
        return is_loopback(peer) and not self._proxies.trusts(peer) and not was_passed_on(headers_of(req))

    def _refuse(self, req: falcon.Request, *, guessed: bool) -> None:
        wait = self._guesses.wrong(self._proxies.caller(req.remote_addr, headers_of(req))) if guessed else None
        if wait is not None:
            raise falcon.HTTPTooManyRequests(
                description="Too many wrong tokens from this address; a right one is taken all the same",
                headers={"Retry-After": str(wait)},
            )
        raise falcon.HTTPUnauthorized(description=REFUSAL, headers=CHALLENGE)


def caller_of(req: falcon.Request) -> str:
    """Who is written down for what this request does: the name of its token, or ``anonymous``."""
    name: str = req.context.caller
    return name


def _text_of(header: str | None) -> str | None:
    """The token in an ``Authorization`` header; None for anything that cannot be one. Two headers come as one, with a
    comma, and are none.
    """
    found = _BEARER.fullmatch(header) if header is not None else None
    return found.group(1) if found is not None and is_token(found.group(1)) else None


def _too_little(token: Token, needed: Role) -> str:
    return f"This needs a token of the role {needed}; {token.name} is {token.role}"
